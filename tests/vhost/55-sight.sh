#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What the audit and the log of a back-end say of a guest's traffic.
. "$(dirname "$0")/lib.sh"

need_guest sight
need_programs sight jq
server

A=$W/audit

# line FILTER: how many lines of the audit it selects.
lines() {
	jq -c "select($1)" "$A"* 2>/dev/null | wc -l
}

back_end --control "$C" --audit "$A" --log-format json --deny "tcp:127.0.0.1:1-9"
# In the guest: until its flows have ended by themselves; they are reset when it goes.
ENDED="n=0
while '$B/sluice' ctl --control '$C' flows tcp | grep -q ^tcp && [ \$n -lt 600 ]; do
	n=\$((n + 1))
	sleep 0.1
done"

guest audit -- "
t audit-upload \$load bulk $TO --dir up --size 3m
t audit-denied not \$load rr --to 10.0.2.2:7 --count 1 --size 1 --timeout 5
$ENDED
"
mv "$A" "$A.1"
kill -HUP "$SL"
soon test -e "$A"
check audit-reopens "" soon test -e "$A"
guest audit-again -- "
t audit-after-rotation \$load bulk $TO --dir down --size 1m
$ENDED
"
ctl --json audit status >"$W/status" 2>&1
check audit-lost-nothing "$(cat "$W/status")" \
	test "$(jq '.lost + .withheld + .failures' "$W/status")" = 0
ctl log format text >/dev/null
back_end_stop audit-ends

check audit-is-json "$(head -c 300 "$A.1")" jq -e . "$A" "$A.1"
check audit-is-private "" test "$(stat -c %a "$A")" = 600
allowed='.event == "decision" and .verdict == "allow" and .proto == "tcp" and
	.remote == "10.0.2.2:'$PORT'" and .host == "127.0.0.1:'$PORT'" and .reason == "profile" and
	(.guest | startswith("10.0.2.15:"))'
check audit-has-what-was-allowed "$(lines "$allowed") lines" test "$(lines "$allowed")" -ge 2
denied='.event == "decision" and .verdict == "deny" and .remote == "10.0.2.2:7" and
	.host == "127.0.0.1:7" and .reason == "rule" and .rule_number == 1 and
	.rule == "deny tcp:127.0.0.1:1-9" and (has("flow") | not)'
check audit-has-what-was-denied "$(lines "$denied") lines" test "$(lines "$denied")" -ge 1
check denied-comes-to-no-end "" \
	test "$(lines '.event == "close" and .remote == "10.0.2.2:7"')" = 0
closed='.event == "close" and .tx_bytes >= 3145728 and .duration_ms >= 0 and .reason == "closed"'
check audit-has-the-bytes "$(lines "$closed") lines" test "$(lines "$closed")" = 1
down='.event == "close" and .rx_bytes >= 1048576 and .reason == "closed"'
check rotated-audit-goes-on "$(lines "$down") lines" test "$(lines "$down")" = 1

# Each flow that was let in has its end, and no end is without its beginning.
jq -r 'select(.event == "decision" and has("flow")) | .flow' "$A.1" "$A" | sort >"$W/opened"
jq -r 'select(.event == "close") | .flow' "$A.1" "$A" | sort >"$W/closed"
check every-flow-opens-and-ends "$(diff "$W/opened" "$W/closed")" cmp "$W/opened" "$W/closed"
check audit-allocates-nothing "$(stat_value worker allocations) allocations" \
	test "$(stat_value worker allocations)" = 0

# Lines of the log that stand before the format was changed.
grep '^{' "$W/log" >"$W/json"
check log-is-json "$(head -c 300 "$W/log")" \
	jq -e 'has("time") and has("level") and has("subsystem") and has("msg")' "$W/json"

# A disk that is full costs lines, never traffic.
back_end --audit /dev/full
guest full-disk -- "
t full-disk-is-not-noticed \$load bulk $TO --dir up --size 32m
"
back_end_stop full-disk-ends
check full-disk-is-said-once "$(cat "$W/log")" test "$(grep -c 'No space left' "$W/log")" = 1
