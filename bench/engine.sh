# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What scripts share that run with one bulk engine or the other. The script that sources
# this has the build folder in $B and a list of what to kill at its end in $pids.
#
# zerocopy and uring send by reference only to other hosts. For them a script runs
# within bench/offhost, whose second namespace is such a host; its server is there.
# shellcheck disable=SC2034 # PEER and PEER6 are for the scripts

# engine_options ENGINE: those of `sluice`, of which nothing is the default engine.
engine_options() {
	case $1 in
	"") ;;
	splice | auto) echo "--bulk $1 --splice-to any" ;;
	copy | zerocopy | uring) echo "--bulk $1" ;;
	*)
		echo "there is no engine '$1'" >&2
		exit 2
		;;
	esac
}

# engine_is_far ENGINE: does it need a peer off this host?
engine_is_far() {
	[ "$1" = zerocopy ] || [ "$1" = uring ]
}

# engine_enter ENGINE SCRIPT [ARG...]: start the script anew where that engine's peer is.
# Returns where there is no need to; status 77 when there can be no such place.
engine_enter() {
	_engine=$1
	shift
	if ! engine_is_far "$_engine" || [ -n "${OFFHOST_FAR:-}" ]; then
		return 0
	fi
	exec "$B/offhost" -- "$@"
}

# engine_serve OPTIONS...: `load serve` where the engine's peers are, and its address and
# port in $PEER, as the guest names them. $PORT_FILE will hold the port.
engine_serve() {
	if [ -n "${OFFHOST_FAR:-}" ]; then
		"$B/offhost" --far "$B/load" serve --listen 10.99.0.2:0 "$@" >/dev/null &
		PEER=10.99.0.2
	else
		"$B/load" serve "$@" >/dev/null &
		PEER=10.0.2.2
	fi
	pids="$pids $!"
}

# engine_serve6 OPTIONS...: the same over IPv6; $PEER6 is changed when it is elsewhere.
engine_serve6() {
	if [ -n "${OFFHOST_FAR:-}" ]; then
		"$B/offhost" --far "$B/load" serve --listen '[fd99::2]:0' "$@" >/dev/null &
		PEER6=fd99::2
	else
		"$B/load" serve --listen '[::1]:0' "$@" >/dev/null &
	fi
	pids="$pids $!"
}

# engine_bytes ENGINE FIGURE: what it has carried; FIGURE NAME prints a figure of "net".
engine_bytes() {
	case $1 in
	"" | auto | copy) _names="bulk_copy_bytes bulk_splice_bytes" ;;
	*) _names=bulk_$1_bytes ;;
	esac
	_sum=0
	for _name in $_names; do
		_sum=$((_sum + $($2 net "$_name")))
	done
	echo $_sum
}
