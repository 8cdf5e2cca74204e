# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the groups of end-to-end tests share. A group is a file NN-name.sh beside this
# one; it runs from a folder that holds $B with sluice, load and guest/ in it, either
# on a host with VT-x/SVM or inside tools/nested, and prints one line for each test:
#
#	PASS name
#	FAIL name why
#	SKIP name why
#
# It must do with busybox's shell and tools.
# shellcheck disable=SC2034 # some variables are for the groups
set -eu

B=${BUILD:-build}
W=$(mktemp -d)
LOAD=$B/load

# Emulated machines are slow; these are limits, not expectations.
if [ -n "${SLUICE_NESTED:-}" ]; then
	SIZE=32m
	BOOT_S=60
	# The inner kernel does not need its slow defences against the emulator.
	EXTRA="mitigations=off"
else
	SIZE=256m
	BOOT_S=30
	EXTRA=
fi

pids=
cleanup() {
	# shellcheck disable=SC2086 # a list of process ids
	[ -z "$pids" ] || kill $pids 2>/dev/null || true
	rm -rf "$W"
}
trap cleanup EXIT
trap 'exit 143' HUP INT TERM

pass() {
	echo "PASS $1"
}

skip() {
	echo "SKIP $1 $2"
}

# The functions here keep their variables in names that begin with _, as sh has no local.
fail() {
	_name=$1
	shift
	echo "FAIL $_name $(echo "$*" | tr '\n' ' ' | tail -c 400)"
}

# check NAME WHY COMMAND...: one test that is a command's status.
check() {
	_what=$1
	_why=$2
	shift 2
	if "$@" >/dev/null 2>&1; then
		pass "$_what"
	else
		fail "$_what" "$_why"
	fi
}

# stat_value GROUP NAME FILE: a figure of --stats=FILE.
stat_value() {
	tr -d ' "\n' <"$3" | sed -n "s/.*[{,]$1:{\([^}]*\)}.*/\1/p" | tr ',:' '\n ' |
		sed -n "s/^$2 //p"
}

# vm OPTIONS... [-- COMMAND]: sluice run with our guest.
# vm_exec OPTIONS...: the same in place of the shell, so that `vm_exec ... &` leaves the
# process id of sluice itself in $!.
vm() {
	(vm_exec "$@")
}

vm_exec() {
	exec "$B/sluice" run --timeout "$BOOT_S" ${EXTRA:+--cmdline "$EXTRA"} "$@"
}

# wait_for SECONDS COMMAND...: until the command succeeds; false when time is up.
wait_for() {
	_tries=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		_tries=$((_tries - 1))
		[ $_tries -gt 0 ] || return 1
		sleep 0.1
	done
}

# Starts the far end: PORT serves bulk, echo, rr, crr and HTTP; DNS answers two names.
servers() {
	"$LOAD" serve --port-file "$W/port" >"$W/serve.out" &
	pids="$pids $!"
	DNS=127.0.0.1:15353
	"$LOAD" dns --listen $DNS one.test=192.0.2.1 host.test=10.0.2.2 >/dev/null &
	pids="$pids $!"
	wait_for 10 test -s "$W/port"
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
	vm "$@" >"$W/$_group.out" 2>"$W/$_group.err" </dev/null || _status=$?
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
