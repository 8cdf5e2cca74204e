#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Programs that people run, in a guest, against a host that is two hops away: dig, curl,
# ping, traceroute, iperf3, ssh and scp, over both families. A program that is not there
# is a SKIP; tools/deps.sh tests installs all of them.
#
#	guest ── back-end 192.0.2.1 ── 192.0.2.2 router 203.0.113.1 ── 203.0.113.2 far
#	           2001:db8:1::1       2001:db8:1::2    2001:db8:2::1  2001:db8:2::2
#
# Here, router and far are network namespaces, so every port number is free; and what
# the group starts, in whichever of them, is gone when it ends.
OWN="--net --pid --fork --kill-child --mount-proc"
# shellcheck source=tests/vhost/own.sh
. "$(dirname "$0")/own.sh"
. "$(dirname "$0")/lib.sh"

need_guest programs

ROUTER=192.0.2.2 FAR=203.0.113.2 FAR_TOO=203.0.113.3
ROUTER6=2001:db8:1::2 FAR6=2001:db8:2::2
GATEWAY6=fd73:6c75:6963::2
HTTP=80

# --- the hosts -----------------------------------------------------------------
unshare -n sleep 3600 &
router=$!
unshare -n sleep 3600 &
far=$!
pids="$router $far"

on() {
	_pid=$1
	shift
	nsenter -t "$_pid" -n "$@"
}

apart() {
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

# up PID LINK ADDRESS...: in that one's namespace.
up() {
	_link=$2
	on "$1" ip link set lo up
	on "$1" ip link set "$_link" up
	_on=$1
	shift 2
	for _addr in "$@"; do
		case $_addr in
		*:*) on "$_on" ip addr add "$_addr" dev "$_link" nodad ;;
		*) on "$_on" ip addr add "$_addr" dev "$_link" ;;
		esac || return
	done
}

hosts() {
	soon apart "$router" && soon apart "$far" || return
	ip link add near type veth peer name near netns "$router" || return
	on "$router" ip link add away type veth peer name away netns "$far" || return
	up $$ near 192.0.2.1/24 2001:db8:1::1/64 || return
	up "$router" near $ROUTER/24 $ROUTER6/64 || return
	up "$router" away 203.0.113.1/24 2001:db8:2::1/64 || return
	up "$far" away $FAR/24 $FAR_TOO/24 $FAR6/64 || return
	on "$router" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
		echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
		echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
		echo 0 >/proc/sys/net/ipv6/icmp/ratelimit' || return
	on "$far" sh -c 'echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
		echo 0 >/proc/sys/net/ipv6/icmp/ratelimit' || return
	ip route add default via $ROUTER && ip -6 route add default via $ROUTER6 || return
	on "$far" ip route add default via 203.0.113.1 || return
	on "$far" ip -6 route add default via 2001:db8:2::1 || return
	# Who may send echo requests without privilege: here everybody.
	echo "0 0" >/proc/sys/net/ipv4/ping_group_range
}

why=$(hosts 2>&1) || {
	skip programs "no hosts to be reached: $why"
	exit 0
}

# has PROGRAM TEST: is it there? Else TEST is skipped.
has() {
	command -v "$1" >/dev/null || {
		skip "$2" "no $1 (tools/deps.sh tests)"
		return 1
	}
}

nsenter -t "$far" -n "$LOAD" serve --listen "[::]:$HTTP" --port-file "$W/far" >/dev/null &
pids="$pids $!"
"$LOAD" serve --listen "[::1]:$HTTP" --port-file "$W/here" >/dev/null &
pids="$pids $!"
"$LOAD" dns --listen 127.0.0.1:53 "allowed.test=$FAR,$FAR6" "neighbour.test=$FAR_TOO" \
	"sub.allowed.test=$FAR_TOO" >"$W/dns" &
pids="$pids $!"
for file in far here dns; do
	soon test -s "$W/$file"
done


