#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/groups.sh: what it counts as failed, and what it runs again.
set -u

cd "$(dirname "$0")/.." || exit
export DIR
DIR=$(mktemp -d)
trap 'rm -rf "$DIR"' EXIT

# The runner under test, in a process of its own: $1 = retries, then groups. That time was
# up is a status, so no test here has to wait for it.
run() {
	bash -euo pipefail -c '
		. tests/groups.sh
		run_group() { sh "$1"; }
		retries=$1
		shift
		groups_in "$DIR" "$@"
		run_groups' run "$@" 2>&1
}

# t NAME STATUS LINE...: did the last run end so, with all these lines in its output?
t() {
	local name=$1 want=$2 line
	shift 2
	if [ "$status" != "$want" ]; then
		echo "FAIL $name status $status: $(echo "$out" | tr '\n' ' ')"
		return
	fi
	for line; do
		if ! grep -qxE "$line" <<<"$out"; then
			echo "FAIL $name no line '$line': $(echo "$out" | tr '\n' ' ')"
			return
		fi
	done
	echo "PASS $name"
}

# group NAME: its script is what comes in. tried N: true the first N times it is called.
group() {
	{
		# shellcheck disable=SC2016 # expanded there
		echo 'tried() { echo >>"$0.tries"; [ "$(wc -l <"$0.tries")" -le "$1" ]; }'
		cat
	} >"$DIR/$1.sh"
}

try() {
	status=0
	out=$(run "$@") || status=$?
}

group 10-good <<'END'
echo PASS one
echo SKIP two no such device
END
group 20-bad <<'END'
echo PASS one
echo FAIL two wrong byte
END
group 30-dies <<'END'
echo PASS one
echo its last words
exit 3
END
group 31-dies-at-once <<'END'
exit 1
END
group 40-mute <<'END'
echo hello
END
group 50-hangs-once <<'END'
echo PASS one
tried 1 && exit 124
echo PASS two
END
group 51-hangs <<'END'
echo PASS one
exit 124
END
group 52-fails-and-hangs <<'END'
tried 1 && { echo FAIL one; exit 124; }
echo PASS one
END
group 53-silent-guest-once <<'END'
tried 1 && { echo a guest that said nothing; exit 75; }
echo PASS one
END
group 54-wrong-status-once <<'END'
tried 1 && exit 1
echo PASS one
END

try 0 10
t counts-lines 0 "PASS one" "SKIP two no such device" "1 passed, 0 failed, 1 skipped"
try 0 20
t failed-test-fails 1 "FAIL two wrong byte" "1 passed, 1 failed, 0 skipped"
try 0 30
t other-status-fails 1 "FAIL 30-dies status 3: its last words *" "1 passed, 1 failed, 0 skipped"
try 0 31
t other-status-without-a-test-fails 1 "FAIL 31-dies-at-once status 1.*" \
	"0 passed, 1 failed, 0 skipped"
try 0 40
t no-test-fails 1 "FAIL 40-mute reported no test: hello *" "0 passed, 1 failed, 0 skipped"
try 0 10 20 31
t groups-add-up 1 "2 passed, 2 failed, 1 skipped"
try 1 50
t hang-is-tried-again 0 "RETRY 50-hangs-once status 124: .*\(1 had passed: one\)" "PASS two" \
	"2 passed, 0 failed, 0 skipped"
try 1 51
t two-hangs-fail 1 "RETRY 51-hangs .*" "FAIL 51-hangs status 124.*" \
	"1 passed, 1 failed, 0 skipped"
try 0 51
t without-retries-one-hang-fails 1 "FAIL 51-hangs status 124.*" "1 passed, 1 failed, 0 skipped"
try 1 52
t failure-is-never-tried-again 1 "FAIL one" "0 passed, 1 failed, 0 skipped"
try 1 53
t silent-guest-is-tried-again 0 "RETRY 53-.* status 75: a guest that said nothing .*" \
	"1 passed, 0 failed, 0 skipped"
try 1 54
t wrong-status-is-never-tried-again 1 "FAIL 54-.* status 1.*" "0 passed, 1 failed, 0 skipped"
