#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The guest's real traffic through the NAT, over virtio-pci with MSI-X.
. "$(dirname "$0")/lib.sh"

# The host's kernel decides who may ping without privilege.
range=$(cat /proc/sys/net/ipv4/ping_group_range)
if [ "${range%%[!0-9]*}" -le "$(id -g)" ] && [ "$(id -g)" -le "${range##*[!0-9]}" ]; then
	ping="t ping-gateway ping -c 2 -W 5 10.0.2.2"
else
	ping="echo SKIP ping-gateway net.ipv4.ping_group_range leaves out group $(id -g)"
fi

# Bytes both ways over a link of that MTU (H58); the guest's end sets the segment size.
mtu_test() {
	echo "t mtu-$1-byte-exact sh -c 'ip link set eth0 mtu $1 &&
		load bulk $to --dir down --size 1m && load bulk $to --dir up --size 1m'"
}

servers
to="--to 10.0.2.2:$PORT --timeout 240"
guest_tests traffic 18 --max-conn-rate 0 --max-conns 256 --dns "$DNS" --stats="$W/stats" -- sh -c "$GUEST_T
t uses-msi-x grep -i msi.*virtio /proc/interrupts
t entropy-device sh -c 'head -c 16 /dev/hwrng | grep -q .'
$ping
t dns-udp sh -c 'load dig one.test | grep 192.0.2.1'
t dns-tcp sh -c 'load dig --tcp one.test | grep 192.0.2.1'
t dns-unknown-name-says-so sh -c 'load dig none.test | grep rcode.:3'
t name-in-url load get http://host.test:$PORT/100000
t refused-connection-says-so sh -c 'load crr --to 10.0.2.2:9 --count 1 | grep refused'
t download-byte-exact load bulk $to --dir down --size $SIZE
t upload-byte-exact load bulk $to --dir up --size $SIZE
t both-ways-at-once sh -c 'load bulk $to --dir up --size 4m & load bulk $to --dir down --size 4m && wait \$!'
t eight-flows-byte-exact load bulk $to --dir down --size 1m --flows 8
t round-trips load rr $to --count 200 --size 100
t thousand-connections load crr $to --count 1000 --concurrency 8
t datagrams load udp $to --count 50 --size 1200
t empty-datagrams load udp $to --count 5 --size 0
$(mtu_test 1500)
$(mtu_test 576)
"
allocations=$(stat_value worker allocations "$W/stats")
check worker-allocates-nothing "${allocations:-no figure of} allocations" test "${allocations:-x}" = 0
