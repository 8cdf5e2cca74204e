#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A bad link between Linux and the rings, both ways: frames are lost, doubled,
# reordered, late; every byte arrives all the same (H33).
. "$(dirname "$0")/lib.sh"

need_guest link
server
back_end --max-conns 256

link() {
	_name=$1
	_size=$3
	guest "$_name" --link "$2,seed=7" --mtu 1500 -- "
	t $_name-up \$load bulk $TO --dir up --size $_size
	t $_name-down \$load bulk $TO --dir down --size $_size
	t $_name-up-4-flows \$load bulk $TO --dir up --size $((${_size%m} / 4))m --flows 4
	t $_name-down-4-flows \$load bulk $TO --dir down --size $((${_size%m} / 4))m --flows 4
	t $_name-connections \$load crr $TO --count 50 --concurrency 25
	t $_name-half-closed \$load half $TO --size 100k
	"
}

link loss loss=1 2m
link duplicate duplicate=5 16m
link reorder reorder=5 2m
link delay delay=20 16m
link all-of-it loss=0.5,duplicate=1,reorder=1,delay=5 1m
back_end_stop link-ends
engine_carried
