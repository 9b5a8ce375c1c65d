#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tool: doctor. Each check in its good and its bad case, on a machine that is feigned
# in a folder; those of the store on the real one.
#
# module: max_keys=20 private_bytes=100000
# needs: python3 (python3)
# needs: cc (gcc)
set -e
. ./cli_helpers.sh

chmod 755 "$work"
root=$work/root
kernel=6.12.1+deb12-amd64
efivars=$root/sys/firmware/efi/efivars
secure_boot=$efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
enrolled=$efivars/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23
IFS=: read -r major minor </sys/class/misc/metastore/dev

# put FILE [TEXT]: below the root
put()
{
	mkdir -p "$root/${1%/*}"
	echo "${2-}" >"$root/$1"
}

# A machine on which all is well.
feign()
{
	rm -rf "$root"
	put proc/sys/kernel/osrelease $kernel
	put proc/version 'Linux version 6.12.1+deb12-amd64 (...) #1 SMP Debian 6.12.1-1 (2026-01-01)'
	put proc/cmdline 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet'
	put lib/modules/$kernel/build/Makefile
	put lib/modules/$kernel/modules.dep 'updates/metastore.ko: kernel/x.ko'
	put lib/modules/$kernel/updates/metastore.ko 'code'
	mkdir -p "$root/sys/module/metastore"
	put sys/class/misc/metastore/dev "$major:$minor"
	put sys/module/module/parameters/sig_enforce N
	put sys/kernel/security/lockdown '[none] integrity confidentiality'
	put etc/modules-load.d/metastore.conf metastore
	put etc/group $'root:x:0:\nmetastore:x:777:'
	mkdir "$root/dev"
	mknod -m 660 "$root/dev/metastore" c "$major" "$minor"
}

unload()
{
	rm -r "$root/sys/module/metastore" "$root/sys/class" "$root/dev/metastore"
}

doctor()
{
	METASTORE_DOCTOR_ROOT=$root run mstore doctor "$@"
}

# As a user without rights.
as_nobody()
{
	METASTORE_DOCTOR_ROOT=$root run setpriv --reuid=65534 --regid=65534 --clear-groups \
		mstore doctor
}

# says LINE: with any blanks behind the first word
says()
{
	expect_line "${1/ / +}"
}

# fails LINE...: the status is that of a failure.
fails()
{
	says "$1"
	expect_status 1
	expect_err ''
}

