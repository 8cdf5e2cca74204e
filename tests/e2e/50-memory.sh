#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Memory on both sides of the hole below 4 GiB (H85).
# nested: memory=6144
. "$(dirname "$0")/lib.sh"

servers
to="--to 10.0.2.2:$PORT --timeout 120"
guest_tests memory 4 --memory 4G --dns "$DNS" -- sh -c "$GUEST_T
t four-gib-usable test \$(awk '/MemTotal/ { print \$2 }' /proc/meminfo) -gt 3900000
t memory-above-hole grep -q '^1[0-9a-f]\{8\}-.*System RAM' /proc/iomem
t memory-holds-bytes load get http://10.0.2.2:$PORT/16000000
t memory-download-byte-exact load bulk $to --dir down --size 4m
"
