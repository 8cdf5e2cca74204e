#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Two processors.
. "$(dirname "$0")/lib.sh"

servers
to="--to 10.0.2.2:$PORT --timeout 120"
guest_tests smp 3 --cpus 2 --dns "$DNS" -- sh -c "$GUEST_T
t two-processors test \$(nproc) = 2
t smp-download-byte-exact load bulk $to --dir down --size 4m --flows 4
t smp-upload-byte-exact load bulk $to --dir up --size 4m --flows 4
"
