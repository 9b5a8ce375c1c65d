# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A bare root to work in, in a mount space that ends with its processes. To be sourced after
# lib.sh.

# mount_root BASE WORK: puts an overlay of WORK over the bare root BASE, so that BASE stays
# bare, and calls it $root.
mount_root() {
	root=$2/root
	if ! mkdir -p "$2"/{changes,overlay,root} ||
			! mount -t overlay root "$root" \
				-o "lowerdir=$1,upperdir=$2/changes,workdir=$2/overlay" ||
			! mount -t proc proc "$root/proc" ||
			! mount --rbind /sys "$root/sys" ||
			! mount --rbind /dev "$root/dev" ||
			! mount -t tmpfs -o mode=1777 tmp "$root/tmp"; then
		die "could not mount the root"
	fi
}

# enter COMMAND: in the checkout there. Of our environment, only the way to the network is known.
enter() {
	env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/root USER=root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
		${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
		chroot "$root" /bin/sh -c "cd /root/metastore && { $1; }"
}
