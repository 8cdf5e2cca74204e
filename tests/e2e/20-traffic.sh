#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The guest's real traffic through the NAT, over virtio-pci with MSI-X.
# nested: memory=1536 timeout=200
. "$(dirname "$0")/lib.sh"

servers
BOOT_S=150
to="--to 10.0.2.2:$PORT --timeout 60"
guest_tests traffic 12 --max-conn-rate 0 --max-conns 256 --dns "$DNS" --stats="$W/stats" -- sh -c "$GUEST_T
t uses-msi-x grep -i msi.*virtio /proc/interrupts
t ping-gateway ping -c 2 -W 5 10.0.2.2
t dns-udp sh -c 'load dig one.test | grep 192.0.2.1'
t dns-tcp sh -c 'load dig --tcp one.test | grep 192.0.2.1'
t dns-unknown-name-says-so sh -c 'load dig none.test | grep rcode.:3'
t name-in-url load get http://host.test:$PORT/100000
t download-byte-exact load bulk $to --dir down --size $SIZE
t upload-byte-exact load bulk $to --dir up --size $SIZE
t eight-flows-byte-exact load bulk $to --dir down --size 1m --flows 8
t round-trips load rr $to --count 200 --size 100
t thousand-connections load crr $to --count 1000 --concurrency 8
t datagrams load udp $to --count 50 --size 1200
"
