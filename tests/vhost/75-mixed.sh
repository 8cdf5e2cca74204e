#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Mixed flows by reference, every byte compared: bulk over one connection and over
# eight, readers that stop for seconds, peers that die with bytes unread, guests that
# reset (H70, H71, H72, H73). Ends when the server has compared MIXED_GIB and
# a peer has died in the middle of something. The engine is splice where none is asked for.
: "${BULK:=splice}"
. "$(dirname "$0")/lib.sh"

need_guest mixed
if [ -n "${CHECK_LONG:-}" ]; then
	: "${MIXED_GIB:=100}"
else
	: "${MIXED_GIB:=2}"
fi

far='' host=127.0.0.1
[ -z "${OFFHOST_FAR:-}" ] || far="$B/offhost --far" host=10.99.0.2
server
back_end --max-conns 4096 --max-conn-rate 0

# The second server is killed every now and then, and its sockets with it.
dying() {
	_port=0
	while [ ! -e "$W/enough" ]; do
		rm -f "$W/dying"
		$far "$LOAD" serve --listen "$host:$_port" --port-file "$W/dying" >/dev/null &
		_pid=$!
		soon test -s "$W/dying"
		_port=$(cat "$W/dying")
		[ -e "$W/dying-port" ] || echo "$_port" >"$W/dying-port"
		sleep 1
		kill -KILL $_pid
		wait $_pid 2>/dev/null
	done
}
dying &
pids="$pids $!"
soon test -s "$W/dying-port"

# counted NAME: what the first server has counted.
counted() {
	$far "$LOAD" stats --to "$host:$PORT" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

: >"$W/cut"
until_enough() {
	while kill -0 "$SL" &&
		{ [ "$(counted bytes_in)" -lt $((MIXED_GIB << 30)) ] || [ ! -s "$W/cut" ]; }; do
		sleep 0.5
	done
	: >"$W/enough"
}
until_enough &
pids="$pids $!"

guest mixed -- "
again() {
	while [ ! -e $W/enough ]; do
		\$load \"\$@\" --timeout 120 || {
			: >$W/enough
			return 1
		}
		echo \"\$*\" >>$W/done
	done
}
# What becomes of it is the peer's affair.
at_risk() {
	while [ ! -e $W/enough ]; do
		! \$load bulk --to $PEER:$(cat "$W/dying-port") --dir up --size 64m --seed \$1 2>&1 |
			grep -q 'reset by peer' || echo x >>$W/cut
		sleep 0.1
	done
}
t mixed-bulk-up again bulk $TO --dir up --size 256m --seed 11 &
t mixed-bulk-up-8-flows again bulk $TO --dir up --size 16m --flows 8 --seed 21 &
t mixed-bulk-down again bulk $TO --dir down --size 64m --seed 31 &
t mixed-readers-that-stop again hold $TO --dir up --size 16m --pause-read 2 --flows 4 --seed 41 &
t mixed-readers-that-stop-later again hold $TO --dir up --size 64m --pause-read 3 --flows 2 --seed 51 &
t mixed-resets again reset $TO &
t mixed-connections again crr $TO --count 100 --concurrency 4 &
at_risk 61 &
at_risk 62 &
wait
"
compared=$(counted bytes_in) wrong=$(counted wrong)
cut=$(wc -l <"$W/cut")
echo "# $((compared >> 20)) MiB compared, $(wc -l <"$W/done") transfers, $cut cut by dying peers"
check mixed-not-one-wrong-byte "$wrong wrong of $compared bytes" \
	test "$wrong" = 0 -a "$compared" -ge $((MIXED_GIB << 30))
check mixed-peers-have-died "$cut transfers were cut" test "$cut" -gt 0
back_end_stop mixed-end
engine_carried
