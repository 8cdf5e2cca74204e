#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Faults of the host: processes that are stopped and go on, descriptors that run out, a
# resolver that goes and comes back, a disk that is full, sockets with hardly a buffer.
# What is open loses no byte meanwhile, and what was refused works afterwards.
#
# In a mount namespace, for a disk of 64 KiB.
# shellcheck disable=SC2086 # options are words
OWN="--mount"
# shellcheck source=tests/vhost/own.sh
. "$(dirname "$0")/own.sh"
. "$(dirname "$0")/lib.sh"

need_guest hostfaults
need_programs hostfaults jq python3 prlimit
server

# drops REASON: how many the back-end has counted.
drops() {
	ctl metrics prometheus | sed -n "s/^sluice_net_drops_total{reason=\"$1\"} //p"
}

has_dropped() {
	test "$(drops "$1")" -ge "$2"
}

# An established flow: it sends a piece, has it back, compares it, again and again until
# its stop file is there. The file of its name has how often.
cat >"$W/echo.py" <<-'END'
	import os, socket, sys
	if sys.argv[1] == "serve":
	    s = socket.create_server(("127.0.0.1", 0))
	    open(sys.argv[2] + "~", "w").write(str(s.getsockname()[1]))
	    os.rename(sys.argv[2] + "~", sys.argv[2])
	    while True:
	        c = s.accept()[0]
	        while data := c.recv(1 << 16):
	            c.sendall(data)
	        c.close()
	port, name = sys.argv[2:]
	s = socket.create_connection(("10.0.2.2", int(port)))
	n = 0
	while not os.path.exists(name + ".stop"):
	    piece, got = os.urandom(20000), b""
	    s.sendall(piece)
	    while len(got) < len(piece):
	        got += s.recv(1 << 16) or sys.exit("cut off after %d pieces" % n)
	    if got != piece:
	        sys.exit("piece %d is another" % n)
	    n += 1
	    open(name + "~", "w").write(str(n))
	    os.rename(name + "~", name)
	s.shutdown(socket.SHUT_WR)
	sys.exit(bool(s.recv(1)))
END
python3 "$W/echo.py" serve "$W/echo-port" &
pids="$pids $!"
soon test -s "$W/echo-port"
EP=$(cat "$W/echo-port")

# goes_on NAME: pieces of that flow pass, from now on.
pieces_above() {
	test "$(cat "$1" 2>/dev/null || echo 0)" -gt "$2"
}

goes_on() {
	soon pieces_above "$W/$1" $(($(cat "$W/$1" 2>/dev/null || echo 0) + 2))
}

# guest_begin NAME: a guest beside this script that has an established flow.
guest_begin() {
	_name=$1
	rm -f "$W/$_name" "$W/$_name.stop"
	"$B/nsguest" --socket "$S" -- sh -c "
		echo \$\$ >'$W/guest-pid'
		exec python3 '$W/echo.py' flow $EP '$W/$_name'" >"$W/$_name.out" 2>&1 &
	G=$!
	pids="$pids $G"
	goes_on "$_name"
	GPID=$(cat "$W/guest-pid")
}

# in_guest COMMAND...: in its network. What runs beside us is started without: a kill has
# to meet it, not a shell around it.
in_guest() {
	nsenter -t "$GPID" -n "$@"
}

# guest_end NAME TEST: that its flow was whole is a test.
guest_end() {
	: >"$W/$1.stop"
	wait "$G"
	_status=$?
	check "$2" "status $_status; $(cat "$W/$1.out")" test $_status = 0
}

# --- stopped, and going on ---------------------------------------------------------
# Transfers both ways follow each other until both ends have been stopped often enough,
# so each stop is in the middle of some.
back_end --control "$C"
transfers 8m
stops=0
for victim in $SL $front $SL $front $SL $front; do
	_at=$(payload "$C")
	soon moved_on $((${_at:-0} + 1000000)) || break
	kill -STOP "$victim" || break
	sleep 0.4
	kill -CONT "$victim"
	stops=$((stops + 1))
done
_at=$(payload "$C")
check stopped-and-going-on "$stops stops; $(cat "$W/log")" soon moved_on $((${_at:-0} + 1000000))
: >"$W/enough"
wait $front
status=$?
check stops-cost-no-byte "status $status; $(cat "$W/moves")" test $status = 0 -a $stops = 6
back_end_stop stopped-back-end-ends
check stops-cost-no-flow "$(cat "$W/stats")" test "$(stat_value net tcp_opened)" = \
	$(($(wc -l <"$W/transfers") * 4)) -a "$(stat_value net tcp_refused)" = 0

