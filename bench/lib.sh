# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the scripts that run `sluice vhost-user` under load share: a guest that is a
# network namespace (bench/nsguest), a server (bench/load), and figures of the process.
#
# A script sources this from the top of the tree and calls, in this order,
#
#	serve				the far end; its port is $PORT
#	sluice_start [OPTION...]	the program under test; its process is $SLUICE
#	guest [OPTION...] -- COMMAND	COMMAND in the guest, with $PORT and the rest
#
# Everything that was started ends with the script. Variables of functions begin with
# _, as sh has no local.
# shellcheck disable=SC2034 # some variables are for the scripts
set -eu

B=${BUILD:-build}
W=$(mktemp -d)
LOAD=$B/load
SOCKET=$W/socket
STATS=$W/stats
HOST=10.0.2.2

pids=
cleanup() {
	# shellcheck disable=SC2086 # a list of process ids
	[ -z "$pids" ] || kill $pids 2>/dev/null || true
	rm -rf "$W"
}
trap cleanup EXIT
trap 'exit 143' HUP INT TERM

die() {
	echo "$*" >&2
	exit 1
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	_tries=$(($1 * 20))
	shift
	until "$@"; do
		_tries=$((_tries - 1))
		[ $_tries -gt 0 ] || return 1
		sleep 0.05
	done
}

# Why there can be no guest here; nothing when there can.
no_guest_because() {
	if [ ! -c /dev/net/tun ]; then
		echo "no /dev/net/tun"
	elif ! unshare --net --mount true 2>/dev/null &&
		! unshare --user --map-root-user --net --mount true 2>/dev/null; then
		echo "no right to make a network namespace"
	fi
}

serve() {
	"$LOAD" serve --port-file "$W/port" >/dev/null &
	pids="$pids $!"
	wait_for 5 test -s "$W/port" || die "the server does not start"
	PORT=$(cat "$W/port")
	export PORT
}

# The process called sluice among $1 and its descendants.
sluice_below() {
	if [ "$(cat "/proc/$1/comm")" = sluice ]; then
		echo "$1"
		return
	fi
	tr ' ' '\n' <"/proc/$1/task/$1/children" | while read -r _child; do
		[ -z "$_child" ] || sluice_below "$_child"
	done
}

# $RUNNER, a list of words, is what runs it (heaptrack). What looks into the process
# from outside, or counts its descriptors without privilege, cannot do so in the jail.
sluice_start() {
	_jail=on
	[ "$(id -u)" = 0 ] && [ -z "${RUNNER:-}" ] || _jail=off
	# shellcheck disable=SC2086 # a list of words
	${RUNNER:-} "$B/sluice" vhost-user --socket "$SOCKET" --stats="$STATS" \
		--alloc-report="$W/report" --jail $_jail "$@" &
	RUNNING=$!
	pids="$pids $RUNNING"
	wait_for 10 test -S "$SOCKET" || die "sluice does not start"
	SLUICE=$(sluice_below "$RUNNING")
	[ -n "$SLUICE" ] || die "sluice cannot be found below $RUNNING"
	export SLUICE LOAD STATS HOST
}

sluice_stop() {
	kill -TERM "$SLUICE"
	wait "$RUNNING"
}

guest() {
	"$B/nsguest" --socket "$SOCKET" --addr 10.0.2.15/24 --gateway 10.0.2.2 --dns 10.0.2.3 \
		--mtu 65520 "$@"
}

# figure GROUP NAME: of the last line of statistics.
figure() {
	tail -n 1 "$STATS" | sed -n "s/.*\"$1\":{[^}]*\"$2\":\([0-9]*\).*/\1/p"
}

# Ask for a line of statistics and wait for it.
ask_figures() {
	_lines=$(wc -l <"$STATS")
	kill -USR1 "$SLUICE"
	wait_for 10 sh -c "[ \$(wc -l <'$STATS') -gt $_lines ]" || die "sluice does not answer"
}

# Our own private memory in KiB: what the guest shares is the guest's.
anon_kib() {
	sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$SLUICE/status"
}

fds() {
	find "/proc/$SLUICE/fd" -mindepth 1 | wc -l
}

# Milliseconds since $SLUICE began, to a hundredth of a second.
age_ms() {
	_began=$(sed 's/.*) //' "/proc/$SLUICE/stat" | cut -d' ' -f20)
	awk -v b="$_began" '{ printf "%d\n", $1 * 1000 - b * 10 }' /proc/uptime
}
