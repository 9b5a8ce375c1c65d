// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build linux && !mips && !mipsle && !mips64 && !mips64le && !ppc64 && !ppc64le

package metastore

// The direction bits of _IOWR on most machines.
const iocReadWrite uint32 = 3 << 30

const fionread = 0x541b
