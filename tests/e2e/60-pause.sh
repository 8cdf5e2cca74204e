#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A reader that stops for five seconds in the middle, at either end: nothing is lost,
# and the network worker sleeps meanwhile (H34, H38).
# nested: memory=1536 timeout=180
. "$(dirname "$0")/lib.sh"

PAUSE=5
servers
BOOT_S=150

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

# Lines "uptime_in_10_ms cpu_ns" every quarter of a second while the process lives.
sample() {
	while kill -0 "$1" 2>/dev/null; do
		if ns=$(worker_ns "$1"); then
			echo "$(cut -d' ' -f1 /proc/uptime | tr -d .) $ns"
		fi
		sleep 0.25
	done
}

# The smallest share of CPU, in hundredths of a percent, over any four seconds after
# the transfer began to use the worker: that is the pause.
quietest() {
	awk '{ t[NR] = $1; c[NR] = $2 }
	END {
		best = 1000000
		for (i = 1; i <= NR; i++) {
			for (j = i; j <= NR && t[j] - t[i] < 400; j++);
			# ns in 10 ms: 1e7 ns are 100 %.
			if (j <= NR && c[j] > c[1]) {
				share = (c[j] - c[i]) / (t[j] - t[i]) / 1000
				if (share < best) best = share
			}
		}
		printf "%d\n", best
	}' "$1"
}

pause_test() {
	name=$1
	dir=$2
	status=0
	vm_exec --dns "$DNS" -- load hold --to "10.0.2.2:$PORT" --dir "$dir" --size "$SIZE" \
		--pause-read $PAUSE --timeout 120 >"$W/out" 2>"$W/err" </dev/null &
	vm_pid=$!
	sample $vm_pid >"$W/samples"
	wait $vm_pid || status=$?
	check "$name-byte-exact" "status $status: $(tail -n 3 "$W/out" "$W/err")" \
		grep -q '"ok":true' "$W/out"
	share=$(quietest "$W/samples")
	check "$name-worker-sleeps" "$share hundredths of a percent of a CPU" test "$share" -lt 100
}

pause_test guest-reader-pauses down
pause_test host-reader-pauses up
