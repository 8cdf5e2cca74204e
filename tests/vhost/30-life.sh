#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Connections by the thousand, rings that stop, front-ends that die, and what the
# back-end holds afterwards: no more than before.
. "$(dirname "$0")/lib.sh"

need_guest life
server
# Descriptors of a process that cannot be dumped are shown to privilege only.
jail=on
[ "$(id -u)" = 0 ] || jail=off
back_end --max-conns 2048 --max-conn-rate 0 --jail $jail --control "$W/ctl"

fds() {
	find "/proc/$SL/fd" -mindepth 1 2>/dev/null | wc -l
}

rss_kb() {
	awk '/^VmRSS/ {print $2}' "/proc/$SL/status"
}

fds_at_most() {
	test "$(fds)" -le "$1"
}

fds_above() {
	test "$(fds)" -gt "$1"
}

# It opens no more once it answers; who asked may be counted still.
soon "$B/sluice" ctl --control "$W/ctl" status
base=$(fds)

guest connections -- "
t connections-10000-in-turn \$load crr $TO --count 10000
t connections-10000-by-256 \$load crr $TO --count 10000 --concurrency 256
t flows-256-at-once \$load bulk $TO --dir up --size 100k --flows 256
t round-trips \$load rr $TO --count 2000 --size 100
"
check descriptors-back-to-base "$(fds) of $base" soon fds_at_most "$base"

# One flow whose reader rests, with data under way: no event, so no work (H34).
setsid "$B/nsguest" --socket "$S" -- "$LOAD" hold --to "10.0.2.2:$PORT" --dir down --size 64m \
	--pause-read 60 >"$W/hold" 2>"$W/err" &
rests=$!
soon grep -q paused "$W/hold"
soon still "$W/ctl"
cat "/proc/$SL/task"/*/schedstat >"$W/a"
sleep 1
cat "/proc/$SL/task"/*/schedstat >"$W/b"
kill -KILL "-$rests"
wait "$rests" 2>/dev/null
idle_us=$(paste -d ' ' "$W/a" "$W/b" | awk '{d += $4 - $1} END {printf "%d", d / 1000}')
check idle-back-end-rests "it ran $idle_us us of an idle second" test "$idle_us" -lt 20000

guest restart --restart 50 -- "
t rings-restart-up \$load bulk $TO --dir up --size 32m
t rings-restart-down \$load bulk $TO --dir down --size 256m
t rings-restart-down-8-flows \$load bulk $TO --dir down --size 16m --flows 8
t rings-restart-connections \$load crr $TO --count 500 --concurrency 8
"

# A driver that begins anew loses what the rings held, and gets it again.
guest reset --reset 100 -- "
t device-resets-up \$load bulk $TO --dir up --size 32m
t device-resets-down \$load bulk $TO --dir down --size 64m
t device-resets-down-8-flows \$load bulk $TO --dir down --size 8m --flows 8
"

# Killed in mid-transfer, and the next one at its heels. Its files are looked for in a
# folder of its own.
mkdir "$W/tmp"
killed_ok=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	dir=up
	[ $((i % 2)) = 0 ] || dir=down
	TMPDIR=$W/tmp setsid "$B/nsguest" --socket "$S" -- \
		"$LOAD" bulk --to "$PEER:$PORT" --dir $dir --size 4g --flows 8 >/dev/null 2>&1 &
	victim=$!
	soon fds_above $((base + 10)) || break
	kill -KILL -$victim
	wait $victim 2>/dev/null
	[ $i -gt 2 ] || rss=$(rss_kb)
	if "$B/nsguest" --socket "$S" -- "$LOAD" bulk --to "$PEER:$PORT" \
		--dir up --size 1m >/dev/null 2>"$W/err"; then
		killed_ok=$((killed_ok + 1))
	fi
done
check killed-and-back-10-times "$killed_ok of 10 came back: $(cat "$W/err")" test $killed_ok = 10
left=$(find "$W/tmp" -mindepth 1)
check killed-leaves-no-files "$left" test -z "$left"
check killed-leaves-no-descriptors "$(fds) of $base" soon fds_at_most "$base"
check killed-leaves-no-memory "$(rss_kb) kB, was $rss" test "$(rss_kb)" -lt $((rss + 1024))

# One device, one front-end: the second is told so at once.
"$B/nsguest" --socket "$S" -- sleep 20 2>/dev/null &
first=$!
pids="$pids $first"
soon fds_above "$base"
check second-front-end-is-turned-away "it was not" \
	sh -c "! '$B/nsguest' --socket '$S' -- true"
kill $first
soon fds_at_most "$base"
back_end_stop ends-on-sigterm
check flows-back-to-none "$(stat_value net tcp_active) flows" \
	test "$(stat_value net tcp_active)" = 0
check nothing-allocated "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

# A socket file without a listener is a leftover; --once ends with the front-end.
"$B/sluice" vhost-user --socket "$S" &
stale=$!
soon test -S "$S"
kill -KILL $stale
wait $stale 2>/dev/null
back_end --once
guest once -- "t once-serves \$load bulk $TO --dir up --size 1m"
wait "$SL"
status=$?
check once-ends "status $status" test $status = 0 -a ! -e "$S"
engine_carried
