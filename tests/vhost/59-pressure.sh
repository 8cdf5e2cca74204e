#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A host without memory: a back-end in a memory cgroup of its own whose every page is taken,
# by the page cache of somebody who wants more, and whose sockets have hardly a buffer. What is
# moved arrives to the byte, slowly, and at its old pace once there is memory again; and
# what the kernel kills for want of memory leaves nothing that the next one stumbles on.
#
# By cgroup v2, or by v1, which has a limit for the buffers besides.
# shellcheck disable=SC2086,SC2016 # options are words; other shells expand what is quoted
. "$(dirname "$0")/lib.sh"

need_guest pressure

# --- a group -----------------------------------------------------------------------
# make_group: $G is a new memory cgroup, $V its version; or $_lack says why there is none.
make_group() {
	V=2
	_root=$(awk '$3 == "cgroup2" && !n++ {print $2}' /proc/mounts)
	if [ -n "$_root" ] && grep -qw memory "$_root/cgroup.controllers"; then
		_own=$_root$(sed -n 's/^0:://p' /proc/self/cgroup)
		[ "$_own" = "$_root/" ] || _root=$(dirname "$_own")
		_lack="$_root/cgroup.subtree_control cannot be written"
		grep -qw memory "$_root/cgroup.subtree_control" ||
			(echo +memory >"$_root/cgroup.subtree_control") 2>/dev/null || return 1
	else
		V=1
		_root=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ && !n++ {print $2}' /proc/mounts)
		_lack="no memory cgroups"
		[ -n "$_root" ] || return 1
	fi
	G=$_root/sluice-pressure-$$
	_lack="$_root cannot be written"
	mkdir "$G" 2>/dev/null
}

# set_limit BYTES: of all that the group has.
set_limit() {
	if [ $V = 2 ]; then
		echo "$1" >"$G/memory.max"
	else
		echo "$1" >"$G/memory.limit_in_bytes"
	fi
}

# set_buffers BYTES: of its TCP sockets. By v1 they count for themselves, if they are made
# behind the first limit, and that can only be set when they have less; by v2 they are part
# of the whole.
set_buffers() {
	[ $V = 2 ] || echo "$1" >"$G/memory.kmem.tcp.limit_in_bytes"
}

# pressed: how often the group was at its limits.
pressed() {
	if [ $V = 2 ]; then
		awk '$1 == "high" || $1 == "max" {n += $2} END {print n + 0}' "$G/memory.events"
	else
		cat "$G/memory.failcnt"
	fi
}

pressed_above() {
	test "$(pressed)" -gt "$1"
}

# sh -c "$in_group" "$G" COMMAND...: the command is in it from its first byte on.
in_group='echo $$ >"$0/cgroup.procs" && exec "$@"'

if ! make_group; then
	skip pressure "$_lack"
	exit 0
fi
# What is in it must be gone first.
trap 'cleanup; rm -f "$B/pressure"; wait_for 10 rmdir "$G" || true' EXIT
FREE=1073741824 BUFFERS=1048576
# What is short here is not to be had elsewhere.
if [ $V = 2 ]; then
	[ ! -e "$G/memory.swap.max" ] || echo 0 >"$G/memory.swap.max"
else
	echo 0 >"$G/memory.swappiness"
fi

# back_end() in the group.
program=$B/sluice
back_end_in_group() {
	sh -c "$in_group" "$G" "$program" vhost-user --socket "$S" --log-level info --stats="$W/stats" \
		--control "$C" ${ENGINE:-} 2>"$W/log" &
	SL=$!
	pids="$pids $SL"
	soon "$program" ctl --control "$C" status
}

usage() {
	if [ $V = 2 ]; then
		cat "$G/memory.current"
	else
		cat "$G/memory.usage_in_bytes"
	fi
}

