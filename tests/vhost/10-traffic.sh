#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Linux's TCP in a namespace, through the back-end, to sockets of the host; every byte
# compared, at each MTU, with the rings and offloads that drivers have.
. "$(dirname "$0")/lib.sh"

need_guest traffic
server

bulk() {
	echo "t $1-$2-up \$load bulk $TO --dir up --size $SIZE
	t $1-$2-down \$load bulk $TO --dir down --size $SIZE
	t $1-$2-up-8-flows \$load bulk $TO --dir up --size $SIZE8 --flows 8
	t $1-$2-down-8-flows \$load bulk $TO --dir down --size $SIZE8 --flows 8"
}

# Datagrams of the sizes, there and back; beyond the link's MTU in fragments, both ways.
datagrams() {
	for _size in "$@"; do
		echo "t mtu-$MTU-udp-$_size \$load udp $TO --size $_size --count 3"
	done
}

# Forty datagrams in one, again and again, at a rate that the sockets hold; each that
# arrives is compared.
bursts() {
	echo "burst() {
		\$load flood $TO --dir \$1 --size 1200 --segments 40 --rate 20000 --seconds 0.5 |
			grep '\"ok\":true' | grep '\"received\":[1-9]'
	}
	t mtu-$MTU-bursts-up burst up
	t mtu-$MTU-bursts-down burst down"
}

for MTU in 1500 9000 65520; do
	back_end --mtu $MTU
	case $MTU in
	1500) sizes="0 1 1400 1472" over="1473 8192 65507" ;;
	9000) sizes="0 8972" over="8973 20000" ;;
	65520) sizes="0 1 32768 65000 65492" over="65493 65507" ;;
	esac
	# shellcheck disable=SC2086 # sizes are words
	guest mtu-$MTU -- "
	t dhcp-gives-mtu-$MTU sh -c 'ip -o link show eth0 | grep -q \"mtu $MTU \"'
	$(bulk mtu $MTU)
	t mtu-$MTU-half-closed \$load half $TO --size 8m
	t mtu-$MTU-reset \$load reset $TO
	t mtu-$MTU-reader-pauses \$load hold $TO --dir down --size 16m --pause-read 0.2
	t mtu-$MTU-host-pauses \$load hold $TO --dir up --size 16m --pause-read 0.2
	$(datagrams $sizes $over)
	$(bursts)
	"
	back_end_stop "mtu-$MTU-ends"
	check mtu-$MTU-fragments-are-put-together "none" \
		test "$(stat_value net reassembled)" = $((3 * $(echo "$over" | wc -w)))
	# Under AddressSanitizer a pool's slots come from the heap, for it to watch.
	if grep -q __asan_init "$B/sluice"; then
		skip mtu-$MTU-allocates-nothing "AddressSanitizer's pools are the heap"
	else
		check mtu-$MTU-allocates-nothing "$(stat_value worker allocations) allocations" \
			test "$(stat_value worker allocations)" = 0
	fi
done

back_end
for n in 256 1024; do
	guest ring-$n --queue-size $n --mtu 1500 -- "$(bulk ring $n)"
done
# So few buffers that the ring runs dry all the time (H14).
guest starved --queue-size 16 --rx-buf 1600 --mtu 1500 -- "
t starved-down \$load bulk $TO --dir down --size 16m
t starved-down-8-flows \$load bulk $TO --dir down --size 4m --flows 8
t starved-up \$load bulk $TO --dir up --size 16m
"
for less in tso,guest_tso uso,guest_uso mrg event all; do
	buf=4096
	[ $less != mrg ] || buf=65600 # a driver without it needs room for all
	guest "without-$less" --without $less --rx-buf $buf --mtu 1500 -- "
	t without-$less-up \$load bulk $TO --dir up --size 32m
	t without-$less-down \$load bulk $TO --dir down --size 32m
	t without-$less-udp \$load udp $TO --size 1400 --count 5
	"
done
back_end_stop rings-end
engine_carried