# --- H32, --max-conns: those beyond are refused, those within go on ---------------------
: >"$W/refused"
refused() {
	in_guest "$LOAD" rr $TO --count 1 --size 1 >"$W/refused" 2>&1
	test $? != 0 && grep -q -i refused "$W/refused"
}

flows_are() {
	test "$(ctl flows tcp | grep -c ^tcp)" = "$1"
}

back_end --control "$C" --max-conns 16
guest_begin bound
nsenter -t "$GPID" -n "$LOAD" idle $TO --count 15 --seconds 600 >/dev/null 2>&1 &
idle=$!
pids="$pids $idle"
soon flows_are 16
check beyond-max-conns-is-refused "$(cat "$W/refused")" soon refused
check beyond-max-conns-is-counted "$(drops flow_limit)" soon has_dropped flow_limit 1
check beyond-max-conns-others-go-on "" goes_on bound
kill $idle 2>/dev/null
wait $idle 2>/dev/null
check max-conns-is-lifted "" ctl limit set max-conns 64
check beyond-it-again "" soon in_guest "$LOAD" bulk $TO --dir up --size 1m --flows 32
guest_end bound max-conns-costs-no-byte
back_end_stop max-conns-end

# --- no descriptors: EMFILE in a process that runs -----------------------------------
"$LOAD" dns --listen 127.0.0.1:0 www.test=192.0.2.7 >"$W/dns" &
D=$!
pids="$pids $D"
soon test -s "$W/dns"
DNS=$(sed 's/.*"port"://; s/}.*//' "$W/dns")

dig_now() {
	in_guest "$LOAD" dig www.test --server 10.0.2.3:53 --timeout "${1:-30}"
}

# No number beyond the highest that it has.
files_bound() {
	_top=$(find "/proc/$SL/fd" -mindepth 1 2>/dev/null | sed 's,.*/,,' | sort -n | tail -n 1)
	prlimit --pid "$SL" --nofile="$((${_top:-15} + 1)):"
}

back_end --control "$C" --dns "127.0.0.1:$DNS" --dns-cache off
guest_begin files
nofile=$(prlimit --pid "$SL" --nofile --output SOFT --noheadings | tr -d ' ')
nsenter -t "$GPID" -n "$LOAD" serve --listen 0.0.0.0:8080 --port-file "$W/inside" >/dev/null 2>&1 &
pids="$pids $!"
soon test -s "$W/inside"
FWD=$(ctl --json forward add 0:8080 | sed 's/.*"port": *\([0-9]*\).*/\1/')
if ! files_bound 2>"$W/why"; then
	skip no-descriptors "$(cat "$W/why")"
	guest_end files no-descriptors-cost-no-byte
else
	# Numbers below the highest may be free yet: they are taken first.
	idle=
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
		nsenter -t "$GPID" -n "$LOAD" idle $TO --count 1 --seconds 600 >>"$W/idle" 2>&1 &
		idle="$idle $!"
	done
	pids="$pids $idle"
	soon grep -q refused "$W/idle"
	check no-descriptor-is-refused "$(cat "$W/refused")" soon refused
	"$LOAD" rr --to "127.0.0.1:$FWD" --count 3 --size 100 --timeout 60 >"$W/waits" 2>&1 &
	waits=$!
	check no-descriptor-for-a-query "" not dig_now 1
	# A client of the control socket that waits is no reason to work.
	ctl status >"$W/late" 2>&1 &
	late=$!
	sleep 0.5
	cat "/proc/$SL/schedstat" >"$W/a"
	sleep 1
	cat "/proc/$SL/schedstat" >"$W/b"
	busy_ms=$(paste -d ' ' "$W/a" "$W/b" | awk '{printf "%d", ($4 - $1) / 1000000}')
	check no-descriptor-is-awaited-at-rest "main ran $busy_ms ms of a second" \
		test "$busy_ms" -lt 200
	check no-descriptors-others-go-on "" goes_on files
	prlimit --pid "$SL" --nofile="$nofile:"
	check no-descriptor-is-counted "$(drops socket_error)" soon has_dropped socket_error 1
	wait $late
	status=$?
	check a-control-client-waits-for-descriptors "status $status; $(cat "$W/late")" \
		test $status = 0
	wait $waits
	status=$?
	check a-forward-waits-for-descriptors "status $status; $(cat "$W/waits")" test $status = 0
	check descriptors-again-for-flows "" \
		soon in_guest "$LOAD" bulk $TO --dir down --size 1m --flows 32
	check descriptors-again-for-queries "" soon dig_now
	# Those that were refused have ended.
	kill $idle 2>/dev/null
	guest_end files no-descriptors-cost-no-byte
fi
check no-descriptors-are-said "$(cat "$W/log")" grep -q 'socket: Too many open files' "$W/log"

