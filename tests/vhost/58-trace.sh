#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The probes: what the program has, what src/base/probe.h and docs/observability.md say
# that it has, and what the scripts of tools/ make of it, are one; and each script tells
# the truth about a guest's traffic, where the kernel lets bpftrace attach.
. "$(dirname "$0")/lib.sh"

cd "$(dirname "$0")/../.." || exit
DOC=docs/observability.md

command -v readelf >/dev/null || {
	skip trace "no readelf (binutils)"
	exit 0
}

# --- what there is --------------------------------------------------------------------
# Lines "NAME ARGUMENTS" of the program, and the same of a text's `NAME(ARG, ...)`.
readelf -n "$B/sluice" | awk '/^ *Provider:/ { ours = $2 == "sluice" } /^ *Name:/ { name = $2 }
	/^ *Arguments:/ && ours { print name, NF - 1 }' | sort -u >"$W/probes"
if [ ! -s "$W/probes" ]; then
	skip trace "built without <sys/sdt.h> (systemtap-sdt-dev)"
	exit 0
fi

listed() {
	sed -n "s/^$1\([a-z_]*\)(\([a-z, ]*\)).*/\1 \2/p" "$2" | awk '{ print $1, NF - 1 }' | sort -u
}

listed ' \*	sluice:' src/base/probe.h >"$W/header"
check probes-are-those-of-the-header "$(diff "$W/probes" "$W/header")" cmp "$W/probes" "$W/header"
listed '| `' $DOC >"$W/doc"
check probes-are-those-of-the-document "$(diff "$W/probes" "$W/doc")" cmp "$W/probes" "$W/doc"

# Whether each argument that a script's clauses use is one of their probe.
uses_what_there_is() {
	awk 'NR == FNR { has[$1] = $2; next }
		/^[a-zA-Z]/ { probe = "" }
		/^usdt:/ { n = split($0, part, ":"); probe = part[n]; sub(/[^a-z_].*/, "", probe)
			if (!(probe in has)) { print "no probe " probe; bad = 1 } }
		probe { line = $0; while (match(line, /arg[0-9]+/)) {
			if (substr(line, RSTART + 3, RLENGTH - 3) + 0 >= has[probe]) {
				print probe " has no " substr(line, RSTART, RLENGTH); bad = 1 }
			line = substr(line, RSTART + RLENGTH) } }
		END { exit bad }' "$W/probes" "$1"
}

for script in tools/*.bt; do
	name=$(basename "$script" .bt)
	why=$(uses_what_there_is "$script")
	check "trace-$name-uses-what-there-is" "$why" test -z "$why"
	check "trace-$name-is-in-the-document" "" grep -q "^| \`$script\` |" $DOC
done
grep -o 'tools/[a-z]*\.bt' $DOC | sort -u >"$W/scripts"
check documented-scripts-are-there "$(cat "$W/scripts")" sh -c "xargs ls <'$W/scripts'"

# The reasons by their numbers, as the enum has them.
sed -n 's/^	X([A-Z0-9_]*, "\([a-z0-9_]*\)".*/\1/p' tcpstack/drop.h | awk '{ print NR - 1, $1 }' >"$W/enum"
sed -n 's/.*@name\[\([0-9]*\)\] = "\(.*\)";/\1 \2/p' tools/drops.bt >"$W/named"
check reasons-are-those-of-the-enum "$(diff "$W/enum" "$W/named")" cmp "$W/enum" "$W/named"

# --- what it shows --------------------------------------------------------------------
need_guest trace
command -v bpftrace >/dev/null || {
	skip trace "no bpftrace (tools/deps.sh tests)"
	exit 0
}
server
back_end --deny tcp:198.51.100.1

if ! bpftrace -p "$SL" -e 'usdt:*:sluice:drop { @ = count(); } BEGIN { exit(); }' >"$W/try" 2>&1; then
	skip trace "bpftrace cannot attach: $(grep -iE 'error|not' "$W/try" | tail -n 1)"
	exit 0
fi

for script in tools/*.bt; do
	name=$(basename "$script" .bt)
	bpftrace -B line -p "$SL" "$script" >"$W/$name" 2>&1 &
	eval "$name=$!"
	pids="$pids $!"
done
# The first sights of anything; then what is counted: a connection through the back-end
# of so many bytes, and five that are refused.
guest trace -- "
denied() {
	! \$load rr --to 198.51.100.1:9 --count 1 --size 1 --timeout 5
}
seen() {
	_n=0
	until grep -q \"\$2\" '$W'/\$1; do
		_n=\$((_n + 1))
		[ \$_n -lt 300 ] || return 1
		\$load crr $TO --count 1 && denied
		sleep 0.2
	done
}
t trace-drops-by-name seen drops 'policy_denied.: [1-9]'
t trace-flows-at-their-end seen flows '^tcp-[0-9]*\.[0-9]* *out '
t trace-sends-by-flow seen batches '^@by_flow.*: [1-9]'
t trace-upload \$load bulk $TO --dir up --size 20m
t trace-download \$load bulk $TO --dir down --size 10m
"
# Both bytes and the few that load asks by.
flow() {
	awk -v tx="$1" -v rx="$2" '/^tcp-/ && $3 >= tx && $3 < tx + 4096 && $4 >= rx &&
		$4 < rx + 4096 { n++ } END { exit n != 1 }' "$W/flows"
}
check trace-has-the-upload "$(tail -n 3 "$W/flows")" soon flow 20971520 0
check trace-has-the-download "$(tail -n 3 "$W/flows")" soon flow 0 10485760
# shellcheck disable=SC2154 # set by eval above
kill -INT "$flows" "$drops" "$batches"
# shellcheck disable=SC2154
wait "$flows" "$drops" "$batches"
check trace-has-connect-times "" grep -q '^@connect_us' "$W/flows"
total=$(sed -n 's/^@total: //p' "$W/batches")
check trace-has-the-batches "$total bytes" test "${total:-0}" -ge 20971520
back_end_stop trace-ends
check trace-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0
