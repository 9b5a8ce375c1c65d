// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"syscall"
	"unsafe"
)

// mapEmpty puts empty memory in the place of a mapping. The
// system call takes its arguments in memory here.
func mapEmpty(mem []byte) {
	args := [6]uintptr{uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), emptyProt,
		emptyFlags, ^uintptr(0), 0}
	syscall.Syscall(syscall.SYS_MMAP, uintptr(unsafe.Pointer(&args)), 0, 0)
}
