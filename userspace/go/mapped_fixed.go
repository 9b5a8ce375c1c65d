// SPDX-License-Identifier: LGPL-2.1-or-later

//go:build linux && !s390x

package metastore

import (
	"syscall"
	"unsafe"
)

// mapEmpty puts empty memory in the place of a mapping.
func mapEmpty(mem []byte) {
	syscall.Syscall6(syscall.SYS_MMAP, uintptr(unsafe.Pointer(&mem[0])),
		uintptr(len(mem)), emptyProt, emptyFlags, ^uintptr(0), 0)
}
