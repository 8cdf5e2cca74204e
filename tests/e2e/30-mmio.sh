#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The same device over virtio-mmio.
. "$(dirname "$0")/lib.sh"

servers
to="--to 10.0.2.2:$PORT --timeout 120"
guest_tests mmio 5 --transport mmio --dns "$DNS" -- sh -c "$GUEST_T
t mmio-no-msi sh -c '! grep -i virtio.*msi /proc/interrupts'
t mmio-dns sh -c 'load dig one.test | grep 192.0.2.1'
t mmio-download-byte-exact load bulk $to --dir down --size 8m
t mmio-upload-byte-exact load bulk $to --dir up --size 8m
t mmio-round-trips load rr $to --count 50 --size 100
"
