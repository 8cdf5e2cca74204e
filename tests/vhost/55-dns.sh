#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Names as a real resolver library asks for them: dig over UDP and TCP, names of our
# own, an answer that is kept and grows older, and curl by the gateway's name.
. "$(dirname "$0")/lib.sh"

need_guest dns
command -v dig >/dev/null || {
	skip dns "no dig (bind9-dnsutils)"
	exit 0
}

"$LOAD" serve --port-file "$W/port" >/dev/null &
pids="$pids $!"
"$LOAD" dns --listen 127.0.0.1:0 www.allowed.test=192.0.2.7 >"$W/dns" &
pids="$pids $!"
soon test -s "$W/port"
PORT=$(cat "$W/port")
soon test -s "$W/dns"
DNS=$(sed 's/.*"port"://; s/}.*//' "$W/dns")

# In the guest: is what dig prints with these words the text?
# shellcheck disable=SC2016 # for the guest to expand
DIG='is() {
	want=$1
	shift
	got=$(dig @10.0.2.3 +time=20 +tries=2 +short "$@" | tr "\n" " ")
	[ "$got" = "$want" ] || { echo "\"$got\""; return 1; }
}
code() {
	want=$1
	shift
	dig @10.0.2.3 +time=20 +tries=2 "$@" | grep "status: $want,"
}
ttl() {
	dig @10.0.2.3 +time=20 +tries=2 +noall +answer "$@" | sed -n "s/^[^ \t]*[ \t]*\([0-9]*\).*/\1/p"
}'

back_end --control "$C" --dns "127.0.0.1:$DNS" --ipv6 off \
	--dns-name 'db.internal=198.51.100.1,198.51.100.2,2001:db8::1'
guest dns -- "
$DIG
t gateway is '10.0.2.2 ' gateway
t gateway-over-tcp is '10.0.2.2 ' +tcp gateway
t gateway-in-any-case is '10.0.2.2 ' GateWay.
t gateway-backwards is 'gateway. ' -x 10.0.2.2
t a-name-of-the-users is '198.51.100.1 198.51.100.2 ' db.internal
t a-name-of-the-users-backwards is 'db.internal. ' +tcp -x 198.51.100.2
t no-such-type is '' db.internal MX
t no-such-type-is-no-error code NOERROR db.internal MX
t others-go-to-the-resolver is '192.0.2.7 ' www.allowed.test
t others-go-to-the-resolver-over-tcp is '192.0.2.7 ' +tcp WWW.allowed.test
t no-such-name code NXDOMAIN other.allowed.test
t without-ip6-no-address is '' www.allowed.test AAAA
t without-ip6-no-error-over-tcp code NOERROR +tcp www.allowed.test AAAA
t without-ip6-no-address-over-tcp is '' +tcp www.allowed.test AAAA
first=\$(ttl www.allowed.test)
sleep 2.1
second=\$(ttl www.allowed.test)
t what-is-kept-grows-older test \"\$second\" -gt 0 -a \"\$second\" -le \$((first - 2))
t a-name-is-added '$B/sluice' ctl --control '$C' dns add new.internal=198.51.100.9
t the-added-name is '198.51.100.9 ' new.internal
t a-name-is-taken-away '$B/sluice' ctl --control '$C' dns del new.internal
t the-name-that-was code NXDOMAIN new.internal
t what-is-kept-is-forgotten '$B/sluice' ctl --control '$C' dns flush
t forgotten-and-fresh test \"\$(ttl www.allowed.test)\" = 60
t a-page-by-the-gateways-name \$load get http://gateway:$PORT/100000 --size 100000
"
back_end_stop dns-ends
check dns-cache-was-used "$(stat_value net dns_cache_hits) hits" \
	test "$(stat_value net dns_cache_hits)" -ge 1
check dns-over-tcp-was-used "$(stat_value net dns_tcp_queries) queries" \
	test "$(stat_value net dns_tcp_queries)" -ge 5
check dns-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

back_end --dns "127.0.0.1:$DNS" --dns-cache off
guest dns-no-cache -- "
$DIG
ttl www.allowed.test
sleep 1.1
t nothing-is-kept test \"\$(ttl www.allowed.test)\" = 60
t gateway6 is 'fd73:6c75:6963::2 ' gateway AAAA
"
back_end_stop dns-no-cache-ends
