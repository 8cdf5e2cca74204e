#!/bin/bash
# SPDX-License-Identifier: MIT
#
# need_guest of tests/vhost/lib.sh: a machine that cannot have a guest skips, and says why.
set -u

cd "$(dirname "$0")/.." || exit

# In a mount namespace whose /dev/net has a tun that no driver answers for.
# shellcheck disable=SC2016 # expanded there
try='mount -t tmpfs none /dev/net && mknod /dev/net/tun c 10 254 || exit 77
	exec sh -c ". tests/vhost/lib.sh; need_guest needs; echo went on" tests/vhost/needs.sh'

if [ ! -d /dev/net ]; then
	echo "SKIP needs-tun-that-opens no /dev/net"
	exit 0
fi
status=0
out=$(unshare -m sh -c "$try" 2>&1) || status=$?
if [ $status != 0 ]; then
	echo "SKIP needs-tun-that-opens no node of a device can be made: $(echo "$out" | tr '\n' ' ')"
elif [ "$out" = "SKIP needs /dev/net/tun cannot be opened" ]; then
	echo "PASS needs-tun-that-opens"
else
	echo "FAIL needs-tun-that-opens $(echo "$out" | tr '\n' ' ')"
fi
