// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build linux && (ppc64 || ppc64le)

package metastore

// _IOR('f', 127, int)
const fionread = 0x4004667f