# --- a resolver that stops, goes, and is back ------------------------------------------
guest_begin resolver
check resolver-answers "" dig_now
kill -STOP $D
check a-silent-resolver-costs-the-answer "" not dig_now 2
check a-silent-resolver-holds-up-nobody "" goes_on resolver
kill -CONT $D
check a-resolver-goes-on "" soon dig_now
kill $D
wait $D 2>/dev/null
check a-resolver-gone-costs-the-answer "" not dig_now 2
check a-resolver-gone-holds-up-nobody "" goes_on resolver
"$LOAD" dns --listen "127.0.0.1:$DNS" www.test=192.0.2.7 >"$W/dns2" &
pids="$pids $!"
soon test -s "$W/dns2"
check a-resolver-is-back "" soon dig_now
guest_end resolver resolvers-cost-no-byte
back_end_stop resolver-ends
check hostfaults-allocate-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

# --- hardly a buffer -----------------------------------------------------------------
# The kernel makes of 1 the least that it has.
back_end --control "$C" --sndbuf 1 --rcvbuf 1
guest small -- "
t smallest-buffers-up \$load bulk $TO --dir up --size 4m --flows 4
t smallest-buffers-down \$load bulk $TO --dir down --size 4m --flows 4
t smallest-buffers-half-closed \$load half $TO --size 1m
"
back_end_stop smallest-buffers-end

# --- a disk of 64 KiB that is full: H86 ------------------------------------------------
# Log, figures, audit and capture are on it.
F=$W/tiny

audit_fails() {
	ctl --json audit status | jq -e '.failures > 0'
}

audit_is_well() {
	ctl --json audit status | jq -e '.waiting_bytes == 0 and .failures > 0'
}

capture_ended() {
	test "$(ctl --json pcap status | jq -r '.why + ": " + .error')" = \
		"not written: No space left on device"
}

disk_is_full() {
	not head -c 4096 /dev/zero >"$F/more"
}

# A question that is denied is a line of the log, as long as its name; one is lost at last.
label=000000000000000000000000000000000000000000000000000000000000
log_lost() {
	in_guest "$LOAD" dig $label.$label.$label.lost.test --server 10.0.2.3:53 --timeout 1 >/dev/null 2>&1
	test "$(ctl metrics prometheus | sed -n 's/^sluice_log_lost_total //p')" -gt "$1"
}

mkdir "$F"
trap 'umount "$F" 2>/dev/null; cleanup' EXIT
if ! why=$(mount -t tmpfs -o size=64k none "$F" 2>&1); then
	skip full-disk "$why"
	exit 0
fi
ln -sf "$F/log" "$W/log"
ln -sf "$F/stats" "$W/stats"
back_end --control "$C" --audit "$F/audit" --pcap "$F/pcap"
guest_begin full
check a-full-disk-ends-the-capture "$(ctl pcap status)" soon capture_ended
in_guest "$LOAD" crr $TO --count 200 >"$W/crr" 2>&1
check a-full-disk-keeps-the-audit-waiting "$(ctl audit status)" soon audit_fails
check the-disk-is-full "$(df "$F")" soon disk_is_full
kill -USR1 "$SL"
ctl rule add deny '*.*.*.lost.test' >"$W/rule"
check a-full-disk-costs-lines-of-the-log "$(cat "$W/rule")" soon log_lost 3
check a-full-disk-costs-no-byte-up "" in_guest "$LOAD" bulk $TO --dir up --size 32m --flows 4
check a-full-disk-costs-no-byte-down "" in_guest "$LOAD" bulk $TO --dir down --size 32m --flows 4
check a-full-disk-holds-up-nobody "" goes_on full
mount -o remount,size=8m "$F"
check room-again-for-the-audit "$(ctl audit status)" soon audit_is_well
guest_end full a-full-disk-cuts-nobody-off
back_end_stop full-disk-ends
check a-full-disk-is-said-once "$(cat "$F/log")" test \
	"$(grep -c 'lines are kept as far as' "$F/log")/$(grep -c 'the capture ends' "$F/log")" = 1/1
check lost-lines-of-the-log-are-told "$(cat "$F/log")" \
	grep -q '^sluice: warn: log: [0-9]* lines could not be written here$' "$F/log"
check no-line-of-the-audit-is-torn "$(head -c 300 "$F/audit")" jq -e . "$F/audit"
closed=$(jq -r 'select(.event == "close") | .flow' "$F/audit" | sort -u | wc -l)
check no-line-of-the-audit-is-lost "$closed ends" test "$closed" = \
	"$(jq -r 'select(.event == "decision" and has("flow")) | .flow' "$F/audit" | wc -l)" \
	-a "$closed" -gt 208
check figures-are-whole "$(head -c 300 "$F/stats")" jq -e . "$F/stats"
check full-disk-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0
