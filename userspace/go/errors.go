// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"errors"
	"strconv"
	"syscall"
)

// Error numbers of the kernel under names that say what they mean here. All others
// are in package syscall. Compare them by errors.Is.
const (
	ErrNotFound   = syscall.ENOENT    // no such key, or no such subscription
	ErrExists     = syscall.EEXIST    // [Create]: there is a value; or already subscribed
	ErrStale      = syscall.ESTALE    // [IfVersion]: the value has another version
	ErrBusy       = syscall.EBUSY     // another open file owns the value; the ring is mapped
	ErrStoreFull  = syscall.ENOSPC    // a limit of the store
	ErrUserLimit  = syscall.EDQUOT    // a limit of the user
	ErrFileLimit  = syscall.ENOBUFS   // a limit of the open file
	ErrTooLong    = syscall.EMSGSIZE  // the value is longer than the store allows
	ErrCanceled   = syscall.ECANCELED // an operation of an atomic batch failed
	ErrNotNumber  = syscall.EBADMSG   // [Conn.Add]: the value is no number
	ErrOverflow   = syscall.ERANGE    // [Conn.Add]: the sum has more than 64 bits
	ErrNoTTL      = syscall.ENODATA   // [Conn.Touch]: the value lives without limit
	ErrLockLost   = syscall.ENOLCK    // [Lock.Release]: the lock was lost before
	ErrBadArg     = syscall.EINVAL    // an argument that the call does not accept
	ErrNotAllowed = syscall.EBADF     // the store was not opened for that, or is closed
)

// Error is an error of the kernel, or one that the package finds for it.
type Error struct {
	Op      string        // what was to be done, such as "set"
	Key     string        // the key or prefix, if any
	Err     syscall.Errno // the reason
	Version uint64        // ErrExists, ErrStale: version of the present value, 0: there is none
}

func (e *Error) Error() string {
	text := "metastore: " + e.Op
	if e.Key != "" {
		text += " " + strconv.Quote(e.Key)
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns the error number.
func (e *Error) Unwrap() error { return e.Err }

// fail returns the *Error of an error number, nil for 0.
func fail(op, key string, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return &Error{Op: op, Key: key, Err: errno}
}

// is reports whether an error has one of these numbers.
func is(err error, errnos ...syscall.Errno) bool {
	var errno syscall.Errno

	if !errors.As(err, &errno) {
		return false
	}
	for _, e := range errnos {
		if errno == e {
			return true
		}
	}
	return false
}