# Runs the command that the last output has for a check, on the feigned machine, without sudo.
mend()
{
	local line command

	line=$(grep -E "^[a-zA-Z]+ +$1: " "$out")
	command=${line##*: }
	command=${command//sudo /}
	command=${command// \/etc\// $root/etc/}
	eval "${command//\/dev\/metastore/$root/dev/metastore}"
}

test_all_is_well()
{
	feign
	doctor
	expect 0 "ok    kernel: $kernel
ok    headers: those of $kernel are installed
ok    dkms: does not build the module; build it after an upgrade
ok    module: loaded, installed as /lib/modules/$kernel/updates/metastore.ko
ok    blacklist: the module is not on one
ok    autoload: /etc/modules-load.d/metastore.conf loads the module at boot
ok    secure boot: this machine has none
ok    lockdown: none
ok    signature: not enforced
ok    device: /dev/metastore is there
ok    access: user root may read and write
ok    dump: none is saved: values end with the module
ok    features: module and tool have the same
ok    keys: 0 of 20 (0 %)
ok    bytes: 0 of $(</sys/module/metastore/parameters/max_bytes) (0 %)
ok    private stores: 0 of 100000 bytes (0 %)
ok    user: 1 of $(</sys/module/metastore/parameters/user_files) open files (0 %)
ok    losses: no subscription lost an event
"
}

test_this_machine()
{
	local running

	running=$(uname -r)
	run mstore doctor
	says "ok kernel: ${running//+/\\+}"
	says '(ok|WARN) module: loaded.*'
	says 'ok signature: (not enforced|this kernel checks none)'
	says 'ok device: /dev/metastore is there'
	says 'ok access: user root may read and write'
	says 'ok features: .*'
	says 'ok losses: .*'
	expect_err ''
}

test_json()
{
	local i lines=()

	feign
	rm "$root/etc/modules-load.d/metastore.conf"
	doctor --json
	expect_status 0
	expect_lines 18
	for ((i = 0; i < 18; i++)); do
		lines+=("o['check'] and o['why'] and (o['status'] == 'ok' and 'command' not in o \
			or o['status'] == 'warn' and o['check'] == 'autoload' and \
			o['command'] == 'echo metastore | sudo tee /etc/modules-load.d/metastore.conf')")
	done
	expect_json "${lines[@]}"
	unload
	doctor --json
	expect_status 1
	run grep -c '"status":"fail"' "$out"
	expect 0 $'3\n'
}

# kernel RELEASE [VERSION]
kernel_is()
{
	put proc/sys/kernel/osrelease "$1"
	put proc/version "Linux version $1 (...) #1 SMP ${2-}"
	doctor
}

test_kernel()
{
	local release

	feign
	for release in 6.1.110 6.10.10 6.11.0 6.11-rc1 7.3.4; do
		kernel_is $release
		says "ok kernel: $release"
	done
	for release in 6.1.109 6.2.0 6.10.9; do
		kernel_is $release
		says "WARN kernel: $release may lack a fix .*: sudo apt-get install linux-image-amd64"
	done
	kernel_is 6.1.0-56-amd64 'Debian 6.1.124-1 (2026-01-01)'
	says 'ok kernel: 6.1.0-56-amd64'
	kernel_is 6.1.0-10-amd64 'Debian 6.1.38-1 (2023-07-14)'
	says 'WARN kernel: 6.1.0-10-amd64 may lack .*'
	kernel_is 5.10.0-30-amd64 'Debian 5.10.218-1'
	fails 'FAIL kernel: 5.10.0-30-amd64 is too old: .*: sudo apt-get install linux-image-amd64'
}

test_headers()
{
	feign
	rm -r "$root/lib/modules/$kernel/build"
	doctor
	says "WARN headers: those of .* missing: .*: sudo apt-get install linux-headers-${kernel/+/\\+}"
	expect_status 0
	unload
	rm "$root/lib/modules/$kernel/modules.dep"
	doctor
	fails 'FAIL headers: .*'
}

test_dkms()
{
	feign
	put var/lib/dkms/metastore/0.6.0/source/dkms.conf
	doctor
	says "WARN dkms: has not built the module for .*: sudo dkms autoinstall -k ${kernel/+/\\+}"
	expect_status 0
	unload
	rm "$root/lib/modules/$kernel"/{modules.dep,updates/metastore.ko}
	put var/lib/dkms/metastore/0.6.0/build/make.log
	doctor
	fails 'FAIL dkms: .*; /var/lib/dkms/metastore/0.6.0/build/make.log says why: sudo dkms .*'
	says 'FAIL module: not installed: sudo dkms autoinstall -k .*'
	put var/lib/dkms/metastore/0.6.0/$kernel/x86_64/module/metastore.ko
	doctor
	says 'ok dkms: has built the module for .*'
}

test_module()
{
	feign
	unload
	doctor
	fails 'FAIL module: /lib/modules/.*/metastore.ko is installed, but not loaded: sudo modprobe metastore'
	rm "$root/lib/modules/$kernel/modules.dep"
	doctor
	fails 'FAIL module: modprobe does not know .*/metastore.ko: sudo depmod && sudo modprobe .*'
	rm "$root/lib/modules/$kernel/updates/metastore.ko"
	doctor
	fails 'FAIL module: not installed: make && sudo make install'
	put lib/modules/6.11.0/modules.dep 'updates/metastore.ko.xz:'
	doctor
	fails 'FAIL module: built for 6.11.0, but not for the running .*: make && sudo make install'
	mkdir "$root/sys/module/metastore"
	doctor
	says 'WARN module: loaded, but not installed for .*: gone after a reboot: make && .*'
}

test_blacklist()
{
	local word

	feign
	for word in blacklist install; do
		put etc/modprobe.d/no.conf "$word metastore /bin/false"
		doctor
		says "WARN blacklist: /etc/modprobe.d/no.conf has a line '$word metastore': sudo sed .*"
		expect_status 0
		mend blacklist
		doctor
		says 'ok blacklist: .*'
	done
	put etc/modprobe.d/other.conf $'blacklist metastore2\n# blacklist metastore\noptions metastore x=1'
	doctor
	says 'ok blacklist: .*'
	unload
	put usr/lib/modprobe.d/no.conf ' blacklist   metastore'
	doctor
	fails 'FAIL blacklist: /usr/lib/modprobe.d/no.conf .*'
	rm "$root/usr/lib/modprobe.d/no.conf"
	put proc/cmdline 'quiet module_blacklist=a,metastore,b ro'
	doctor
	fails 'FAIL blacklist: the kernel.s command line .*: sudoedit .*'
	put proc/cmdline 'quiet module_blacklist=a,metastores ro'
	doctor
	says 'ok blacklist: .*'
}

test_autoload()
{
	feign
	rm "$root/etc/modules-load.d/metastore.conf"
	doctor
	says 'WARN autoload: nothing loads .*'
	expect_status 0
	mend autoload >/dev/null
	doctor
	says 'ok autoload: /etc/modules-load.d/metastore.conf .*'
	rm "$root/etc/modules-load.d/metastore.conf"
	put etc/modules-load.d/modules.conf '# metastore'
	doctor
	says 'WARN autoload: .*'
	put usr/lib/modules-load.d/mstore.conf metastore
	doctor
	says 'ok autoload: /usr/lib/modules-load.d/mstore.conf .*'
}

# state BYTE: of Secure Boot, behind four bytes of attributes
state()
{
	mkdir -p "$efivars"
	printf '\x06\0\0\0%b' "$1" >"$secure_boot"
	doctor
}

test_secure_boot()
{
	feign
	state '\x00'
	says 'ok secure boot: off'
	state '\x01'
	says 'ok secure boot: on, and there is no key .*, but the module is loaded'
	unload
	doctor
	fails 'FAIL secure boot: on, and there is no key .*: .*sudo mokutil --import .*'
	put var/lib/dkms/mok.pub $'a\001key'
	doctor
	fails 'FAIL secure boot: .*mok.pub is not enrolled: sudo mokutil --import .* && sudo reboot'
	printf 'some\0list of others' >"$enrolled"
	doctor
	says 'FAIL secure boot: .*mok.pub is not enrolled: .*'
	printf 'some\0list with a\001key\n and others' >"$enrolled"
	doctor
	says 'ok secure boot: on, and the key /var/lib/dkms/mok.pub is enrolled'
}

# Of lockdown and signature alike
expect_signature()
{
	doctor
	says "ok $1: .*, and the module is loaded"
	unload
	doctor
	fails "FAIL $1: .*, and the module is not signed: sudo .*/sign-file .*/updates/metastore.ko"
	echo '~Module signature appended~' >>"$root/lib/modules/$kernel/updates/metastore.ko"
	doctor
	says "ok $1: .*, and the module is signed"
	put lib/modules/$kernel/modules.dep 'updates/metastore.ko.xz:'
	put lib/modules/$kernel/updates/metastore.ko.xz
	doctor
	says "WARN $1: .*, and no signature of the module can be seen: sudo .*"
}

test_lockdown()
{
	feign
	put sys/kernel/security/lockdown 'none [integrity] confidentiality'
	expect_signature lockdown
	rm "$root/sys/kernel/security/lockdown"
	doctor
	says 'ok lockdown: this kernel has none, or hides it'
	put sys/kernel/security/lockdown 'none integrity [confidentiality]'
	doctor
	says 'WARN lockdown: confidentiality.*'
}

test_signature()
{
	feign
	put sys/module/module/parameters/sig_enforce Y
	expect_signature signature
	rm "$root/sys/module/module/parameters/sig_enforce"
	doctor
	says 'ok signature: this kernel checks none'
}

test_device()
{
	feign
	rm "$root/dev/metastore"
	doctor
	fails 'FAIL device: no /dev/metastore, although .*: sudo udevadm trigger --name-match=metastore'
	says 'FAIL store: .*/dev/metastore cannot be opened \(No such file or directory\), .*: sudo modprobe metastore'
	put dev/metastore
	doctor
	fails "FAIL device: /dev/metastore is no device: sudo rm /dev/metastore && sudo mknod .* $major $minor"
	says 'FAIL store: .* cannot be opened \(it is no metastore\), .*'
	mend device
	doctor
	says 'ok device: .*'
	expect_status 0
	rm "$root/dev/metastore"
	mknod "$root/dev/metastore" c 1 3
	doctor
	fails "FAIL device: /dev/metastore has the number 1:3, but the driver $major:$minor: .*"
	unload
	doctor
	fails 'FAIL device: no /dev/metastore: the module is not loaded: sudo modprobe metastore'
}

test_container()
{
	local file

	for file in run/systemd/container run/.containerenv ./.dockerenv; do
		feign
		put "$file" docker
		rm -r "$root/dev/metastore" "$root/lib/modules" "$root/etc/modules-load.d"
		doctor
		says 'ok headers: this is a container, .*'
		fails 'FAIL device: no /dev/metastore: this container has not got it: podman run --device .*'
		says 'ok module: loaded by the host of this container'
		says 'ok autoload: this is a container, .*'
	done
	rm -r "$root/sys/module/metastore"
	doctor
	fails 'FAIL module: not loaded; the host of this container can do that: sudo modprobe metastore'
}

test_access()
{
	feign
	as_nobody
	fails "FAIL access: /dev/metastore belongs to root alone: .*usermod -aG metastore nobody && .*"
	says 'FAIL store: .*/dev/metastore cannot be opened \(Permission denied\), .*: sudo mstore doctor'
	chgrp 777 "$root/dev/metastore"
	as_nobody
	fails 'FAIL access: user nobody is not in group metastore; .*: sudo usermod -aG metastore nobody'
	put etc/group $'root:x:0:\nmetastore:x:777:someone,nobody'
	as_nobody
	fails 'FAIL access: user nobody is in group metastore, but .*: log in again: newgrp metastore'
	METASTORE_DOCTOR_ROOT=$root run setpriv --reuid=65534 --regid=65534 --groups 777 mstore doctor
	says 'ok access: user nobody may read and write'
	expect_status 0
	put etc/group root:x:0:
	as_nobody
	fails 'FAIL access: /dev/metastore belongs to group 777, which has no name: .*'
	chmod 600 "$root/dev/metastore"
	as_nobody
	fails 'FAIL access: mode 0600 gives the group no access: sudo chmod 0660 /dev/metastore'
	chmod 666 "$root/dev/metastore"
	as_nobody
	says 'WARN access: mode 0666 lets every user change every key: sudo chmod 0660 /dev/metastore'
	expect_status 0
	mend access
	doctor
	says 'ok access: .*'
}

test_what_it_may_not_look_at()
{
	feign
	state '\x01'
	put var/lib/metastore/dump.json
	chmod 666 "$root/dev/metastore"
	chmod 700 "$efivars" "$root/sys/kernel/security" "$root/sys/module/module" \
		"$root/var/lib/metastore"
	as_nobody
	says 'WARN secure boot: cannot look at .*: Permission denied: sudo mstore doctor'
	says 'WARN lockdown: cannot look at /sys/kernel/security/lockdown: Permission denied: .*'
	says 'WARN signature: cannot look at .*: Permission denied: .*'
	says 'WARN dump: cannot look at /var/lib/metastore/dump.json: Permission denied: .*'
	says 'WARN private stores: cannot look at other users: Operation not permitted: .*'
	says 'WARN losses: none seen, but [0-9]+ processes cannot be looked at: sudo mstore doctor'
	expect_status 0
	expect_err ''
}

test_dump()
{
	feign
	mstore set k 1
	mkdir -p "$root/var/lib/metastore"
	mstore dump >"$root/var/lib/metastore/dump.json"
	doctor
	says 'ok dump: /var/lib/metastore/dump.json is 0 hours old'
	touch -d '-23 hours' "$root/var/lib/metastore/dump.json"
	doctor
	says 'ok dump: .* is 23 hours old'
	touch -d '-25 hours' "$root/var/lib/metastore/dump.json"
	doctor
	says 'WARN dump: .* is 25 hours old: sudo mstore dump --output /var/lib/metastore/dump.json'
	expect_status 0
	mstore dump | head -n 1 >"$root/var/lib/metastore/dump.json"
	doctor
	fails 'FAIL dump: .* is not whole: sudo mv .*'
	# Cut within the last line, or in the middle
	mstore dump | head -c -6 >"$root/var/lib/metastore/dump.json"
	doctor
	fails 'FAIL dump: .* is not whole: .*'
	mstore dump | sed 1d >"$root/var/lib/metastore/dump.json"
	doctor
	fails 'FAIL dump: .* is not whole: .*'
	: >"$root/var/lib/metastore/dump.json"
	doctor
	fails 'FAIL dump: .* is not whole: .*'
	doctor --dump "$work/saved"
	fails "FAIL dump: no $work/saved: .*"
	mend dump
	doctor --dump "$work/saved"
	says "ok dump: $work/saved is 0 hours old"
	# Longer than what is looked at
	mstore set k "$(printf %05000d 1)"
	mstore dump >"$work/saved"
	doctor --dump "$work/saved"
	says "ok dump: .*"
}

# Makes the module that answers INFO have other features: without $1, and with $2.
feign_features()
{
	LD_PRELOAD=$work/fake.so WITHOUT=$1 AND=$2 doctor
}

test_features()
{
	cat >"$work/fake.c" <<'END'
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long command, ...)
{
	va_list args;
	uint64_t *info;
	int ret;

	va_start(args, command);
	info = va_arg(args, uint64_t *);
	va_end(args);
	ret = syscall(SYS_ioctl, fd, command, info);
	if (!ret && (command & 0xffff) == 0xe600) {
		info[1] &= ~strtoull(getenv("WITHOUT"), NULL, 0);
		info[1] |= strtoull(getenv("AND"), NULL, 0);
	}
	return ret;
}
END
	cc -shared -fPIC -o "$work/fake.so" "$work/fake.c"
	feign
	feign_features 0 0
	says 'ok features: module and tool have the same'
	feign_features 0x480 0
	says 'WARN features: the module is older than this tool and lacks touch, resync: mstore dump .*'
	expect_status 0
	feign_features 0 0x10000000000
	says 'WARN features: .* newer than this tool, .* 0x10000000000: make && sudo make install'
	feign_features 0x20 0
	says 'ok losses: the module does not count them'
}

test_keys()
{
	feign
	printf 'set %d 1\n' {1..16} | mstore batch
	doctor
	says 'ok keys: 16 of 20 \(80 %\)'
	mstore set 17 1
	doctor
	says 'WARN keys: 17 of 20 \(85 %\): .*sudo modprobe metastore max_keys=40 && .*'
	expect_status 0
}

test_bytes()
{
	feign
	# shellcheck disable=SC2016
	METASTORE_DOCTOR_ROOT=$root run mstore private --max-bytes 4096 -- sh -c '
		mstore set k "$(printf %03500d 1)"; mstore doctor'
	says 'WARN bytes: 3549 of 4096 \(86 %\): mstore private --max-bytes 8192'
	says 'ok keys: 1 of 20 .*'
	expect_status 0
}

test_private_stores()
{
	feign
	mstore private --buckets 90 -- sleep 600 &
	for ((i = 0; i < 300 * slowness; i++)); do
		doctor
		! grep -q '^WARN  private stores' "$out" || break
		pause
	done
	says 'WARN user: [0-9]+ of 50000 bytes of private stores \(184 %\): sudo mstore audit --users'
	says 'WARN private stores: [0-9]+ of 100000 bytes \(9[0-9] %\): .* metastore private_bytes=200000 .*'
	expect_status 0
	kill "$!"
}

test_limits_of_the_user()
{
	local limit=/sys/module/metastore/parameters/user_files

	feign
	echo 1 >"$limit"
	doctor
	says "WARN user: 1 of 1 open files \(100 %\): echo 2 \| sudo tee $limit"
	expect_status 0
	mend user >/dev/null
	doctor
	echo 0 >"$limit"
	says 'ok user: 1 of 2 open files \(50 %\)'
	printf 'set %d 1\n' {1..17} | mstore batch
	doctor
	says 'WARN user: 17 of 10 keys in the default store \(170 %\): sudo mstore audit --users'
}

test_losses()
{
	feign
	start_sub --queue-len 1 k
	kill -STOP "$sub"
	printf 'set k %d\n' 1 2 3 | mstore batch
	doctor
	says 'WARN losses: 1 subscriptions lost 2 events: sudo mstore audit'
	expect_status 0
	kill -CONT "$sub"
}

test_without_a_device()
{
	run unshare -m sh -c 'mount -t tmpfs none /dev && exec mstore doctor'
	fails 'FAIL device: no /dev/metastore.*'
	says 'FAIL store: /dev/metastore cannot be opened .*'
	METASTORE_STORE=$work/nothing run mstore doctor
	fails "FAIL store: $work/nothing cannot be opened .*"
}

start_json
run_tests
