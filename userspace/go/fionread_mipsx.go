// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build linux && (mips || mipsle || mips64 || mips64le)

package metastore

const fionread = 0x467f
