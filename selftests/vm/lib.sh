# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # used by those that source it
#
# What every script of this directory needs: where things are, and a few words
# for saying what is done. To be sourced.

set -u -o pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P) || exit
HERE=$TOP/selftests/vm
BUILD=$TOP/build
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/metastore
KERNEL=${KERNEL:-6.12}
. "$HERE/arch.sh"

# Statuses of our own, chosen where commands rarely have theirs.
STATUS_SPLAT=120	# the command ended, but the kernel log shows a splat
STATUS_SILENT=121	# the VM ended without saying how the command ended
STATUS_TIMEOUT=124	# the time limit, as in timeout(1)
STATUS_SETUP=125	# nothing ran: the VM, a package or a build was missing

export LC_ALL=C.UTF-8
# A make above us must not reach into the makes below.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL GNUMAKEFLAGS

say() {
	echo "metastore: $*" >&2
}

die() {
	say "$*"
	exit "$STATUS_SETUP"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root: run it as root, or install sudo: $*"
	fi
}

# is_debug KERNEL: is it one that finds mistakes?
is_debug() {
	[[ $1 == kasan || $1 == kcsan ]]
}

# How many times as slow as usual everything is: see ../Makefile.
case $KERNEL in
kasan) SLOWNESS=${SLOWNESS:-4} ;;
kcsan|*-arm64|*-s390x) SLOWNESS=${SLOWNESS:-2} ;;
*)     SLOWNESS=${SLOWNESS:-1} ;;
esac

# lock FILE: waits until no other run holds it; held until this script ends.
lock() {
	mkdir -p "$(dirname "$1")" || exit "$STATUS_SETUP"
	exec {LOCK}>"$1" || exit "$STATUS_SETUP"
	flock -n "$LOCK" && return
	say "waiting for another run (${1/#"$HOME"/\~})"
	flock "$LOCK"
}

unlock() {
	exec {LOCK}>&-
}

# Once in ten minutes is enough for one run of several scripts.
apt_update() {
	mkdir -p "$CACHE" || exit "$STATUS_SETUP"
	[ -n "$(find "$CACHE/apt-updated" -mmin -10 2>/dev/null)" ] &&
		[ -n "$(apt-cache pkgnames linux-image- | head -n 1)" ] && return
	say "apt-get update"
	as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >&2 ||
		die "apt-get update failed"
	touch "$CACHE/apt-updated"
}

# apt_of_arch: gets new lists of packages. If the VM is of another architecture, apt-get and
# apt-cache know from here on its packages beside our own, and none as installed. These
# lists are in the cache: this machine's apt does not change.
apt_of_arch() {
	local dir=$CACHE/apt-$DEB_ARCH

	if is_native; then
		apt_update
		return
	fi
	mkdir -p "$dir"/{lists,archives}/partial && : >"$dir/status" || exit "$STATUS_SETUP"
	cat >"$dir/apt.conf" <<-END
		APT::Architecture "$DEB_ARCH";
		APT::Architectures { "$DEB_ARCH"; "$NATIVE"; };
		APT::Sandbox::User "$(id -un)";
		Dir::State::Lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir";
	END
	export APT_CONFIG=$dir/apt.conf
	[ -z "$(find "$dir/updated" -mmin -10 2>/dev/null)" ] || return 0
	say "apt-get update for $DEB_ARCH"
	apt-get -qq update >&2 || die "apt-get update failed"
	touch "$dir/updated"
}
