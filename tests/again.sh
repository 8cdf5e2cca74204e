# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A test that fails on a machine which others keep busy, and then passes three times out
# of three, says more about the machine or the test than about the change at hand. Where
# AGAIN=N is set (.ci/run sets it, nothing else does), tests/run and tests/groups.sh run
# what has failed N times more. If it passes each time it is UNSTEADY: a line says so and
# what had failed, .ci/run says it again at its end, and it is a fault to be mended.
#
# Some things are never tried again, since once is enough: wrong content, the word of a
# sanitizer or of valgrind, and a program that a signal has ended.

# once_is_enough STATUS FILE: does the output FILE of what ended with STATUS tell of such?
once_is_enough() {
	case $1 in
	99 | 13[0-689] | 14[0-9] | 15[0-9]) return 0 ;; # valgrind; signals, not 137 of timeout
	esac
	grep -vE '^(PASS |SKIP |ok )' "$2" | grep -qiE 'wrong|differ|sha256|sanitizer|runtime error:|^==[0-9]+==|sluice: error: bug'
}

# failures FILE: the lines that tell what failed
failures() {
	grep -E '^(FAIL |not ok [0-9]+ - )' "$1"
}

# passes_again FILE COMMAND...: runs it AGAIN times, each time with its output in FILE.
# Status 0: nothing failed.
passes_again() {
	local file=$1 i
	shift
	for ((i = 0; i < AGAIN; i++)); do
		"$@" >"$file" 2>&1 || return 1
		! failures "$file" >/dev/null || return 1
	done
}

# unsteady NAME STATUS FILE COMMAND...: COMMAND has ended with STATUS, its output is FILE.
# Status 0: it has failed, and passes now; FILE is of the last time, and a line has said so.
unsteady() {
	local name=$1 status=$2 file=$3 what
	shift 3
	[ "${AGAIN:-0}" -gt 0 ] || return 1
	what=$(failures "$file" | head -n 1)
	[ "$status" != 0 ] || [ -n "$what" ] || return 1
	! once_is_enough "$status" "$file" || return 1
	passes_again "$file.again" "$@" || return 1
	what=${what:-$(tail -n 1 "$file")}
	mv "$file.again" "$file"
	echo "UNSTEADY $name: failed, then passed $AGAIN of $AGAIN: status $status, $what"
}
