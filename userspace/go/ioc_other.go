// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build linux && (mips || mipsle || mips64 || mips64le || ppc64 || ppc64le)

package metastore

// The direction bits of _IOWR where the size has 13 bits.
const iocReadWrite uint32 = 6 << 29
