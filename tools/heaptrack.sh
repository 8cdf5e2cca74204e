#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Counts what the heap was asked for while the network works, and by whom.
#
#   tools/heaptrack.sh [--output FILE] [-- OPTION...]
#
# `sluice vhost-user OPTION...` runs under heaptrack, on top of jemalloc as a shared
# library (heaptrack sees nothing of a static one). A guest, a namespace with Linux's
# TCP, warms it up, then makes a thousand connections one after the other and moves a
# GiB each way. What is printed for each of these is the calls of the allocator by the
# whole program, not only by its worker, between the moment before and the moment
# after. Exit status: 0 when there were none, 1 when there were, 77 when this cannot
# be found out here.
#
# BUILD is the build folder; CONNECTIONS and BULK change the amounts.
cd "$(dirname "$0")/.."
# shellcheck source=bench/lib.sh
. bench/lib.sh

CONNECTIONS=${CONNECTIONS:-1000}
BULK=${BULK:-1g}

# Allocations for each connection that the designs before this one needed, in order.
HISTORY="421 229 189 93 41"

skip() {
	echo "SKIP bench-alloc: $*"
	exit 77
}

output=
while [ $# -gt 0 ]; do
	case $1 in
	--output)
		output=$2
		shift 2
		;;
	--)
		shift
		break
		;;
	*)
		sed -n '4,18s/^# \{0,1\}//p' "$0" >&2
		exit 2
		;;
	esac
done

why=$(no_guest_because)
[ -z "$why" ] || skip "$why"
jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .*=> //p' | head -n 1)
[ -n "$jemalloc" ] || skip "no libjemalloc.so.2; tools/deps.sh profile"
for tool in heaptrack heaptrack_print; do
	command -v $tool >/dev/null || skip "no $tool; tools/deps.sh profile"
done

# Marks are pairs of a moment in ms and a name; the phase of a name ends there.
mark() {
	sleep 0.2
	echo "$(age_ms) $*" >>"$W/marks"
	sleep 0.2
}

# Runs in the guest's place, but the process that it looks at is ours.
phases() {
	mark "start"
	"$LOAD" crr --to "$HOST:$PORT" --count "$CONNECTIONS" >"$W/out"
	"$LOAD" bulk --to "$HOST:$PORT" --dir up --size 64m >"$W/out"
	"$LOAD" bulk --to "$HOST:$PORT" --dir down --size 64m >"$W/out"
	mark "warm-up"
	"$LOAD" crr --to "$HOST:$PORT" --count "$CONNECTIONS" >"$W/out"
	mark "connections"
	"$LOAD" bulk --to "$HOST:$PORT" --dir up --size "$BULK" >"$W/out"
	mark "guest to host"
	"$LOAD" bulk --to "$HOST:$PORT" --dir down --size "$BULK" >"$W/out"
	mark "host to guest"
	"$LOAD" udp --to "$HOST:$PORT" --count "$CONNECTIONS" --size 1000 >"$W/out"
	mark "datagrams"
}

if [ "${HEAPTRACK_PHASES:-}" ]; then
	trap - EXIT
	rm -rf "$W"
	W=$HEAPTRACK_PHASES
	phases
	exit
fi

serve
RUNNER="env LD_PRELOAD=$jemalloc heaptrack -o $W/heap" sluice_start "$@" >"$W/log" 2>&1
export CONNECTIONS BULK
HEAPTRACK_PHASES=$W guest -- tools/heaptrack.sh || die "the load failed: $(cat "$W/out")"
sluice_stop >>"$W/log" 2>&1 || die "sluice failed: $(cat "$W/log")"

data=$(echo "$W"/heap.*)
case $data in
*.zst) unpack="zstd -dc" ;;
*.gz) unpack="gzip -dc" ;;
*) die "heaptrack has left no data: $(cat "$W/log")" ;;
esac
[ -z "$output" ] || cp "$data" "$output"

echo "heap calls of the whole program, $(cat /proc/sys/kernel/osrelease), heaptrack over $jemalloc"
echo
# The trace is lines: c TIME in ms, + an allocation, - one freed; numbers are hexadecimal.
$unpack "$data" | awk -v marks="$W/marks" -v connections="$CONNECTIONS" -v bulk="$BULK" '
	function hex(s,   i, n) {
		for (i = 1; i <= length(s); i++)
			n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
		return n
	}
	function mb(s,   n) {
		n = s + 0
		if (s ~ /k$/) n *= 1024
		if (s ~ /m$/) n *= 1024 * 1024
		if (s ~ /g$/) n *= 1024 * 1024 * 1024
		return n / 1e6
	}
	BEGIN {
		while ((getline line < marks) > 0) {
			split(line, f, " ")
			at[++n] = f[1]
			name[n] = substr(line, length(f[1]) + 2)
		}
		p = 1
	}
	$1 == "c" {
		now = hex($2)
		while (p <= n && now > at[p])
			p++
	}
	$1 == "+" { allocs[p]++ }
	$1 == "-" { frees[p]++ }
	END {
		printf "%-16s %10s %12s %8s %18s\n", "phase", "amount", "allocations", "frees", "each"
		for (i = 1; i <= n; i++) {
			amount = each = ""
			if (name[i] == "connections" || name[i] == "datagrams") {
				amount = connections
				each = sprintf("%.3f", allocs[i] / connections)
				if (name[i] == "connections") {
					each = each " a connection"
					per = allocs[i] / connections
				}
			} else if (name[i] ~ / to /) {
				amount = sprintf("%.0f MB", mb(bulk))
				each = sprintf("%.3f a MB", allocs[i] / mb(bulk))
			}
			printf "%-16s %10s %12d %8d %18s\n", name[i], amount, allocs[i], frees[i], each
			if (i > 2)
				steady += allocs[i]
		}
		printf "%-16s %10s %12d %8d\n", "end", "", allocs[n + 1], frees[n + 1]
		printf "\nallocations a connection, one design after the other: '"$(echo "$HISTORY" | sed 's/ / -> /g')"' -> %g (this one)\n", per
		print "steady", steady + 0 > "/dev/stderr"
	}' 2>"$W/steady"
echo

echo "peak"
heaptrack_print -f "$data" -p 0 -a 0 -T 0 -l 0 2>/dev/null |
	grep -E '^(calls to allocation|temporary memory|peak heap|peak RSS|total memory leaked)' |
	sed 's/^/  /'
echo
echo "most calls, over the whole run"
heaptrack_print -f "$data" -p 0 -a 1 -T 0 -l 0 -n 8 -s 1 2>/dev/null |
	awk '/^[0-9]+ calls to allocation functions/ { calls = $1; peak = $7; getline; print "  " calls, "calls, peak", peak, "from", $0; shown++ }
		shown == 8 { exit }'
echo
cat "$W/report"
steady=$(sed -n 's/^steady //p' "$W/steady")
[ "$steady" = 0 ] || die "bench-alloc: $steady allocations in steady state"