# In the guest. What it sends before its address of IPv6 is ready comes from one that no
# router forwards.
GUEST="
page() {
	rm -f '$W/got'
	curl -sS --max-time 100 -o '$W/got' \"\$@\" && cmp '$W/got' '$W/page'
}
is() {
	_want=\$1
	shift
	_got=\$(\"\$@\" | tr '\\n' ' ')
	[ \"\$_got\" = \"\$_want\" ] || { echo \"\$_got\"; return 1; }
}
n=0
until ip -6 addr show dev eth0 scope global -tentative | grep -q inet6 || [ \$n = 1000 ]; do
	n=\$((n + 1))
	sleep 0.1
done"
TESTS=
back_end --control "$C" --dns 127.0.0.1:53 --mtu 1500

if has dig dig; then
	TESTS="$TESTS
	t dig is '$FAR ' dig +short allowed.test
	t dig-aaaa is '$FAR6 ' dig +short allowed.test AAAA
	t dig-tcp-aaaa is '$FAR6 ' dig +tcp +short allowed.test AAAA
	t dig-over-ip6 is '$FAR6 ' dig +tcp +short @${GATEWAY6%2}3 allowed.test AAAA
	"
fi
if has ping ping; then
	TESTS="$TESTS
	t ping-4 ping -4 -n -c 3 -i 0.05 -W 60 $FAR
	t ping-6 ping -6 -n -c 3 -i 0.05 -W 60 $FAR6
	t ping-6-of-64k ping -6 -n -c 2 -i 0.05 -W 60 -s 60000 $FAR6
	t ping-with-a-ttl-that-ends sh -c 'ping -4 -n -c 1 -W 60 -t 2 $FAR | grep \"From $ROUTER.*xceeded\"'
	t ping-of-nobody sh -c 'ping -4 -n -c 1 -W 60 192.0.2.99 | grep -i unreachable'
	"
fi
if has traceroute traceroute; then
	# The hops one below the other, without their times.
	TESTS="$TESTS
	hops() {
		traceroute -n -q 1 -w 30 -m 6 \"\$@\" | sed '1d; s/^ *[0-9]* *//; s/ .*//'
	}
	t traceroute-udp is '10.0.2.2 $ROUTER $FAR ' hops -4 $FAR
	t traceroute-udp-ip6 is '$GATEWAY6 $ROUTER6 $FAR6 ' hops -6 $FAR6
	t traceroute-icmp is '10.0.2.2 $ROUTER $FAR ' hops -4 -I $FAR
	"
fi
if has curl curl; then
	on "$far" curl -sS -o "$W/page" "http://$FAR:$HTTP/3000000"
	TESTS="$TESTS
	t curl-4 page -4 http://allowed.test:$HTTP/3000000
	t curl-6 page -6 http://allowed.test:$HTTP/3000000
	t curl-6-the-gateway page -6 'http://[$GATEWAY6]:$HTTP/3000000'
	t curl-by-the-gateways-name page -6 http://gateway:$HTTP/3000000
	t curl-uploads curl -sS --max-time 100 -T '$W/page' http://$FAR:$HTTP/3000000
	t curl-is-refused sh -c 'curl -sS --max-time 60 http://$FAR:1/; test \$? = 7'
	"
fi
if has iperf3 iperf3 && has jq iperf3; then
	nsenter -t "$far" -n iperf3 -s >/dev/null 2>&1 &
	pids="$pids $!"
	soon on "$far" sh -c 'ss -ltn | grep -q :5201'
	# The server is busy until it has seen the end of the client before. Datagrams are
	# lost on the way to a reader that is busy, but not most of them each time.
	TESTS="$TESTS
	iperf() {
		until iperf3 -J -c \"\$@\" >'$W/iperf'; do
			grep 'server is busy' '$W/iperf' || { tail -n 3 '$W/iperf'; return 1; }
			sleep 0.1
		done
	}
	t iperf3-up iperf $FAR -n 64M
	t iperf3-down iperf $FAR -n 64M -R
	t iperf3-up-4-flows-ip6 iperf $FAR6 -6 -n 64M -P 4
	t iperf3-down-4-flows-ip6 iperf $FAR6 -6 -n 64M -P 4 -R
	udp() {
		_udp=0
		until iperf \"\$@\" -u -b 20M -n 2M -l 1200 &&
			jq -e '.end.sum | .packets > 1000 and .lost_percent < 50' '$W/iperf'; do
			_udp=\$((_udp + 1))
			[ \$_udp -lt 20 ] || return 1
		done
	}
	t iperf3-udp-up udp $FAR
	t iperf3-udp-down udp $FAR -R
	t iperf3-udp-down-ip6 udp $FAR6 -R
	"
fi

guest programs -- "$GUEST$TESTS"

PATH=$PATH:/usr/sbin
if grep -q deny /proc/self/setgroups; then
	skip ssh "sshd sets groups, and only root may"
elif has sshd ssh && has scp ssh; then
	ssh-keygen -q -t ed25519 -N "" -f "$W/key"
	ssh-keygen -q -t ed25519 -N "" -f "$W/host"
	cat >"$W/sshd" <<-END
		Port 2222
		HostKey $W/host
		PidFile none
		AuthorizedKeysFile $W/key.pub
		StrictModes no
		UsePAM no
		PasswordAuthentication no
		Subsystem sftp internal-sftp
	END
	cat >"$W/ssh" <<-END
		IdentityFile $W/key
		IdentitiesOnly yes
		UserKnownHostsFile $W/known
		StrictHostKeyChecking accept-new
		BatchMode yes
		ConnectTimeout 60
		LogLevel ERROR
	END
	"$B/nsguest" --socket "$S" -- sh -c "
		mount -t tmpfs none /run && mkdir -m 755 /run/sshd && ping -6 -c 1 $GATEWAY6
		exec $(command -v sshd) -D -e -f '$W/sshd'" >"$W/sshd.log" 2>&1 &
	pids="$pids $!"
	soon grep -q listening "$W/sshd.log"
	user=$(id -un)
	port() {
		ctl --json forward add "$1:0:2222" | sed 's/.*"port": *\([0-9]*\).*/\1/'
	}
	port4=$(port 127.0.0.1)
	port6=$(port "[::1]")
	head -c 20000000 /dev/urandom >"$W/file"
	sum=$(sha256sum <"$W/file")
	# That what stands at FILE is what was sent.
	whole() {
		[ "$(sha256sum <"$1")" = "$sum" ]
	}
	check ssh-runs-a-command "$(cat "$W/sshd.log")" ssh -F "$W/ssh" -p "$port4" "$user@127.0.0.1" true
	check ssh-has-its-status "" sh -c "ssh -F $W/ssh -p $port4 $user@127.0.0.1 exit 7; test \$? = 7"
	check ssh-over-ip6 "$(tail -n 3 "$W/sshd.log")" soon ssh -F "$W/ssh" -p "$port6" "$user@::1" true
	check ssh-takes-a-stream "" sh -c "
		ssh -F $W/ssh -p $port4 $user@127.0.0.1 sha256sum <$W/file | grep -q '$sum'"
	check scp-up "" scp -F "$W/ssh" -P "$port4" "$W/file" "$user@127.0.0.1:$W/up"
	check scp-up-is-whole "" whole "$W/up"
	check scp-down "" scp -F "$W/ssh" -P "$port6" "$user@[::1]:$W/file" "$W/down"
	check scp-down-is-whole "" whole "$W/down"
fi

back_end_stop programs-end
check programs-allocate-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

# --- a list of names ----------------------------------------------------------------
has dig allow-list && has curl allow-list || exit 0
back_end --dns 127.0.0.1:53 --mtu 1500 --policy allowlist --allow "tcp:allowed.test:$HTTP"
guest allow-list -- "
$GUEST
t before-the-name-is-asked-it-is-shut sh -c 'curl -sS --max-time 60 http://$FAR:$HTTP/1; test \$? = 7'
t allowed-name-lets-curl-4-through page -4 http://allowed.test:$HTTP/3000000
t allowed-name-lets-curl-6-through page -6 http://allowed.test:$HTTP/3000000
t its-neighbour-has-no-address sh -c 'dig neighbour.test | grep \"status: REFUSED\"'
t its-neighbour-is-refused sh -c 'curl -sS --max-time 60 http://$FAR_TOO:$HTTP/1; test \$? = 7'
t a-name-below-it-is-refused sh -c 'dig +tcp sub.allowed.test | grep \"status: REFUSED\"'
t another-port-of-it-is-refused sh -c 'curl -sS --max-time 60 http://allowed.test:2222/; test \$? = 7'
t ping-is-not-in-the-list not ping -c 1 -W 1 $FAR
"
back_end_stop allow-list-ends
check allow-list-counts-denials "" test "$(stat_value drops policy_denied)" -ge 6
