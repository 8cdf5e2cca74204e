# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Runs groups of tests one after the other and counts what they say: what tests/vhost/run
# and tests/e2e/run have in common. Each of them sources this and has a function
#
#	run_group FILE		one group; its output and its status are the group's
#
# A group prints PASS NAME, FAIL NAME WHY or SKIP NAME WHY for each test (tests/lib.sh).
# One that ends with another status than 0 has failed, and so has one that reports no test.
#
# Where machines are emulated, the emulator may hang (tools/nested). Then, with
# retries=1, a group is run once more: if it ended with 124 (time was up), 125 (the
# machine died) or 75 (a guest that said nothing), and only if no test of it had
# failed. Each such run leaves a line RETRY that says what happened and what had passed.
#
# A group that failed in any other way is run AGAIN times more where that is set
# (tests/again.sh).
#
# What stands in label comes before the name of each test and group.
# shellcheck disable=SC2034 # for whoever sources this
retries=0 label=

groups_out=$(mktemp)
trap 'rm -f "$groups_out" "$groups_out.again"' EXIT

# shellcheck source=tests/again.sh
. "$(dirname "${BASH_SOURCE[0]}")/again.sh"

# groups_in DIR [GROUP...]: sets groups to the files of those, or of all: 10-traffic, 20 ...
groups_in() {
	local dir=$1 name
	shift
	groups=()
	for name in "${@:-[0-9]}"; do
		# shellcheck disable=SC2206 # a pattern
		groups+=("$dir"/$name*.sh)
	done
}

count() {
	grep -c "^$1 " "$groups_out" || true
}

# The last lines that are of no test, in one line.
last_words() {
	grep -vE '^(PASS|FAIL|SKIP) ' "$groups_out" | tail -n 3 | tr '\n' ' ' | tail -c 400
}

# Did the machine hang, or die, of the group that ended with status $1?
machine_failed() {
	case $1 in
	75 | 124 | 125 | 137) [ "$(count FAIL)" = 0 ] ;;
	*) false ;;
	esac
}

# run_groups: all of them, then `N passed, N failed, N skipped`. Status 0: nothing failed.
run_groups() {
	local group name started status try passed=0 failed=0 skipped=0 retried=0

	for group in "${groups[@]}"; do
		name=$label$(basename "$group" .sh)
		started=$SECONDS
		for ((try = 1; ; try++)); do
			status=0
			run_group "$group" >"$groups_out" 2>&1 || status=$?
			if [ "$try" -gt "$retries" ] || ! machine_failed "$status"; then
				break
			fi
			retried=$((retried + 1))
			echo "RETRY $name status $status: $(last_words)($(count PASS) had passed:" \
				"$(sed -n 's/^PASS //p' "$groups_out" | paste -s -d ' '))"
		done
		if unsteady "$name" "$status" "$groups_out" run_group "$group"; then
			status=0
		fi
		grep -E '^(PASS|FAIL|SKIP) ' "$groups_out" | sed "s,^\(....\) ,\1 $label," || true
		passed=$((passed + $(count PASS)))
		failed=$((failed + $(count FAIL)))
		skipped=$((skipped + $(count SKIP)))
		if [ "$status" != 0 ] && [ "$(count FAIL)" = 0 ]; then
			echo "FAIL $name status $status: $(last_words)"
			failed=$((failed + 1))
		elif [ "$(count PASS)$(count FAIL)$(count SKIP)" = 000 ]; then
			echo "FAIL $name reported no test: $(last_words)"
			failed=$((failed + 1))
		fi
		echo "# $name: $((SECONDS - started)) s"
	done
	[ $retried = 0 ] || echo "# machines that hung and were tried again: $retried"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
}
