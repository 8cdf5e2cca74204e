#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Checks for the Debian packages that a group of targets needs, and installs
# what is missing when root; otherwise prints the one apt line and exits 1.
#
#   tools/deps.sh GROUP... [--check]     GROUP: build lint guest tests docs
#                                        bench packaging profile all
#   tools/deps.sh kernel [--host]        the guest's kernel, into build/guest/
#
# `--check` only reports. `kernel` downloads the package that
# linux-image-cloud-amd64 stands for and unpacks it without installing it;
# `--host` takes the running kernel's image and modules instead, if they are
# here. `--build DIR` chooses the build folder.
set -eu

cd "$(dirname "$0")/.."
B=${BUILD:-build}

packages() {
	case $1 in
	build) echo gcc clang libclang-rt-14-dev make git libc6-dev libcmocka-dev liburing-dev \
		libjansson-dev libseccomp-dev systemtap-sdt-dev python3 ;;
	lint) echo cppcheck clang-tidy clang-format shellcheck pyflakes3 valgrind python3-yaml python3-pyhcl ;;
	guest) echo iproute2 curl bind9-dnsutils qemu-system-x86 seabios busybox-static acpica-tools cpio \
		zstd xz-utils nginx-light ;;
	tests) echo jq tcpdump iputils-ping traceroute iperf3 openssh-client openssh-server bpftrace ;;
	docs) echo mandoc ;;
	packaging) echo debhelper dpkg-dev lintian mmdebstrap ;;
	bench) echo python3 gnuplot-nox passt slirp4netns qemu-system-x86 valgrind ;;
	profile) echo heaptrack libjemalloc2 ;;
	all) for g in build lint guest tests docs; do packages $g; done ;;
	*) return 1 ;;
	esac
}

usage() {
	sed -n '3,15s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Lists of packages are fetched once a run, and only when something must be downloaded.
updated=
apt_update() {
	[ -z "$updated" ] && [ "$(id -u)" = 0 ] || return 0
	updated=1
	apt-get -q update >/dev/null || echo "deps: apt-get update failed; going on with the lists at hand" >&2
}

# Installs without starting any service (nginx would listen on port 80): Debian
# asks /usr/sbin/policy-rc.d first, and 101 means no. An OpenSSH server that comes only
# for the tests does not start at the next boot either; Debian's unit looks for that file.
apt_install() {
	case " $* " in
	*" openssh-server "*) mkdir -p /etc/ssh && : >/etc/ssh/sshd_not_to_be_run ;;
	esac
	policy=/usr/sbin/policy-rc.d
	made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		made=$policy
		trap 'rm -f "$made"' EXIT
		trap 'exit 1' HUP INT TERM
	fi
	DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@" >&2
	if [ -n "$made" ]; then
		rm -f "$made"
		trap - EXIT HUP INT TERM
	fi
}

# kernel: vmlinuz and lib/modules/VERSION under $B/guest/kernel, whose name and
# release are in the file `release` there. Cached: nothing happens when it exists.
kernel_done() {
	mkdir -p "$B/guest"
	rm -rf "$B/guest/kernel"
	mv "$tmp" "$B/guest/kernel"
	echo "deps: kernel $release in $B/guest/kernel" >&2
}

kernel_from_host() {
	release=$(uname -r)
	for image in "/boot/vmlinuz-$release" "/lib/modules/$release/vmlinuz"; do
		if [ ! -r "$image" ] || [ ! -e "/lib/modules/$release/modules.order" ]; then
			continue
		fi
		tmp=$B/guest/kernel.new
		rm -rf "$tmp"
		mkdir -p "$tmp/lib/modules"
		cp "$image" "$tmp/vmlinuz"
		cp -r "/lib/modules/$release" "$tmp/lib/modules/"
		echo "$release" >"$tmp/release"
		kernel_done
		return
	done
	echo "deps: this host has no readable /boot/vmlinuz-$release with its modules" >&2
	return 1
}

kernel_from_debian() {
	meta=linux-image-cloud-amd64
	if [ -z "$(apt-cache show $meta 2>/dev/null)" ]; then
		apt_update
	fi
	package=$(apt-cache depends $meta 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
	if [ -z "$package" ]; then
		echo "deps: apt knows no $meta; is this Debian on amd64, and has apt-get update run?" >&2
		return 1
	fi
	release=${package#linux-image-}
	tmp=$B/guest/kernel.new
	rm -rf "$tmp"
	mkdir -p "$tmp/deb"
	if ! (cd "$tmp/deb" && apt-get -q download "$package" >/dev/null 2>&1); then
		apt_update
		(cd "$tmp/deb" && apt-get -q download "$package" >/dev/null)
	fi
	dpkg-deb -x "$tmp"/deb/*.deb "$tmp/root"
	mv "$tmp/root/boot/vmlinuz-$release" "$tmp/vmlinuz"
	# From Debian 13 on, modules are under /usr.
	mkdir -p "$tmp/lib/modules"
	for dir in "$tmp/root/lib/modules" "$tmp/root/usr/lib/modules"; do
		[ -d "$dir/$release" ] && mv "$dir/$release" "$tmp/lib/modules/"
	done
	rm -rf "$tmp/deb" "$tmp/root"
	echo "$release" >"$tmp/release"
	kernel_done
}

check=
host=
groups=
while [ $# -gt 0 ]; do
	arg=$1
	shift
	case $arg in
	--build)
		[ $# -gt 0 ] || usage
		B=$1
		shift
		;;
	--check) check=1 ;;
	--host) host=1 ;;
	kernel) groups="$groups kernel" ;;
	*)
		packages "$arg" >/dev/null || usage
		groups="$groups $arg"
		;;
	esac
done
[ -n "$groups" ] || usage

missing=
for group in $groups; do
	[ "$group" = kernel ] && continue
	for package in $(packages "$group"); do
		installed "$package" || missing="$missing $package"
	done
done

if [ -n "$missing" ]; then
	if [ -n "$check" ] || [ "$(id -u)" != 0 ]; then
		echo "deps: missing packages; as root:" >&2
		echo "apt-get install --no-install-recommends$missing"
		exit 1
	fi
	echo "deps: installing$missing" >&2
	apt_update
	# shellcheck disable=SC2086 # a list of words
	apt_install $missing
fi

case " $groups " in
*" kernel "*)
	if [ -n "$host" ]; then
		if [ "$(cat "$B/guest/kernel/release" 2>/dev/null)" != "$(uname -r)" ]; then
			kernel_from_host
		fi
	elif [ ! -e "$B/guest/kernel/release" ]; then
		if [ -n "$check" ]; then
			echo "deps: no guest kernel in $B/guest/kernel; run tools/deps.sh kernel" >&2
			exit 1
		fi
		kernel_from_debian
	fi
	;;
esac
