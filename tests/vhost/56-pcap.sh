#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Captures of a guest's traffic while it runs, in the jail: what they hold is compared
# with what was sent, byte by byte, and other programs read the files.
# shellcheck disable=SC3045 # dash and busybox have ulimit -S
. "$(dirname "$0")/lib.sh"

need_guest pcap
need_programs pcap jq python3
server

READ=$(dirname "$0")/pcapng.py

# fact FILE FILTER: what jq finds in the file's summary.
fact() {
	python3 "$READ" "$1" 2>&1 | jq -r "$2"
}

# --- all of a connection, byte by byte ------------------------------------------
# No more than the capture's ring holds: the thread that writes may have no processor.
head -c 2000000 /dev/urandom >"$W/up"
head -c 1000000 /dev/urandom >"$W/down"
cat >"$W/peer.py" <<-'END'
	import socket, sys
	where, up, down, port_file = sys.argv[1:]
	want = len(open(up, "rb").read())
	s = socket.create_server(("127.0.0.1", 0))
	open(port_file, "w").write(str(s.getsockname()[1]))
	c = s.accept()[0]
	c.sendall(open(down, "rb").read())
	while want > 0:
	    want -= len(c.recv(1 << 16)) or sys.exit("the guest has sent too little")
END
cat >"$W/guest.py" <<-'END'
	import socket, sys, threading
	port, up, down = sys.argv[1:]
	s = socket.create_connection(("10.0.2.2", int(port)))
	t = threading.Thread(target=lambda: s.sendall(open(up, "rb").read()))
	t.start()
	got = b""
	while len(got) < len(open(down, "rb").read()):
	    got += s.recv(1 << 16) or sys.exit("too little has come")
	t.join()
	sys.exit(got != open(down, "rb").read())
END
python3 "$W/peer.py" x "$W/up" "$W/down" "$W/peer-port" &
pids="$pids $!"
soon test -s "$W/peer-port"
PP=$(cat "$W/peer-port")

back_end --control "$C" --pcap "$W/first" --pcap-filter 'udp or arp' --pcap-snaplen 1500
guest whole -- "
ctl='$B/sluice ctl --control $C'
# The capture that the options began has seen the guest ask for its address.
t pcap-is-one-at-a-time not \$ctl pcap start '$W/refused'
t pcap-option-stops \$ctl pcap stop
t pcap-starts \$ctl pcap start '$W/whole' snaplen=65553 tcp and port $PP
t the-peer-is-served python3 '$W/guest.py' $PP '$W/up' '$W/down'
t pcap-is-not-of-this \$load rr $TO --count 3 --size 100
t pcap-stops \$ctl pcap stop
"
check pcap-option-saw-dhcp "$(fact "$W/first" .)" \
	test "$(fact "$W/first" '.packets >= 4 and .inbound >= 2 and .complete and .lost == 0')" = true
check a-refused-file-is-not-made "$(ls -l "$W/refused" 2>&1)" test ! -e "$W/refused"
check pcap-is-whole "$(fact "$W/whole" .)" \
	test "$(fact "$W/whole" '.complete and .lost == 0 and .cut == 0')" = true
check pcap-names-the-flow "$(fact "$W/whole" .flows)" \
	test "$(fact "$W/whole" '.flows | length == 1 and (.[0] | startswith("flow tcp-"))')" = true
for way in out:up in:down; do
	python3 "$READ" "$W/whole" ${way%:*} "$PP" >"$W/got" 2>"$W/why"
	check "pcap-has-what-went-${way#*:}" "$(cat "$W/why")" cmp "$W/got" "$W/${way#*:}"
done
check pcap-is-private "" test "$(stat -c %a "$W/whole")" = 600

if command -v tcpdump >/dev/null; then
	lines=$(tcpdump -nr "$W/whole" tcp port "$PP" 2>"$W/why" | wc -l)
	check tcpdump-reads-it "$lines lines; $(cat "$W/why")" \
		test "$lines" = "$(fact "$W/whole" .packets)"
	check tcpdump-finds-sums-right "$(tcpdump -nvr "$W/whole" 2>&1 | grep -c incorrect)" \
		sh -c "! tcpdump -nvr '$W/first' 2>&1 | grep -q 'bad udp cksum'"
else
	skip tcpdump-reads-it "no tcpdump"
fi

# --- to a reader, while bytes flow, of one direction ------------------------------
running() {
	test "$(ctl --json pcap status | jq -r .state)" = running
}

# ended WHY: the file is complete; why the capture came to its end, and what error made it.
ended() {
	test "$(ctl --json pcap status | jq -r '.state + ": " + ([.why, .error // empty] | join(": "))')" = \
		"ended: $1"
}

"$B/sluice" ctl --control "$C" pcap start - inbound and tcp >"$W/live" 2>"$W/live.err" &
reader=$!
pids="$pids $reader"
soon running
guest live -- "
t a-reader-costs-no-byte \$load bulk $TO --dir down --size 32m
"
kill "$reader"
wait "$reader"
status=$?
check a-reader-ends-well "status $status; $(cat "$W/live.err")" test "$status" = 0
check a-reader-has-a-whole-file "$(fact "$W/live" .)" test "$(fact "$W/live" \
	'.complete and .outbound == 0 and .inbound > 100 and .longest <= 256 and .cut > 100')" = true

# --- no more than was allowed ------------------------------------------------------
ctl pcap start "$W/small" limit=64K >/dev/null
guest limit -- "
t a-limit-costs-no-byte \$load bulk $TO --dir up --size 32m
"
check a-limit-ends-it "$(ctl pcap status)" soon ended "limit reached"
check a-limit-is-kept "" test "$(stat -c %s "$W/small")" -le 65536
check a-limit-leaves-a-whole-file "$(fact "$W/small" .)" \
	test "$(fact "$W/small" '.complete and .packets > 100')" = true
back_end_stop pcap-ends
check pcap-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

# --- H86: a disk that is full costs frames, never traffic, and is said once ---------
ulimit -Sf 400
back_end --control "$C" --pcap "$W/full" --pcap-snaplen 1500
ulimit -Sf unlimited
guest full-disk -- "
t a-full-disk-is-not-noticed \$load bulk $TO --dir up --size 32m
"
check a-full-disk-ends-it "$(ctl pcap status)" soon ended "not written: File too large"
ctl --json pcap status >"$W/status"
check a-full-disk-counts "$(cat "$W/status")" \
	test "$(jq '.frames > 10 and .lost > 0 and .frames + .lost == .picked' "$W/status")" = true
check a-full-disk-leaves-whole-blocks "$(fact "$W/full" .)" \
	test "$(fact "$W/full" .packets)" = "$(jq .frames "$W/status")"
back_end_stop full-disk-ends
check full-disk-is-said-once "$(cat "$W/log")" test "$(grep -c 'File too large' "$W/log")" = 1
