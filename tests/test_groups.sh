#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/groups.sh: what it counts as failed, and what it runs again.
set -u

cd "$(dirname "$0")/.." || exit
# Not that of .ci/run, which calls us: each test here says how it is.
unset AGAIN
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

group 60-fails-once <<'END'
tried 1 && { echo FAIL one busy; exit 0; }
echo PASS one
END
group 61-fails-twice <<'END'
tried 2 && { echo FAIL one busy; exit 0; }
echo PASS one
END
group 62-wrong-byte-once <<'END'
tried 1 && { echo FAIL one wrong byte at 7; exit 0; }
echo PASS one
END
group 63-aborts-once <<'END'
tried 1 && kill -ABRT $$
echo PASS one
END
# A runner of programs has the same words for the same things.
programs() {
	local p list=()
	for p; do
		p=$(echo "$DIR/$p"-*.sh)
		[ -x "$p" ] || sed -i '1i #!/bin/sh' "$p"
		chmod +x "$p"
		list+=("$p")
	done
	status=0
	out=$(tests/run "${list[@]}" 2>&1) || status=$?
}

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

rm -f "$DIR"/*.tries
try 0 60
t without-again-one-failure-fails 1 "FAIL one busy" "0 passed, 1 failed, 0 skipped"
rm -f "$DIR"/*.tries
export AGAIN=3
try 0 60 10
t one-failure-of-four-is-unsteady 0 "UNSTEADY 60-.* then passed 3 of 3: status 0, FAIL one busy" \
	"2 passed, 0 failed, 1 skipped"
try 0 61
t two-failures-of-four-fail 1 "FAIL one busy" "0 passed, 1 failed, 0 skipped"
try 0 62
t wrong-byte-is-never-tried-again 1 "FAIL one wrong byte at 7" "0 passed, 1 failed, 0 skipped"
try 0 63
t signal-is-never-tried-again 1 "FAIL 63-.* status 134.*" "0 passed, 1 failed, 0 skipped"
rm -f "$DIR"/*.tries
programs 60 10
t program-is-unsteady-too 0 "UNSTEADY .*/60-.* then passed 3 of 3: status 0, FAIL one busy" \
	"2 passed, 0 failed, 1 skipped"
programs 61
t program-that-fails-twice-fails 1 "0 passed, 1 failed, 0 skipped"
programs 62
t program-with-a-wrong-byte-fails 1 "0 passed, 1 failed, 0 skipped"
programs 63
t program-that-aborts-fails 1 "FAIL .*/63-.* status 134" "0 passed, 1 failed, 0 skipped"
