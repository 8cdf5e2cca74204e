#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Egress policy, forwards and limits with Linux as the guest: names from a name server
# of our own, a hundred clients through a forward, and what is changed meanwhile.
#
# Runs in a network namespace, so that it has a second host to allow and one to deny.
OWN="--net"
# shellcheck source=tests/vhost/own.sh
. "$(dirname "$0")/own.sh"
. "$(dirname "$0")/lib.sh"

need_guest policy

ALLOWED=198.51.100.1 DENIED=198.51.100.2
ip link set lo up
if ! ip addr add $ALLOWED/32 dev lo || ! ip addr add $DENIED/32 dev lo; then
	skip policy "no addresses on loopback"
	exit 0
fi

"$LOAD" serve --listen 0.0.0.0:0 --port-file "$W/port" >/dev/null &
pids="$pids $!"
"$LOAD" dns --listen 127.0.0.1:0 allowed.test=$ALLOWED sub.allowed.test=$ALLOWED \
	denied.test=$DENIED >"$W/dns" &
pids="$pids $!"
soon test -s "$W/dns"
DNS=127.0.0.1:$(sed 's/.*"port"://; s/}.*//' "$W/dns")
soon test -s "$W/port"
PORT=$(cat "$W/port")

# --- names and networks --------------------------------------------------------
back_end --control "$C" --dns "$DNS" --policy allowlist --allow 'tcp:*.test' \
	--deny 'denied.test' --gateway-ports 1
# The first rule that fits decides, so denied.test has to stand first: moved while it runs.
ctl rule del 2 >/dev/null
ctl rule add deny denied.test 1 >/dev/null
check rules-shown "$(ctl rule list)" sh -c "
	'$B/sluice' ctl --control '$C' rule list | sed -n 3p | grep -q 'deny denied.test'"
guest names -- "
dig() { \$load dig \$1 --server 10.0.2.3:53 --timeout 30; }
to() { \$load rr --to \$1 --count 3 --size 100 --timeout 30; }
t before-the-name-is-asked-it-is-denied not to $ALLOWED:$PORT
t the-allowed-name-resolves dig allowed.test
t the-allowed-name-is-reached to $ALLOWED:$PORT
t its-neighbour-does-not-resolve not dig denied.test
t its-neighbour-is-not-reached not to $DENIED:$PORT
t a-star-does-not-cross-a-dot not dig sub.allowed.test
t udp-is-not-what-the-rule-says not \$load udp --to $ALLOWED:$PORT --size 10 --count 1 --timeout 2
t the-gateway-is-shut not to 10.0.2.2:$PORT
t the-gateways-port-is-opened '$B/sluice' ctl --control '$C' rule gateway-ports $PORT
t the-gateway-is-open to 10.0.2.2:$PORT
"
# A change under load costs no byte of what is open.
(
	i=0
	while [ $i -lt 50 ]; do
		ctl rule add deny "10.99.$i.0/24" 1 && ctl rule profile monitored &&
			ctl rule profile allowlist
		i=$((i + 1))
	done
) >/dev/null 2>"$W/changes" &
changes=$!
guest under-load -- "
t bytes-survive-changes-of-rules \$load bulk --to 10.0.2.2:$PORT --dir down --size 64m --flows 4
t bytes-survive-changes-of-rules-up \$load bulk --to 10.0.2.2:$PORT --dir up --size 64m --flows 4
"
wait $changes
check changes-were-made "$(cat "$W/changes")" test ! -s "$W/changes"
back_end_stop policy-ends
check denials-counted "none" test "$(stat_value drops policy_denied)" -gt 3
check policy-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

# --- forwards and limits ---------------------------------------------------------
back_end --control "$C" --max-conn-rate 50
"$B/nsguest" --socket "$S" -- sh -c "
	'$LOAD' serve --listen 0.0.0.0:8080 --port-file '$W/guest' & echo \$! >'$W/pid'
	wait" >/dev/null 2>&1 &
