#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A worker that looks for work before it sleeps (--poll-us): no byte and no wake-up is
# lost between looking and sleeping, receive buffers that run out are seen when they come
# back, and a guest that is idle costs nothing.
. "$(dirname "$0")/lib.sh"

need_guest poll
server
C=$W/ctl
back_end --poll-us 1000 --max-conns 512 --control "$C"

polls() {
	ctl --json metrics json | tr -d ' \n' | tr ',{}' '\n' | sed -n 's/^"polls"://p'
}

guest poll -- "
t poll-round-trips \$load rr $TO --count 3000 --size 100
t poll-connections \$load crr $TO --count 1000 --concurrency 8
t poll-up \$load bulk $TO --dir up --size 64m
t poll-down \$load bulk $TO --dir down --size 64m
"
guest poll-starved --queue-size 16 --rx-buf 1600 --mtu 1500 -- "
t poll-starved-down \$load bulk $TO --dir down --size 8m
t poll-starved-both \$load bulk $TO --dir down --size 2m --flows 8
"
if [ "$(nproc)" -gt 1 ]; then
	check poll-looks-on "$(polls) polls" test "$(polls)" -gt 0
else
	check poll-is-off-with-one-processor "$(polls) polls" test "$(polls)" = 0
fi

# A guest that has nothing to say: the last window passes, and then the worker sleeps.
setsid "$B/nsguest" --socket "$S" -- "$LOAD" idle --to "10.0.2.2:$PORT" --count 10 --seconds 60 \
	>"$W/idle" 2>"$W/err" &
idle=$!
soon grep -q idle "$W/idle"
rested() {
	_before=$(polls)
	sleep 1
	[ "${_before:-none}" = "$(polls)" ]
}
check poll-idle-guest-is-let-alone "$(polls) polls and more" soon rested
kill -KILL "-$idle"
wait "$idle" 2>/dev/null
back_end_stop poll-ends
