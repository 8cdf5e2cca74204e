# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the groups of vhost-user tests share: a back-end, and guests that are network
# namespaces behind it. They need $B with sluice, nsguest and load in it.
#
# BULK is the engine under test, empty for what users have by default (see run).
# shellcheck disable=SC2034 # some variables are for the groups
set -u

case ${BUILD:=build} in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
BULK=${BULK:-}
# shellcheck source=bench/engine.sh
. "$(dirname "$0")/../../bench/engine.sh"

# A group may have to start anew where the engine has peers; that may be nowhere.
if [ -n "$BULK" ]; then
	ENGINE=$(engine_options "$BULK") || exit
	if engine_is_far "$BULK" && [ -z "${OFFHOST_FAR:-}" ]; then
		status=0
		"$BUILD/offhost" -- sh "$0" || status=$?
		[ $status = 77 ] || exit $status
		echo "SKIP $(basename "$0" .sh) no second host for $BULK here"
		exit 0
	fi
fi

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
S=$W/s
C=$W/ctl

# Bytes of a bulk test, whole and for each of eight flows.
if [ -n "${CHECK_LONG:-}" ]; then
	: "${SIZE:=1g}" "${SIZE8:=128m}"
else
	: "${SIZE:=256m}" "${SIZE8:=16m}"
fi

# soon COMMAND...: until it is so, for as long as a busy machine may take.
soon() {
	wait_for 120 "$@"
}

# need_guest NAME: end the group with a SKIP where no namespace guest can be.
need_guest() {
	_lack=
	# A container may have the node and not the right, or a kernel not the driver.
	(: <>/dev/net/tun) 2>/dev/null || _lack="/dev/net/tun cannot be opened"
	[ "$(id -u)" = 0 ] || unshare -Urn true 2>/dev/null ||
		_lack="neither root nor user namespaces"
	command -v busybox >/dev/null || _lack="no busybox for DHCP"
	[ -z "$_lack" ] || {
		skip "$1" "$_lack"
		exit 0
	}
}

# need_programs NAME PROGRAM...: end the group with a SKIP where one of them is not there.
need_programs() {
	_name=$1
	shift
	for _program in "$@"; do
		command -v "$_program" >/dev/null || {
			skip "$_name" "no $_program"
			exit 0
		}
	done
}

not() {
	! "$@"
}

# ctl COMMAND...: of a back-end whose control socket is $C.
ctl() {
	"$B/sluice" ctl --control "$C" "$@"
}

# server: the far end, where the engine's peers are: its address in $PEER and port in
# $PORT, both in $TO.
server() {
	engine_serve --port-file "$W/port"
	soon test -s "$W/port"
	PORT=$(cat "$W/port")
	TO="--to $PEER:$PORT"
}

# back_end OPTIONS...: a back-end at $S, its process in $SL, its messages in $W/log.
back_end() {
	# shellcheck disable=SC2086 # options are words
	"$B/sluice" vhost-user --socket "$S" --log-level info --stats="$W/stats" \
		${ENGINE:-} "$@" 2>"$W/log" &
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
	carried=$((carried + $(engine_bytes "$BULK" stat_value)))
}

# engine_carried: that the engine under test has moved bytes is a test.
carried=0
engine_carried() {
	[ -n "$BULK" ] || return 0
	if [ "$BULK" = uring ] && grep -q 'uring: not to be had' "$W/log"; then
		skip "engine-$BULK" "$(grep -o 'uring: not to be had.*' "$W/log")"
		return
	fi
	check "engine-$BULK-was-used" "$carried bytes" test "$carried" -gt 1000000
}

# transfers SIZE: from now on transfers of so much follow each other both ways, four flows
# each, until $W/enough is there: in a guest whose front-end is the process $front.
# $W/transfers has a line for each that ended well; one may wait for a fault to be over.
transfers() {
	"$B/nsguest" --socket "$S" -- sh -c "
		go() {
			until [ -e '$W/enough' ]; do
				'$LOAD' bulk $TO --dir \$1 --size $1 --flows 4 --timeout 600 || exit 1
				echo \$1 >>'$W/transfers'
			done
		}
		go up & up=\$!
		go down & down=\$!
		wait \$up && wait \$down" >"$W/moves" 2>&1 &
	front=$!
	pids="$pids $front"
}

# moved_on BYTES: has the back-end at $C moved more than so many?
moved_on() {
	_now=$(payload "$C")
	test "${_now:-0}" -gt "$1"
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