pids="$pids $!"
soon test -s "$W/guest"
ctl --json forward add 0:8080 >"$W/forward"
FWD=$(sed 's/.*"port": *\([0-9]*\).*/\1/' "$W/forward")
crr() {
	"$LOAD" crr --to "127.0.0.1:$FWD" --timeout 30 "$@"
}
check forward-is-added "$(cat "$W/forward")" test "$FWD" -gt 0
# Again and again where the machine is so busy that the second was over before the last.
# Metrics are gathered ten times a second at the most: an answer may be a tenth old.
refused() {
	sleep 0.2
	ctl metrics prometheus | sed -n 's/^sluice_net_drops_total{reason="conn_rate"} //p'
}
a_51st_is_refused() {
	_before=$(refused)
	sleep 1.1
	crr --count 50 --concurrency 50 && ! crr --count 1 && [ "$(refused)" = $((_before + 1)) ]
}
check fifty-connections-in-a-second-and-no-51st "$(refused) refused" soon a_51st_is_refused
check the-limit-is-lifted "$(ctl limit set max-conn-rate 0 2>&1)" \
	ctl limit set max-conn-rate 0
check a-hundred-clients-at-once "" crr --count 1000 --concurrency 100
check bytes-into-the-guest "" "$LOAD" bulk --to "127.0.0.1:$FWD" --dir up --size 64m --flows 8
check bytes-out-of-the-guest "" "$LOAD" bulk --to "127.0.0.1:$FWD" --dir down --size 64m --flows 8
check half-closed-through-a-forward "" "$LOAD" half --to "127.0.0.1:$FWD" --size 4m

# The server in the guest echoes datagrams on the same port. A hundred clients at once,
# each with a size of its own, so short that the forward's socket holds all of them; each
# compares every byte.
ctl --json forward add 0:8080/udp >"$W/forward-udp"
FWU=$(sed 's/.*"port": *\([0-9]*\).*/\1/' "$W/forward-udp")
seq 100 | xargs -P 100 -I N sh -c "
	'$LOAD' udp --to 127.0.0.1:$FWU --count 20 --size \$((N * 4)) --seed N --timeout 60 ||
		echo client N" >"$W/clients" 2>&1
check a-hundred-clients-of-udp "$(grep client "$W/clients" | head -3)" \
	test "$(grep -c '"ok":true' "$W/clients")" = 100
# Now and then one has the port of another that had ended.
check each-of-them-is-a-flow "$(ctl forward list)" sh -c "
	'$B/sluice' ctl --control '$C' forward list |
		awk '/^udp/ { exit !(\$4 > 90 && \$4 <= 100 && \$5 == 0) }'"
for size in 0 1472 1473 9000 65507; do
	check "udp-$size-through-a-forward" "" \
		"$LOAD" udp --to "127.0.0.1:$FWU" --count 5 --size $size --timeout 60
done
check forward-of-udp-is-taken-away "" ctl forward del "$FWU/udp"
check its-flows-have-ended "$(ctl flows udp)" \
	sh -c "! '$B/sluice' ctl --control '$C' flows udp | grep -q 8080"
check udp-is-gone "" sh -c "! '$LOAD' udp --to 127.0.0.1:$FWU --count 1 --size 1 --timeout 5"
check forward-is-taken-away "" ctl forward del "$FWD"
check it-is-gone "" sh -c "! '$LOAD' rr --to 127.0.0.1:$FWD --count 1 --size 1 --timeout 5"
kill "$(cat "$W/pid")"
back_end_stop forwards-end
check forwards-allocate-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

# --- rates -------------------------------------------------------------------------
back_end --control "$C" --rate-out 4M --rate-in 4M
guest rates -- "
s=\$(date +%s%N); \$load bulk --to 10.0.2.2:$PORT --dir up --size 6m >/dev/null
e=\$(date +%s%N); \$load bulk --to 10.0.2.2:$PORT --dir down --size 6m >/dev/null
f=\$(date +%s%N)
t rate-out-holds test \$(((e - s) / 1000000)) -gt 1000
t rate-in-holds test \$(((f - e) / 1000000)) -gt 1000
t rates-are-no-slower test \$(((f - s) / 1000000)) -lt 60000
'$B/sluice' ctl --control '$C' limit set rate-out 0 >/dev/null
'$B/sluice' ctl --control '$C' limit set rate-in 0 >/dev/null
t rates-are-lifted \$load bulk --to 10.0.2.2:$PORT --dir up --size 512m --timeout 100
"
back_end_stop rates-end
