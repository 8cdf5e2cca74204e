#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What somebody reads who has mistyped something: one line that names the option, the file
# or the command and, where there is one, the way out; with the status that the manual has.
. "$(dirname "$0")/lib.sh"

echo '{ "net": { "mtu": 1500, "mut": 1500 } }' >"$W/key.json"
echo '{ "net": { "mtu": "much" } }' >"$W/value.json"
echo '{ "net": { "mtu": 1500 ' >"$W/cut.json"
echo text >"$W/file"

# refused NAME STATUS TEXT WORDS...: `sluice WORDS` ends with STATUS, and says just a line
# with TEXT in it.
refused() {
	_refused=$1
	_status=$2
	_text=$3
	shift 3
	_ended=0
	timeout 20 "$B/sluice" "$@" >"$W/out" 2>"$W/err" || _ended=$?
	check "refused-$_refused" "status $_ended: $(cat "$W/err")" \
		test "$_ended $(wc -l <"$W/err") $(grep -c -F -e "$_text" "$W/err") $(wc -c <"$W/out")" = "$_status 1 1 0"
}

refused command 2 'rnu: no such command; is it run?' rnu
refused strange-command 2 'xyzzy: no such command; see sluice --help' xyzzy
refused option 2 '--sokcet: no such option; is it --socket?' vhost-user --sokcet "$S"
refused option-of-another-command 2 '--kernel: no such option' vhost-user --kernel x
refused no-socket 2 '--socket PATH is needed' vhost-user
refused no-folder 125 "--socket: $W/none/s: No such file" vhost-user --socket "$W/none/s"
refused file-for-a-socket 125 "--socket: $W/file: File exists" vhost-user --socket "$W/file"
refused control-file 125 "--control: $W/file: File exists" vhost-user --socket "$S" --control "$W/file"
# Whoever waits for the socket finds the control socket there: it comes first.
refused control-comes-first 125 "--control: $W/file: File exists" \
	vhost-user --socket "$W/none/s" --control "$W/file"
refused protocol 2 'protocols are tcp, udp, icmp' vhost-user --socket "$S" --allow tpc:10.0.0.1
refused host-name 2 '--hostname: "a b" is no name of a host' vhost-user --socket "$S" --hostname 'a b'
refused rule-for-the-gateway 2 '"deny tcp:10.0.2.2:80" fits nothing: that is the gateway' \
	vhost-user --socket "$S" --deny tcp:10.0.2.2:80
echo '{ "policy": { "allow": "10.0.2.2" } }' >"$W/rule.json"
refused rule-for-the-gateway-by-json 2 'name that, or see --gateway-ports' run --config "$W/rule.json"
refused config-file 2 "--config: $W/none: No such file" run --config "$W/none"
refused config-cut 2 "$W/cut.json: line " run --config "$W/cut.json"
refused config-key 2 "$W/key.json: net.mut: no such key" run --config "$W/key.json"
refused config-value 2 "$W/value.json: net.mtu" run --config "$W/value.json"
refused kernel 125 "--kernel: $W/none: No such file" run --kernel "$W/none"
refused no-kernel 125 "--kernel: $W/file: not a Linux kernel" run --kernel "$W/file"
refused audit 125 "--audit: $W/none/a: No such file" vhost-user --socket "$S" --audit "$W/none/a"

refused ctl-command 2 'staus: no such command; is it status?' ctl --control "$W/none" staus
refused ctl-words 2 'rules list: no such command; is it rule list?' ctl --control "$W/none" rules list
refused ctl-arguments 2 'rule del: wrong arguments' ctl --control "$W/none" rule del 1 2
refused ctl-no-path 2 '--control PATH is needed' ctl status
refused ctl-no-argument 2 '--control: needs an argument' ctl --control
refused ctl-no-socket 3 "--control: $W/none: No such file or directory; is there a sluice" \
	ctl --control "$W/none" status
refused ctl-no-sluice 3 "--control: $W/file: Connection refused; is there a sluice" \
	ctl --control "$W/file" status

# What is asked of one that runs.
back_end --control "$W/c"
refused ctl-port 1 'port' ctl --control "$W/c" forward add 70000:80
refused ctl-limit 1 'max-cons' ctl --control "$W/c" limit set max-cons 5
refused ctl-value 1 'value: not a number' ctl --control "$W/c" limit set max-conns many
refused ctl-rule 1 'prefix' ctl --control "$W/c" rule add deny 10.0.0.1/8
refused ctl-rule-for-the-gateway 1 'rules see the host'"'"'s 127.0.0.1' \
	ctl --control "$W/c" rule add allow tcp:10.0.2.2
refused ctl-no-such-rule 1 '7' ctl --control "$W/c" rule del 7
refused ctl-level 1 'level: none of error, warn, info, debug' ctl --control "$W/c" log level loud
refused ctl-stall 1 'stall: "sleepy" is none of moving, ' ctl --control "$W/c" flows stall=sleepy
refused somebody-listens 125 "--socket: $S: Address already in use" vhost-user --socket "$S"
back_end_stop refusals-end
