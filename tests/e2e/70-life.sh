#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The ways in which a guest ends: from its shell, by itself, and by a signal to sluice.
. "$(dirname "$0")/lib.sh"

# A shell on the serial console: typed at through a pipe.
mkfifo "$W/in"
vm_exec <"$W/in" >"$W/out" 2>"$W/err" &
pid=$!
exec 3>"$W/in"
if wait_for "$RUN_S" grep -q '# ' "$W/out"; then
	# The answer differs from what is typed, since the console echoes.
	# shellcheck disable=SC2016 # expanded in the guest
	echo 'echo answer-$((6 * 7)); poweroff' >&3
fi
status=0
wait $pid || status=$?
exec 3>&-
silent $status "$W/out" "$W/err"
check shell-on-console "$(tail -n 3 "$W/out" "$W/err")" grep -q answer-42 "$W/out"
check poweroff-is-clean "status $status: $(tail -n 3 "$W/err")" test $status = 0

# A command ends while a connection of the guest is open: its status is that of the run (H60).
servers
status=0
vm -- sh -c "echo up
	load hold --to 10.0.2.2:$PORT --dir down --size $SIZE --pause-read 100 >/tmp/hold 2>&1 &
	until grep -q paused /tmp/hold; do sleep 0.1; done
	exit 7" >"$W/out" 2>"$W/err" </dev/null || status=$?
silent $status "$W/out" "$W/err"
check open-connection-ends-with-the-run "status $status: $(tail -n 3 "$W/out" "$W/err")" test $status = 7

# A guest that restarts under a command takes the command with it.
status=0
vm -- sh -c 'echo up; exec reboot -f' >"$W/out" 2>"$W/err" </dev/null || status=$?
silent $status "$W/out" "$W/err"
check reboot-ends-the-run "status $status: $(tail -n 3 "$W/err")" test $status = 125

# The "up" of the guest before must not be taken for this one's: a signal that meets the
# shell between fork and exec is lost.
rm -f "$W/out"
vm_exec -- sh -c 'echo up; sleep 100' >"$W/out" 2>"$W/err" </dev/null &
pid=$!
ended() { ! kill -0 $pid; }
up_or_ended() { grep -qs up "$W/out" || ended; }
wait_for "$RUN_S" up_or_ended || true
kill -TERM $pid || true
status=0
wait_for 60 ended || kill -KILL $pid || true
wait $pid || status=$?
silent $status "$W/out" "$W/err"
check sigterm-is-clean "status $status: $(tail -n 3 "$W/out" "$W/err")" test $status = 143
