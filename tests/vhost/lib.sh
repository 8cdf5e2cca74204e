# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the groups of vhost-user tests share. A group is a file NN-name.sh beside this
# one; it needs $B with sluice, nsguest and load in it, and prints one line for each
# test: PASS name, FAIL name why, or SKIP name why.
# shellcheck disable=SC2034 # some variables are for the groups
set -u

B=${BUILD:-build}
case $B in /*) ;; *) B=$PWD/$B ;; esac
W=$(mktemp -d)
LOAD=$B/load
S=$W/s

# Bytes of a bulk test, whole and for each of eight flows.
if [ -n "${CHECK_LONG:-}" ]; then
	SIZE=1g
	SIZE8=128m
else
	SIZE=256m
	SIZE8=16m
fi

pids=
cleanup() {
	# shellcheck disable=SC2086 # a list of process ids
	[ -z "$pids" ] || kill $pids 2>/dev/null
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

# soon COMMAND...: until it is so, for ten seconds at most.
soon() {
	_tries=0
	until "$@"; do
		_tries=$((_tries + 1))
		[ $_tries -lt 500 ] || return 1
		sleep 0.02
	done
}

# need_guest NAME: end the group with a SKIP where no namespace guest can be.
need_guest() {
	_lack=
	[ -c /dev/net/tun ] || _lack="no /dev/net/tun"
	[ "$(id -u)" = 0 ] || unshare -Urn true 2>/dev/null ||
		_lack="neither root nor user namespaces"
	command -v busybox >/dev/null || _lack="no busybox for DHCP"
	[ -z "$_lack" ] || {
		skip "$1" "$_lack"
		exit 0
	}
}

# server: the far end; its port in $PORT.
server() {
	"$LOAD" serve --port-file "$W/port" >/dev/null &
	pids="$pids $!"
	soon test -s "$W/port"
	PORT=$(cat "$W/port")
	TO="--to 10.0.2.2:$PORT"
}

# back_end OPTIONS...: a back-end at $S, its process in $SL, its messages in $W/log.
back_end() {
	"$B/sluice" vhost-user --socket "$S" --log-level info --stats="$W/stats" "$@" \
		2>"$W/log" &
	SL=$!
	pids="$pids $SL"
	soon test -S "$S"
}

# back_end_stop NAME: it ends with status 0 and leaves no socket, and that is a test.
back_end_stop() {
	kill "$SL" 2>/dev/null
	wait "$SL"
	_status=$?
	check "$1" "status $_status; $(cat "$W/log")" test "$_status" = 0 -a ! -e "$S"
}

# stat_value GROUP NAME: a figure of the back-end that has ended.
stat_value() {
	tr -d ' "\n' <"$W/stats" | sed -n "s/.*[{,]$1:{\([^}]*\)}.*/\1/p" | tr ',:' '\n ' |
		sed -n "s/^$2 //p"
}

# guest NAME OPTIONS... -- TESTS: run TESTS, lines of `t NAME COMMAND`, in a namespace
# behind the back-end. That it comes to its end is a test as well.
guest() {
	_group=$1
	shift
	_options=
	while [ "$1" != -- ]; do
		_options="$_options $1"
		shift
	done
	cat >"$W/tests" <<-END
		t() {
			_t=\$1
			shift
			_out=\$("\$@" 2>&1) && echo "PASS \$_t" ||
				echo "FAIL \$_t \$(echo "\$_out" | tr '\\n' ' ' | tail -c 300)"
		}
		not() {
			! "\$@"
		}
		load=$LOAD
		$2
		: >"$W/ran"
	END
	rm -f "$W/ran"
	# shellcheck disable=SC2086 # options are words
	"$B/nsguest" --socket "$S" $_options -- sh "$W/tests" 2>"$W/err" ||
		fail "$_group" "status $?: $(cat "$W/err")"
	[ -e "$W/ran" ] || fail "$_group" "its tests did not come to their end"
}
