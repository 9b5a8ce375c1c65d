#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make install and its like: what they write, what they refuse, and what they say is missing.
# The build by DKMS is tested by vm/package-check.
#
# module: none

# shellcheck source=/dev/null
. "$KSFT/kselftest/ktap_helpers.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$(cd .. && pwd)
root=$work/root
release=$(basename "$(dirname "$METASTORE_KO")")
unset MAKEFLAGS MAKELEVEL

# The headers that tell make which of the built modules is meant
mkdir -p "$work"/headers/include/generated
echo "#define UTS_RELEASE \"$release\"" >"$work/headers/include/generated/utsrelease.h"

# try_make ARGUMENT...: sets status, and said to what it printed.
try_make() {
	said=$(make -C "$top" KDIR="$work/headers" "$@" 2>&1)
	status=$?
}

files() {
	(cd "$root" && find . ! -type d | sort)
}

# refused PATTERN: did make fail, and say so?
refused() {
	# shellcheck disable=SC2053 # a pattern
	[ "$status" != 0 ] && [[ $said == *$1* ]]
}

check() {
	if "${@:2}"; then
		ktap_test_pass "$1"
	else
		echo "# status $status; the last lines:"
		tail -n 5 <<<"$said" | sed 's/^/# /'
		ktap_test_fail "$1"
	fi
}

wrote_all() {
	local file

	[ "$status" = 0 ] || return
	for file in usr/bin/mstore usr/lib/libmetastore.{a,so,so.0} usr/lib/pkgconfig/metastore.pc \
			usr/include/{metastore.h,linux/metastore.h,linux/metastore_map.h} \
			usr/share/man/man{1/mstore.1,3/mstore_open.3,3/mstore_close.3,4/metastore.4} \
			usr/share/bash-completion/completions/mstore \
			usr/share/zsh/site-functions/_mstore \
			usr/share/fish/vendor_completions.d/mstore.fish \
			usr/lib/udev/rules.d/60-metastore.rules \
			usr/lib/{sysusers.d,modules-load.d}/metastore.conf \
			usr/sbin/mstore-nats usr/share/man/man8/mstore-nats.8 \
			usr/lib/systemd/system/mstore-nats@.service \
			lib/modules/"$release"/updates/metastore.ko; do
		[ -e "$root/$file" ] || { said="no $file"; return 1; }
	done
	cmp "$METASTORE_KO" "$root/lib/modules/$release/updates/metastore.ko"
}

only_below() {
	! files | grep -v "^\./$1/" | grep -v "^\./lib/modules/$release/updates/metastore.ko$"
}

pc_says() {
	[ "$(PKG_CONFIG_LIBDIR=$root/usr/lib/pkgconfig pkg-config --variable="$1" metastore)" = "$2" ]
}

nothing_built() {
	said=$(find "$top/build/user" "$top/build/$release" -newer "$work/before")
	[ -z "$said" ]
}

is_empty() {
	[ "$status" = 0 ] && [ "$(files)" = "${1:-}" ]
}

ktap_print_header
ktap_set_plan 18

touch "$work/before"
sleep 1
try_make install DESTDIR="$root" PREFIX=/usr
check "install writes everything" wrote_all
check "it writes nothing outside of PREFIX but the module" only_below usr
check "it builds nothing" nothing_built
check "pkg-config finds PREFIX" pc_says includedir /usr/include

echo other >"$root/usr/bin/other"
mkdir -p "$root/lib/modules/$release/updates/dkms"
echo other >"$root/lib/modules/$release/updates/dkms/metastore.ko"
try_make uninstall DESTDIR="$root" PREFIX=/usr
check "uninstall removes that and nothing else" \
	is_empty "./lib/modules/$release/updates/dkms/metastore.ko"$'\n'./usr/bin/other
rm -rf "$root"

try_make install-user DESTDIR="$root" PREFIX=/opt/x
check "install-user leaves the module out" only_below opt/x
try_make uninstall DESTDIR="$root" PREFIX=/opt/x
check "uninstall removes it" is_empty
rm -rf "$root"
mkdir "$root"

try_make install DESTDIR="$root" BUILD="$work/none"
check "install of nothing is refused" refused "build it first"
try_make install-user DESTDIR="$root" BUILD="$work/none"
check "install-user of nothing is refused" refused "build it first"
try_make install DESTDIR="$root" KDIR=/nonexistent
check "install without headers names install-user" refused "make install-user"
status=0
check "none of them wrote anything" is_empty

try_make KDIR=/nonexistent BUILD="$work/none"
check "make without headers says what to install" refused "linux-headers-$(uname -r)"
check "and names make user" refused "make user"

try_make user BUILD="$work/none" CC=no-such-cc
check "a missing compiler is named" refused "the compiler no-such-cc is missing"
try_make user BUILD="$work/none" PKG_CONFIG=no-such-pkg-config
check "a missing pkg-config is named" refused "no-such-pkg-config is missing"
export PKG_CONFIG_LIBDIR=/nonexistent
try_make user BUILD="$work/none"
check "a missing library is named" refused "apt install libjansson-dev"
unset PKG_CONFIG_LIBDIR

# Notes how it is called, and whether the source was there.
mkdir "$work/bin"
cat >"$work/bin/dkms" <<'END'
#!/bin/sh
version=${2#metastore/}
grep -qx "PACKAGE_VERSION=\"$version\"" "/usr/src/metastore-$version/dkms.conf" && echo "dkms: $*"
END
chmod +x "$work/bin/dkms"
PATH=$work/bin:$PATH
version=$(sed -n 's/^VERSION := //p' ../version.mk)
try_make dkms-install
[[ $said == *"dkms: install metastore/$version"* ]] || status=1
check "dkms-install gives DKMS the source" test "$status" = 0
try_make dkms-uninstall
[[ $said == *"dkms: remove metastore/$version --all"* && ! -e /usr/src/metastore-$version ]] || status=1
check "dkms-uninstall takes it away" test "$status" = 0

ktap_finished
