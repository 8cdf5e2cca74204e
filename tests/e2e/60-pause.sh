#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A reader that stops for ten seconds in the middle, at either end: nothing is lost,
# and the network worker sleeps meanwhile (H34, H38).
. "$(dirname "$0")/lib.sh"

PAUSE=10
SETTLE=1
MEASURE=3
servers

# The worker's CPU time, ns: of the thread named sluice-net.
worker_ns() {
	for task in /proc/"$1"/task/*; do
		if [ "$(cat "$task/comm" 2>/dev/null)" = sluice-net ]; then
			cut -d' ' -f1 "$task/schedstat"
			return
		fi
	done
	return 1
}

# Time since boot in units of 10 ms.
uptime_10ms() {
	cut -d' ' -f1 /proc/uptime | tr -d .
}

paused_or_gone() {
	grep -q paused "$events" || ! kill -0 "$vm_pid"
}

# The reader says in @events when it stops and when it goes on: the worker's share of a
# CPU is taken between the two, in hundredths of a percent.
# On a busy machine the pause may be over before it was measured: then status 1.
pause_once() {
	name=$1
	dir=$2
	events=$3
	status=0
	share=
	: >"$W/out"
	vm_exec --dns "$DNS" -- sh -c "echo up; exec load hold --to 10.0.2.2:$PORT --dir $dir \
		--size $SIZE --pause-read $PAUSE --timeout 120" >"$W/out" 2>"$W/err" </dev/null &
	vm_pid=$!
	if wait_for "$RUN_S" paused_or_gone && grep -q paused "$events"; then
		sleep $SETTLE
		cpu=$(worker_ns $vm_pid)
		at=$(uptime_10ms)
		sleep $MEASURE
		cpu=$(($(worker_ns $vm_pid) - cpu))
		at=$(($(uptime_10ms) - at))
		# ns in units of 10 ms: 1e7 of them would be the whole of a CPU.
		grep -q resumed "$events" || share=$((cpu / at / 1000))
	fi
	wait $vm_pid || status=$?
	silent $status "$W/out" "$W/err"
	check "$name-byte-exact" "status $status: $(tail -n 3 "$W/out" "$W/err")" \
		grep -q '"ok":true' "$W/out"
	[ -n "$share" ] || return 1
	check "$name-worker-sleeps" "$share hundredths of a percent of a CPU" test "$share" -lt 100
}

pause_test() {
	for try in 1 2 3; do
		pause_once "$@" && return
		echo "# $1: the pause was missed, try $try"
		: >"$3"
	done
	fail "$1-worker-sleeps" "no figure: the pause was missed each time"
}

pause_test guest-reader-pauses down "$W/out"
pause_test host-reader-pauses up "$W/serve.out"
