#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tools/nested: what becomes of a machine that hangs or dies. The emulator is a script here,
# put before the real one, so that it hangs when it is told to. Nothing is measured: a
# limit that must strike is short, one that must not is long.
set -u

cd "$(dirname "$0")/../.." || exit
export BUILD=${BUILD:-build}

if [ ! -e "$BUILD/guest/kernel/release" ] || ! command -v qemu-system-x86_64 >/dev/null; then
	echo "SKIP nested no kernel or no emulator (tools/deps.sh kernel guest)"
	exit 0
fi
W=$(mktemp -d)
trap 'rm -rf "$W"' EXIT
export W

# It finds the file behind the third serial port in its arguments, and does what the first
# line of $W/script says; that line is gone next time.
cat >"$W/qemu-system-x86_64" <<'END'
#!/bin/bash
for arg; do
	case $arg in file,id=status,path=*) port=${arg##*path=} ;; esac
done
taskset -cp $$ >>"$W/cpus"
echo "$*" >>"$W/args"
do=$(head -n 1 "$W/script")
sed -i 1d "$W/script"
case $do in
hang) exec sleep 600 ;;
die) exit 1 ;;
tsc) echo "tsc 2594294" >>"$port" ;; # the clock that it measured is wrong
pulse) # of twelve seconds; then the status is 7
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
		echo >>"$port"
		sleep 1
	done
	echo 7 >>"$port"
	;;
beat) # once, and no more
	echo >>"$port"
	exec sleep 600
	;;
*)
	echo the command speaks
	echo "$do" >>"$port"
	;;
esac
END
chmod +x "$W/qemu-system-x86_64"

# nested "LINE LINE..." OPTION...
nested() {
	tr ' ' '\n' <<<"$1" >"$W/script"
	: >"$W/args"
	shift
	status=0
	out=$(PATH=$W:$PATH tools/nested "$@" -- true 2>&1) || status=$?
}

# t NAME STATUS [PATTERN]: did the last one end so, and say that?
t() {
	if [ "$status" = "$2" ] && grep -q "${3:-}" <<<"$out"; then
		echo "PASS $1"
	else
		echo "FAIL $1 status $status: $(echo "$out" | tail -n 3 | tr '\n' ' ')"
	fi
}

nested "5"
t nested-status-passes 5 "the command speaks"
nested "hang" --stall 2
t nested-hang-is-124 124 "showed no life for 2 s"
nested "beat" --stall 3
t nested-lost-pulse-is-124 124 "showed no life for 3 s"
nested "pulse" --stall 10
t nested-pulse-keeps-it-alive 7
nested "hang" --timeout 2
t nested-time-is-up 124 "was not done after 2 s"
nested "die"
t nested-death-is-125 125 "died"
nested "die hang 5" --stall 10 --retries 2
t nested-retries-are-told 5 "RETRY 2 of 2: the outer machine showed no life"
nested "hang hang 5" --stall 2 --retries 1
t nested-retries-have-an-end 124 "RETRY 1 of 1"
nested "75 0" --retries 1
t nested-command-may-ask-for-a-retry 0 "RETRY 1 of 1: the command asks"
nested "1 0" --retries 1
t nested-other-status-is-not-retried 1

# A wrong clock costs a start, not a try; told twice it is no clock of this world.
nested "tsc 5"
t nested-wrong-clock-is-started-anew 5 "the command speaks"
status=$(grep -c tsc_early_khz "$W/args") out=$(cat "$W/args")
t nested-right-clock-is-told 1 "tsc=reliable tsc_early_khz=2594294"
nested "tsc tsc"
t nested-wrong-clock-twice-is-125 125 "died"

# Two threads of one processor's state must not run at one time (tools/nested says why).
many=$(grep -c '[-,]' "$W/cpus")
status=$many out=$(cat "$W/cpus")
t nested-emulator-keeps-to-one-processor 0 "list: [0-9]*$"
