#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The wall clock may be set at any time, by an administrator or by NTP. So nothing on the
# data path reads it, and nothing anywhere waits for a moment of it; elsewhere it is for
# what people read: dates in lines and captures, and the age of a file.
cd "$(dirname "$0")/.." || exit

# no NAME PATTERN FOLDER...: one test, that no source there has it.
no() {
	_name=$1
	_pattern=$2
	shift 2
	_found=$(grep -rnE --include='*.c' --include='*.h' "$_pattern" "$@")
	case $? in
	1) echo "PASS $_name" ;;
	*) echo "FAIL $_name $(echo "$_found" | tr '\n' ' ')" && status=1 ;;
	esac
}

READS='CLOCK_REALTIME|CLOCK_TAI|utc_now|utc_format|\<(gettimeofday|time|ftime|timespec_get|localtime|gmtime)(_r)?\('
WAITS='\<(sem_timedwait|pthread_cond_timedwait|pthread_mutex_timedlock|mq_timed[a-z]*|timerfd_create\(CLOCK_REALTIME)\>'

status=0
no data-path-reads-no-wall-clock "$READS" arena tcpstack virtio src/base/clock.h
no nothing-waits-for-the-wall-clock "$WAITS" arena tcpstack virtio src
exit $status
