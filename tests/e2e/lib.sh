# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the groups of end-to-end tests share: guests of `sluice run`. They run from a
# folder that holds $B with sluice, load and guest/ in it, either on a host with
# VT-x/SVM or inside tools/nested.
# shellcheck disable=SC2034 # some variables are for the groups
set -eu

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# RUN_S: how long a guest may live. Emulated machines are slow, and slower beside others
# on a busy host; these are limits, not expectations.
if [ -n "${SLUICE_NESTED:-}" ]; then
	SIZE=32m
	RUN_S=400
	# The inner kernel does not need its slow defences against the emulator.
	EXTRA="mitigations=off"
else
	SIZE=256m
	RUN_S=60
	EXTRA=
fi

# vm OPTIONS... [-- COMMAND]: sluice run with our guest.
# vm_exec OPTIONS...: the same in place of the shell, so that `vm_exec ... &` leaves the
# process id of sluice itself in $!.
vm() {
	(vm_exec "$@")
}

vm_exec() {
	exec "$B/sluice" run --timeout "$RUN_S" ${EXTRA:+--cmdline "$EXTRA"} "$@"
}

# silent STATUS OUT ERR: ends the group if its guest was ended for having taken too long
# and had not printed a byte to OUT: then it hung on its way up, which is no test's
# result. The runner decides what becomes of it (tests/groups.sh).
silent() {
	[ "$1" = 124 ] && [ ! -s "$2" ] || return 0
	echo "a guest that said nothing: $(tail -n 3 "$3" "$W/console" 2>/dev/null)"
	exit 75
}

# Starts the far end: PORT serves bulk, echo, rr, crr and HTTP; DNS answers two names.
servers() {
	"$LOAD" serve --port-file "$W/port" >"$W/serve.out" &
	pids="$pids $!"
	DNS=127.0.0.1:15353
	"$LOAD" dns --listen $DNS one.test=192.0.2.1 host.test=10.0.2.2 >/dev/null &
	pids="$pids $!"
	wait_for 60 test -s "$W/port"
	PORT=$(cat "$W/port")
}

# What a script in the guest begins with: `t NAME COMMAND...` prints the line of a test.
# shellcheck disable=SC2016 # expanded in the guest
GUEST_T='t() {
	name=$1
	shift
	if out=$("$@" 2>&1); then
		echo "PASS $name"
	else
		echo "FAIL $name $(echo "$out" | tr "\n" " " | tail -c 400)"
	fi
}
'

# guest_tests NAME COUNT OPTIONS... -- COMMAND...: passes the guest's lines on, and
# fails NAME when the guest did not end well or printed fewer than COUNT of them.
guest_tests() {
	_group=$1
	_count=$2
	shift 2
	_status=0
	vm --console "$W/console" "$@" >"$W/$_group.out" 2>"$W/$_group.err" </dev/null || _status=$?
	silent $_status "$W/$_group.out" "$W/$_group.err"
	grep -E '^(PASS|FAIL|SKIP) ' "$W/$_group.out" || true
	_lines=$(grep -cE '^(PASS|FAIL|SKIP) ' "$W/$_group.out") || true
	if [ $_status != 0 ]; then
		fail "$_group" "status $_status: $(tail -n 3 "$W/$_group.err" "$W/$_group.out")"
	elif [ "$_lines" != "$_count" ]; then
		fail "$_group" "$_lines of $_count tests reported"
	else
		pass "$_group"
	fi
}
