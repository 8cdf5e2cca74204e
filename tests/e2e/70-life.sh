#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The ways in which a guest ends: from its shell, by itself, and by a signal to sluice.
# nested: memory=1536 timeout=200
. "$(dirname "$0")/lib.sh"

# A shell on the serial console: typed at through a pipe.
mkfifo "$W/in"
vm_exec <"$W/in" >"$W/out" 2>"$W/err" &
pid=$!
exec 3>"$W/in"
if wait_for "$BOOT_S" grep -q '# ' "$W/out"; then
	# The answer differs from what is typed, since the console echoes.
	# shellcheck disable=SC2016 # expanded in the guest
	echo 'echo answer-$((6 * 7)); poweroff' >&3
fi
status=0
wait $pid || status=$?
exec 3>&-
check shell-on-console "$(tail -n 3 "$W/out" "$W/err")" grep -q answer-42 "$W/out"
check poweroff-is-clean "status $status: $(tail -n 3 "$W/err")" test $status = 0

# A guest that restarts under a command takes the command with it.
status=0
vm -- reboot -f >"$W/out" 2>"$W/err" </dev/null || status=$?
check reboot-ends-the-run "status $status: $(tail -n 3 "$W/err")" test $status = 125

vm_exec -- sh -c 'echo up; sleep 100' >"$W/out" 2>"$W/err" </dev/null &
pid=$!
wait_for "$BOOT_S" grep -q up "$W/out" || true
kill -TERM $pid || true
status=0
ended() { ! kill -0 $pid 2>/dev/null; }
wait_for 20 ended || kill -KILL $pid || true
wait $pid || status=$?
check sigterm-is-clean "status $status: $(tail -n 3 "$W/out" "$W/err")" test $status = 143
