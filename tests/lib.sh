# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What every group of tests begins with, by way of the lib.sh beside it. A group is a
# file NN-name.sh that prints one line for each test:
#
#	PASS name
#	FAIL name why
#	SKIP name why
#
# Everything that was started ends with the group. It must do with busybox's shell and
# tools. Variables of functions begin with _, as sh has no local.
# shellcheck disable=SC2034 # some variables are for the groups

B=${BUILD:-build}
W=$(mktemp -d)
LOAD=$B/load

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

# stat_value GROUP NAME [FILE]: a figure of --stats=FILE, by default of $W/stats.
stat_value() {
	tr -d ' "\n' <"${3:-$W/stats}" | sed -n "s/.*[{,]$1:{\([^}]*\)}.*/\1/p" | tr ',:' '\n ' |
		sed -n "s/^$2 //p"
}

# wait_for SECONDS COMMAND...: until the command succeeds; false when time is up.
wait_for() {
	_tries=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		_tries=$((_tries - 1))
		[ $_tries -gt 0 ] || return 1
		sleep 0.05
	done
}

# still SOCKET: a second in which no payload passes through the sluice whose --control
# that is; it has moved some before.
still() {
	_moved=$(payload "$1")
	sleep 1
	[ "${_moved:-none}" = "$(payload "$1")" ]
}

# All payload of TCP that has passed, both ways; nothing if none has, or nobody answers.
payload() {
	"$B/sluice" ctl --control "$1" metrics prometheus |
		awk '/^sluice_net_tcp_[rt]x_payload_total/ { n += $NF } END { if (n) printf "%.0f\n", n }'
}
