#!/bin/sh
# SPDX-License-Identifier: MIT
#
# IPv6 as Linux has it: addresses and a route from router advertisements, the host's
# ::1 behind the gateway, names, refusals; and a guest to which none of it is given.
. "$(dirname "$0")/lib.sh"

need_guest ip6
NET=fd73:6c75:6963:

PEER6=${NET}:2
engine_serve6 --port-file "$W/port6"
server6=$!
serves6() {
	[ -s "$W/port6" ] || ! kill -0 $server6
}
soon serves6
if [ ! -s "$W/port6" ]; then
	skip ip6 "the host has no ::1"
	exit 0
fi
PORT6=$(cat "$W/port6")
TO6="--to [$PEER6]:$PORT6"
"$LOAD" dns --listen 127.0.0.1:0 allowed.test=192.0.2.7 >"$W/dns" &
pids="$pids $!"
soon test -s "$W/dns"
DNS=$(sed 's/.*"port"://; s/}.*//' "$W/dns")
server

# In the guest: `soon COMMAND`, as here.
# shellcheck disable=SC2016 # for the guest to expand
SOON='soon() {
	_n=0
	until "$@"; do
		_n=$((_n + 1))
		[ $_n -lt 3000 ] || return 1
		sleep 0.02
	done
}
has() {
	"$1" $2 | grep -q "$3"
}'

bulk6() {
	echo "t mtu6-$1-up \$load bulk $TO6 --dir up --size 64m
	t mtu6-$1-down \$load bulk $TO6 --dir down --size 64m
	t mtu6-$1-up-4-flows \$load bulk $TO6 --dir up --size 4m --flows 4
	t mtu6-$1-down-4-flows \$load bulk $TO6 --dir down --size 4m --flows 4
	t mtu6-$1-half-closed \$load half $TO6 --size 1m
	t mtu6-$1-reset \$load reset $TO6
	t mtu6-$1-udp \$load udp $TO6 --size $(($1 < 9000 ? $1 - 48 : 8952)) --count 3
	t mtu6-$1-udp-in-fragments \$load udp $TO6 --size $(($1 < 9000 ? 8192 : $1 - 47)) --count 3"
}

for MTU in 1280 1500 9000 65520; do
	back_end --mtu $MTU --dns "127.0.0.1:$DNS"
	guest "mtu6-$MTU" -- "
	$SOON
	t mtu6-$MTU-advertised soon has ip '-6 addr show dev eth0 scope global' $NET
	soon not has ip '-6 addr show dev eth0 tentative' .
	t mtu6-$MTU-route has ip '-6 route show default' 'proto ra'
	t mtu6-$MTU-connects soon \$load crr $TO6 --count 1 --timeout 5
	$(bulk6 $MTU)
	"
	back_end_stop "mtu6-$MTU-ends"
	check "mtu6-$MTU-allocates-nothing" "$(stat_value worker allocations) allocations" \
		test "$(stat_value worker allocations)" = 0
done

back_end --dns "127.0.0.1:$DNS" --mtu 1500
guest services6 -- "
$SOON
soon has ip '-6 addr show dev eth0 scope global' $NET
soon not has ip '-6 addr show dev eth0 tentative' .
soon \$load crr $TO6 --count 1 --timeout 5
t connections6 \$load crr $TO6 --count 200 --concurrency 20
t get6 \$load get http://[$PEER6]:$PORT6/300000 --size 300000
t dns6 \$load dig allowed.test --server [${NET}:3]:53
t dns6-tcp \$load dig allowed.test --server [${NET}:3]:53 --tcp
t ping6-gateway busybox ping -6 -c 2 -W 30 ${NET}:2
t refused6 not \$load crr --to [${NET}:2]:1 --count 1 --timeout 5
t nobody6 not \$load crr --to [${NET}:99]:$PORT6 --count 1 --timeout 5
t metadata6 not \$load crr --to [fd00:ec2::254]:80 --count 1 --timeout 5
"
back_end_stop services6-end
check policy6-counted "no drop" test "$(stat_value drops policy_denied)" -ge 2

back_end --ipv6 off --mtu 1500
guest no-ip6 -- "
$SOON
t without-ip6-v4-works soon \$load crr $TO --count 1
t without-ip6-no-prefix not has ip '-6 addr show dev eth0 scope global' inet6
t without-ip6-no-route not has ip '-6 route show default' via
"
back_end_stop no-ip6-ends
check without-ip6-nothing-advertised "advertised" test "$(stat_value net router_adverts)" = 0

# Below the least MTU of IPv6 the link has none, whatever was asked for.
back_end --ipv6 on --mtu 576
guest narrow -- "
$SOON
t mtu-576-up \$load bulk $TO --dir up --size 8m
t mtu-576-down \$load bulk $TO --dir down --size 8m
t mtu-576-udp \$load udp $TO --size 548 --count 3
t mtu-576-no-prefix not has ip '-6 addr show dev eth0 scope global' inet6
"
back_end_stop narrow-ends
engine_carried
