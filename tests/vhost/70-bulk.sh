#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The guest's own pages on their way to sockets of this host: readers that stop must not
# take the transmit ring away from everybody else (H72).
. "$(dirname "$0")/lib.sh"

need_guest bulk
[ -z "$BULK" ] || {
	skip bulk "it chooses its engines itself"
	exit 0
}
server

# A short ring of a driver without indirect descriptors: three long frames fill it.
back_end --bulk splice --splice-to any --mtu 65520
guest short-ring --queue-size 64 --tx-pieces 18 -- "
for i in 1 2 3 4 5 6; do
	\$load hold $TO --dir up --size 24m --pause-read 20 --seed \$i >$W/hold\$i &
done
sleep 0.5
t readers-that-rest-leave-the-ring \$load crr $TO --count 50 --timeout 18
wait
t short-ring-every-byte test \$(cat $W/hold? | grep -c '\"ok\":true') = 6
t short-ring-8-flows \$load bulk $TO --dir up --size 8m --flows 8
t short-ring-down \$load bulk $TO --dir down --size 32m
"
back_end_stop short-ring-ends
check short-ring-was-lent "by copy alone" test "$(stat_value net bulk_splice_bytes)" -gt 1000000
check short-ring-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0
