# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# A group that sources this before lib.sh goes on in namespaces of its own: $OWN has the
# options of unshare that make them. Where they are not to be had the group is skipped.
if [ -z "${OWNED:-}" ]; then
	[ "$(id -u)" = 0 ] || OWN="--user --map-root-user $OWN"
	# shellcheck disable=SC2086 # options are words
	unshare $OWN true 2>/dev/null || {
		echo "SKIP $(basename "$0" .sh | sed 's/^[0-9]*-//') not to be had here: unshare $OWN"
		exit 0
	}
	# shellcheck disable=SC2086
	OWNED=1 exec unshare $OWN sh "$0"
fi