# --- memory that is short, and then is not --------------------------------------------
# Somebody in the group reads a file that does not fit, again and again: its pages and
# ours are each other's. Written past the cache, they are clean and nobody's yet.
file=$B/pressure
dd if=/dev/zero of="$file" bs=1048576 count=128 oflag=direct 2>/dev/null || file=
server
set_buffers $BUFFERS
back_end_in_group
transfers 4m
# By v1, one direction may have all that there is of buffers, and the other none until there
# is more: the kernel then drops what comes in.
soon moved_on 40000000
# The reader takes what there is; it must leave something that can be taken from it, or the
# kernel kills.
limit=$(($(usage) + 33554432))
before=$(pressed)
# By v2 the buffers are in it, and nobody can take them away: it is slowed down there, and
# would be killed far above.
if [ $V = 2 ]; then
	echo $limit >"$G/memory.high"
	limit=$((limit + 67108864))
fi
check pressure-is-put-on "usage $(usage)" set_limit $limit
reader=
if [ -n "$file" ]; then
	sh -c "$in_group" "$G" sh -c 'while cat "$0" >/dev/null; do :; done' "$file" &
	reader=$!
	pids="$pids $reader"
	check pressure-is-felt "$(pressed) times, $before before" soon pressed_above $((before + 50))
else
	skip pressure-is-felt "no file in $B that is not in memory"
fi
[ $V = 2 ] || check pressure-of-buffers-is-felt "" \
	test "$(cat "$G/memory.kmem.tcp.max_usage_in_bytes")" -ge $BUFFERS
_at=$(payload "$C")
check pressure-leaves-some-way "$(cat "$W/log")" soon moved_on $((${_at:-0} + 4000000))
sleep 2
[ -z "$reader" ] || {
	kill $reader
	wait $reader
} 2>/dev/null
check pressure-is-lifted "" set_limit $FREE
[ $V = 1 ] || echo max >"$G/memory.high"
check pressure-of-buffers-is-lifted "" set_buffers $FREE
_at=$(payload "$C")
check pressure-gone-all-goes-on "$(cat "$W/log")" soon moved_on $((${_at:-0} + 50000000))
: >"$W/enough"
wait $front
status=$?
check pressure-costs-no-byte "status $status; $(cat "$W/moves")" test $status = 0
check pressure-both-ways "$(sort "$W/transfers" | uniq -c)" \
	test "$(sort -u "$W/transfers" | wc -l)" = 2
back_end_stop pressure-ends
check pressure-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0
check pressure-cuts-off-nobody "$(cat "$W/stats")" test "$(stat_value net tcp_opened)" = \
	$(($(wc -l <"$W/transfers") * 4)) -a "$(stat_value net tcp_refused)" = 0

# --- killed for want of memory ------------------------------------------------------
back_end_in_group
"$B/nsguest" --socket "$S" -- "$LOAD" bulk $TO --dir up --size 64g --flows 4 --timeout 300 \
	>"$W/moves" 2>&1 &
front=$!
pids="$pids $front"
soon moved_on 20000000
echo 1000 >/proc/$SL/oom_score_adj
set_limit $(($(usage) + 4194304))
sh -c "$in_group" "$G" sh -c 'head -c 268435456 /dev/zero | tail -c 268435456 >/dev/null; :' 2>/dev/null &
hog=$!
has_ended() {
	! grep -q '^State:.[^Z]' /proc/$SL/status
}
soon has_ended || kill $SL
wait $SL 2>/dev/null
status=$?
check oom-kills "status $status" test $status = 137
wait $hog 2>/dev/null
set_limit $FREE
wait $front
status=$?
check oom-is-seen-by-the-front-end "status $status; $(cat "$W/moves")" \
	test $status = 125 -a "$(grep -c 'the back-end has hung up' "$W/moves")" = 1
# What it leaves are two names in the file system, and they are in nobody's way.
check oom-leaves-its-sockets "" test -S "$S" -a -S "$C"
back_end_in_group
guest oom -- "
t oom-a-fresh-one-up \$load bulk $TO --dir up --size 16m --flows 4
t oom-a-fresh-one-down \$load bulk $TO --dir down --size 16m --flows 4
"
back_end_stop oom-ends
