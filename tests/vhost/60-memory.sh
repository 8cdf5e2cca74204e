#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Memory does not grow with what has been done: what the first thousand connections
# and the first GiB have made of the back-end's private memory, it still is after many
# more; and its worker has called no allocator. What the guest shares is not counted.
. "$(dirname "$0")/lib.sh"

need_guest memory
GROWTH_KIB=256
if [ -n "${CHECK_LONG:-}" ]; then
	: "${CONNECTIONS:=100000}" "${MEMORY_BYTES:=50g}"
else
	: "${CONNECTIONS:=20000}" "${MEMORY_BYTES:=2g}"
fi

server
back_end --max-conns 4096 --control "$W/ctl"

# After TIME-WAIT (2 s), and two looks of the back-end for memory that is idle.
now="sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' /proc/$SL/status"
sample="sleep 5; $now"

# settles KIB: the same, as soon as it is no more than that; in a minute at the latest.
SETTLES="settles() {
	_n=0
	until _kib=\$({ $sample; }) && [ \$_kib -le \$1 ] || [ \$_n = 12 ]; do
		_n=\$((_n + 1))
	done
	echo \$_kib
}"

guest memory -- "
$SETTLES
t memory-first-1000-connections \$load crr $TO --count 1000 --concurrency 8
t memory-first-gib-up \$load bulk $TO --dir up --size 512m
t memory-first-gib-down \$load bulk $TO --dir down --size 512m
{ $sample; } >$W/first
t memory-more-connections \$load crr $TO --count $CONNECTIONS --concurrency 8 --timeout 1200
t memory-more-up \$load bulk $TO --dir up --size $MEMORY_BYTES --timeout 1200
t memory-more-down \$load bulk $TO --dir down --size $MEMORY_BYTES --timeout 1200
settles \$((\$(cat $W/first) + $GROWTH_KIB)) >$W/last
\$load idle $TO --count 1 --seconds 600 >/dev/null &
sleep 1
t memory-2000-connections-at-once \$load idle $TO --count 2000 --seconds 2 --timeout 60
settles \$((\$(cat $W/first) + $GROWTH_KIB)) >$W/burst
t memory-one-of-them-lives-on kill \$!
"

# A list of flows is made and gone; what stays is the copy that the next one may use.
LIST_KIB=1024
guest list -- "
\$load idle $TO --count 2000 --seconds 600 >$W/idle &
until grep -q idle $W/idle; do sleep 0.1; done
{ $now; } >$W/unlisted
t memory-flows-are-listed sh -c '$B/sluice ctl --control $W/ctl --json flows limit=4096 >$W/list'
n=0
until { $now; } >$W/listed && [ \$(cat $W/listed) -le \$((\$(cat $W/unlisted) + $LIST_KIB)) ] || [ \$n = 60 ]; do
	n=\$((n + 1))
	sleep 0.5
done
kill \$!
"
unlisted=$(cat "$W/unlisted") listed=$(cat "$W/listed")
check memory-is-not-kept-for-a-list "private KiB: $unlisted, after a list $listed" \
	test "$(wc -c <"$W/list")" -gt 500000 -a "$listed" -le $((unlisted + LIST_KIB))
first=$(cat "$W/first") last=$(cat "$W/last") burst=$(cat "$W/burst")
none=$(sh -c "$SETTLES
	sleep 3
	'$B/sluice' ctl --control '$W/ctl' --json flows limit=4096 >'$W/none'
	settles $((first + GROWTH_KIB))")
echo "# private memory, KiB: $first, at the end $last, after a burst $burst, after lists $none"
check memory-is-flat "private KiB: first $first, at the end $last" \
	test "$last" -le $((first + GROWTH_KIB))
check memory-is-flat-after-a-burst "private KiB: first $first, after a burst $burst" \
	test "$burst" -le $((first + GROWTH_KIB))
check memory-is-flat-after-lists "private KiB: first $first, after lists $none" \
	test "$none" -le $((first + GROWTH_KIB))
back_end_stop memory-end
calls=$(($(stat_value worker allocations) + $(stat_value worker frees) + $(stat_value worker maps)))
check memory-no-allocator-call "$calls heap calls of the worker" test $calls = 0
engine_carried
