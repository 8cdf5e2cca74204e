#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A reader that stops in the middle, at either end: nothing is lost, and the network
# worker sleeps meanwhile (H34, H38).
. "$(dirname "$0")/lib.sh"

# Time for the buffers on the way to fill, and then to measure.
PAUSE=15
MEASURE=3

# What a worker that sleeps may take, in hundredths of a percent of a CPU; one that does
# not takes 10000. Under emulation it is also charged for the host's other work.
MOST=100
[ -z "${SLUICE_NESTED:-}" ] || MOST=500
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

resumed_or_gone() {
	grep -q resumed "$events" || ! kill -0 "$vm_pid"
}

# Is every buffer on the way full? Or is it too late?
full_or_over() {
	still "$W/ctl" || resumed_or_gone
}

# The worker's share of a CPU, in hundredths of a percent; false if the pause is over.
worker_share() {
	_cpu=$(worker_ns "$vm_pid") || return 1
	_at=$(uptime_10ms)
	sleep $MEASURE
	_end=$(worker_ns "$vm_pid") || return 1
	_at=$(($(uptime_10ms) - _at))
	! resumed_or_gone >/dev/null 2>&1 || return 1
	# ns in units of 10 ms: 1e7 of them would be the whole of a CPU.
	echo $(((_end - _cpu) / _at / 1000))
}

# The reader says in @events when it stops and when it goes on: the worker's share of a
# CPU is taken between the two.
# On a busy machine the pause may be over before that was done: then status 1.
pause_once() {
	name=$1
	dir=$2
	events=$3
	status=0
	share=
	: >"$W/out"
	vm_exec --dns "$DNS" --control "$W/ctl" -- sh -c "echo up; exec load hold \
		--to 10.0.2.2:$PORT --dir $dir --size $SIZE --pause-read $PAUSE --timeout 120" \
		>"$W/out" 2>"$W/err" </dev/null &
	vm_pid=$!
	if wait_for "$RUN_S" paused_or_gone && wait_for $PAUSE full_or_over; then
		share=$(worker_share) || share=
	fi
	wait $vm_pid || status=$?
	silent $status "$W/out" "$W/err"
	check "$name-byte-exact" "status $status: $(tail -n 3 "$W/out" "$W/err")" \
		grep -q '"ok":true' "$W/out"
	[ -n "$share" ] || return 1
	check "$name-worker-sleeps" "$share hundredths of a percent of a CPU" test "$share" -lt $MOST
}

pause_test() {
	for try in 1 2 3; do
		pause_once "$@" && return
		echo "# $1: the pause was over before the worker was measured, try $try"
		: >"$3"
	done
	fail "$1-worker-sleeps" "no figure: the pause was missed each time"
}

pause_test guest-reader-pauses down "$W/out"
pause_test host-reader-pauses up "$W/serve.out"
