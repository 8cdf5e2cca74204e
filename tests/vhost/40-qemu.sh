#!/bin/sh
# SPDX-License-Identifier: MIT
#
# QEMU as the front-end: a stock Debian kernel, emulated, whose network card is the
# back-end's, over virtio-pci and over virtio-mmio; and a legacy driver, which is
# refused. The guest's shell on the serial line is told what to do.
. "$(dirname "$0")/lib.sh"

QEMU=qemu-system-x86_64
G=$B/guest

command -v $QEMU >/dev/null || {
	skip qemu "no $QEMU (tools/deps.sh guest)"
	exit 0
}
if [ ! -r "$G/vmlinuz" ] || [ ! -r "$G/initramfs.cpio.gz" ]; then
	skip qemu "no guest image in $G (make guest)"
	exit 0
fi

server

# Is line $1, an extended regular expression, in what the guest has printed?
said() {
	tr -d '\r' <"$W/out" | grep -qE "$1"
}

# Emulated machines are slow to boot, more so beside other tests.
in_minutes() {
	wait_for 300 "$@"
}

# qemu OPTIONS...: a guest in $VM, its output in $W/out, its keyboard at descriptor 3.
qemu() {
	rm -f "$W/in"
	mkfifo "$W/in"
	: >"$W/out"
	$QEMU -accel tcg -m 256 -nodefaults -no-reboot -display none -serial stdio \
		-object memory-backend-memfd,id=mem0,size=256M,share=on \
		-chardev socket,id=chr0,path="$S",reconnect=1 -netdev vhost-user,id=n0,chardev=chr0 \
		-kernel "$G/vmlinuz" -initrd "$G/initramfs.cpio.gz" "$@" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off tsc_early_khz=2300000 tsc=reliable no_timer_check" \
		<"$W/in" >"$W/out" 2>&1 &
	VM=$!
	pids="$pids $VM"
	exec 3>"$W/in"
}

qemu_stop() {
	kill $VM 2>/dev/null
	wait $VM 2>/dev/null
	exec 3>&-
}

moves_data() {
	if ! in_minutes said '^~ #'; then
		fail "$1-boots" "$(tail -n 3 "$W/out")"
		return
	fi
	pass "$1-boots"
	for _dir in down up; do
		echo "load bulk $TO --dir $_dir --size 32m" >&3
	done
	echo "load crr $TO --count 100; load udp $TO --size 1400 --count 20; echo all-\$((6 * 7))" >&3
	in_minutes said '^all-42' || fail "$1-ends" "$(tail -n 3 "$W/out")"
	for _what in '"dir":"down"' '"dir":"up"' '"test":"crr"' '"test":"udp"'; do
		_word=${_what%\"}
		check "$1-${_word##*\"}" "$(tail -n 4 "$W/out")" said "^\{\"ok\":true,$_what"
	done
	# The guest restarts its driver: the device is reset, stopped and started again.
	echo "ip link set eth0 down; ip link set eth0 up; load bulk $TO --dir up --size 8m; echo all-\$((7 * 7))" >&3
	in_minutes said '^all-49' || fail "$1-ends-again" "$(tail -n 3 "$W/out")"
	check "$1-again-after-link-down" "$(tail -n 3 "$W/out")" \
		said '^\{"ok":true,"dir":"up","flows":1,"bytes":8388608'
}

PCI="-machine q35,memory-backend=mem0 -device virtio-net-pci,netdev=n0,vectors=0"
LONG=rx_queue_size=1024,tx_queue_size=1024,host_mtu=65520
MMIO="-machine microvm,memory-backend=mem0 -global virtio-mmio.force-legacy=false
	-device virtio-net-device,netdev=n0"

# shellcheck disable=SC2086 # options are words
{
	back_end --mtu 65520
	qemu $PCI,$LONG
	moves_data qemu-pci
	# Another back-end at the same socket: QEMU's socket comes back to it.
	back_end_stop qemu-back-end-goes
	back_end --mtu 65520
	soon grep -q 'has connected' "$W/log"
	echo "until load crr $TO --count 1 --timeout 3; do sleep 1; done; echo all-\$((8 * 8))" >&3
	check qemu-reconnects "$(tail -n 3 "$W/out")" in_minutes said '^all-64'
	qemu_stop
	# The same back-end, another machine.
	qemu $MMIO
	moves_data qemu-mmio
	qemu_stop
	qemu $PCI,disable-modern=on,disable-legacy=off
	check qemu-legacy-driver-is-refused "the log does not say so: $(cat "$W/log")" \
		in_minutes grep -q 'legacy driver' "$W/log"
	qemu_stop
	back_end_stop qemu-ends
	check qemu-nothing-allocated "$(stat_value worker allocations) allocations" \
		test "$(stat_value worker allocations)" = 0
}
