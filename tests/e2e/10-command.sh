#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A stock Debian kernel boots; one command runs there as if it ran here.
. "$(dirname "$0")/lib.sh"

check load-knows-its-examples "$("$LOAD" selftest || true)" "$LOAD" selftest

status=0
seq 1 30000 >"$W/in"
# shellcheck disable=SC2016 # expanded in the guest
vm --env COLOUR=blue --stats="$W/stats" -- sh -c 'echo "first $COLOUR"; cat; echo second >&2; exit 7' \
	<"$W/in" >"$W/out" 2>"$W/err" || status=$?
silent $status "$W/out" "$W/err"
{
	echo "first blue"
	cat "$W/in"
} >"$W/want"
check boots-stock-kernel "$(tail -n 3 "$W/err")" grep -q first "$W/out"
check exit-status-passes "status $status, not 7" test $status = 7
check stdin-and-stdout-byte-exact "$(wc -c <"$W/out") bytes, not $(wc -c <"$W/want")" cmp "$W/out" "$W/want"
check stderr-apart "$(tail -n 3 "$W/err")" grep -qx second "$W/err"
check environment-passes "$(head -n 1 "$W/out")" grep -qx "first blue" "$W/out"
check statistics-written "no JSON in the file" grep -q '^{' "$W/stats"

# Each of these is one line that says why, and no guest.
refuses() {
	name=$1
	shift
	status=0
	"$B/sluice" run "$@" -- true >"$W/out" 2>"$W/err" </dev/null || status=$?
	if [ $status = 0 ]; then
		fail "$name" "status 0"
	elif [ "$(wc -l <"$W/err")" != 1 ] || [ -s "$W/out" ]; then
		fail "$name" "not one line: $(cat "$W/err" "$W/out")"
	else
		pass "$name"
	fi
}
refuses refuses-bad-kernel --kernel /etc/passwd
refuses refuses-missing-kernel --kernel /nowhere/vmlinuz
refuses refuses-tiny-memory --memory 1M
refuses refuses-unknown-option --colour blue
