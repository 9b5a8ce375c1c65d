# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # used by those that source it
#
# All that depends on the architecture of the kernel that is booted, which the end of KERNEL=
# says as Debian does. To be sourced by lib.sh.

NATIVE=amd64
case $KERNEL in
*-arm64) DEB_ARCH=arm64 ;;
*-s390x) DEB_ARCH=s390x ;;
*)       DEB_ARCH=$NATIVE ;;
esac

case $DEB_ARCH in
amd64)
	QEMU=qemu-system-x86_64
	QEMU_PACKAGE=qemu-system-x86
	QEMU_MACHINE=pc
	QEMU_CPU=max                    # where it is emulated
	CONSOLE=ttyS0                   # the kernel's log
	SHELL_CONSOLE=ttyS1             # the shell of vm --shell
	VIRTIO_BUS=virtio_pci           # the module that finds virtio's devices
	# On a busy machine the watchdog would find the TSC unstable, and patch the kernel
	# while the other CPU runs it, which emulation does not always survive.
	APPEND_EMULATED=tsc=reliable
	;;
arm64)
	ARCH=arm64                      # as the kernel calls it
	TRIPLET=aarch64-linux-gnu       # as the compiler does
	QEMU=qemu-system-aarch64
	QEMU_PACKAGE=qemu-system-arm
	QEMU_MACHINE=virt
	QEMU_CPU=neoverse-n1            # max signs pointers, which is slow where emulated
	CONSOLE=ttyAMA0
	VIRTIO_BUS=virtio_pci
	APPEND_EMULATED=
	;;
s390x)
	ARCH=s390
	TRIPLET=s390x-linux-gnu
	QEMU=qemu-system-s390x
	QEMU_PACKAGE=qemu-system-misc
	QEMU_MACHINE=s390-ccw-virtio
	QEMU_CPU=max
	CONSOLE=ttysclp0
	VIRTIO_BUS=                     # always built in
	APPEND_EMULATED=
	;;
esac

is_native() {
	[ "$DEB_ARCH" = "$NATIVE" ]
}

# Where the programs are that the VM runs
PROGRAMS=/
if ! is_native; then
	BUILD=$BUILD/$DEB_ARCH
	FOREIGN=$CACHE/foreign-$DEB_ARCH
	PROGRAMS=$FOREIGN/programs
	# What make, also the kernel's, and pkg-config know a cross compiler and its libraries by
	export ARCH CROSS_COMPILE=$TRIPLET-
	export CC=${CROSS_COMPILE}gcc AR=${CROSS_COMPILE}ar
	# Its linker has libraries of its own.
	PATH=$FOREIGN/compiler/usr/bin:$PATH
	export LD_LIBRARY_PATH=$FOREIGN/compiler/usr/lib/x86_64-linux-gnu
	export PKG_CONFIG_LIBDIR=$PROGRAMS/usr/lib/$TRIPLET/pkgconfig PKG_CONFIG_SYSROOT_DIR=$PROGRAMS
fi
