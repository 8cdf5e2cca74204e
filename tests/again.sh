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

# first_failure FILE: the first line that tells what failed
first_failure() {
	grep -m 1 -E '^(FAIL |not ok [0-9]+ - )' "$1" || tail -n 1 "$1"
}

# passes_again FILE COMMAND...: runs it AGAIN times, each time with its output in FILE.
# Status 0: nothing failed.
passes_again() {
	local file=$1 i
	shift
	for ((i = 0; i < AGAIN; i++)); do
		"$@" >"$file" 2>&1 || return 1
		! grep -qE '^(FAIL |not ok [0-9]+ - )' "$file" || return 1
	done
}
