// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// KeyMax is the length of the longest key in bytes.
const KeyMax = 255

// DefaultPath is the device of the machine's store.
const DefaultPath = "/dev/metastore"

// Mode says what an open store is for.
type Mode int

// Modes. Reading is Get, Stat, List and all about subscriptions. Writing is Set, Publish,
// Delete, Touch, Flush and Private. Returning a previous value needs both.
const (
	ReadWrite Mode = Mode(os.O_RDWR)
	ReadOnly  Mode = Mode(os.O_RDONLY)
	WriteOnly Mode = Mode(os.O_WRONLY)
)

// file is an open file of the device.
type file struct {
	f        *os.File
	raw      syscall.RawConn
	maxValue int
	features Features
}

// Conn is an open store. It owns what [Owned] gives it, until it is closed or the
// process ends.
type Conn struct {
	file
	mode    Mode
	mapping atomic.Pointer[mapping]
}

// Open opens a store. An empty path stands for $METASTORE_STORE if that is set and the
// program has no more rights than its caller, else for [DefaultPath]. A path fd:N opens
// the store of the inherited descriptor N once more.
//
// Errors are those of open(2): fs.ErrNotExist means that the module is not loaded,
// fs.ErrPermission that the user is not in the group of the device.
func Open(path string, mode Mode) (*Conn, error) {
	if path == "" {
		path = defaultPath()
	}
	if fd, ok := inheritedFD(path); ok {
		newFD, errno := openFD(uintptr(fd), int(mode))
		if errno != 0 {
			return nil, &os.PathError{Op: "open", Path: path, Err: errno}
		}
		return newConn(newFD, path, mode)
	}
	// Not by os.Open: that would make the descriptor non-blocking, and then no
	// publisher could wait.
	fd, err := syscall.Open(path, int(mode)|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return newConn(fd, path, mode)
}

func defaultPath() string {
	path := os.Getenv("METASTORE_STORE")
	if path == "" || os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return DefaultPath
	}
	return path
}

// inheritedFD tells the number of a path fd:N.
func inheritedFD(path string) (int, bool) {
	digits := strings.TrimPrefix(path, "fd:")
	if digits == path || digits == "" || digits[0] < '0' || digits[0] > '9' {
		return 0, false
	}
	fd, err := strconv.Atoi(digits)
	return fd, err == nil
}

// openFD opens the store of a descriptor once more.
func openFD(fd uintptr, flags int) (int, syscall.Errno) {
	a, err := newArena(0)
	if err != nil {
		return -1, syscall.ENOMEM
	}
	defer a.free()
	arg := structure[abiOpen](a)
	arg.openFlags = uint32(flags | syscall.O_CLOEXEC)
	return ioctl(fd, iocOpen, unsafe.Pointer(arg))
}

func newFile(fd int, name string) (file, error) {
	f := file{f: os.NewFile(uintptr(fd), name)}
	raw, err := f.f.SyscallConn()
	if err != nil {
		f.f.Close()
		return f, err
	}
	f.raw = raw
	info, err := f.info("open", anyBucket)
	if err != nil {
		f.f.Close()
		return f, err
	}
	f.maxValue = int(info.maxValue)
	f.features = Features(info.features)
	return f, nil
}

func newConn(fd int, name string, mode Mode) (*Conn, error) {
	f, err := newFile(fd, name)
	if err != nil {
		return nil, err
	}
	return &Conn{file: f, mode: mode}, nil
}

// ioctl runs a command on a structure of an arena. Go's own signals may interrupt a wait.
func ioctl(fd uintptr, command uint32, arg unsafe.Pointer) (int, syscall.Errno) {
	for {
		ret, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, uintptr(command), uintptr(arg))
		if errno != syscall.EINTR {
			return int(ret), errno
		}
	}
}

// command runs a command. The descriptor stays open meanwhile.
func (f *file) command(command uint32, arg unsafe.Pointer) (ret int, errno syscall.Errno) {
	err := f.raw.Control(func(fd uintptr) {
		ret, errno = ioctl(fd, command, arg)
	})
	if err != nil {
		errno = syscall.EBADF
	}
	return ret, errno
}

// call allocates an arena for a command about a key, and runs it. It returns the error
// with its context.
func (f *file) call(ctx context.Context, op, key string, room int,
	run func(a *arena) syscall.Errno) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(key) > KeyMax {
		return fail(op, key, syscall.EINVAL)
	}
	a, err := newArena(room)
	if err != nil {
		return fail(op, key, syscall.ENOMEM)
	}
	defer a.free()
	return fail(op, key, run(a))
}

// Reopen opens the same store again, with at most the rights of c. The new Conn owns
// nothing yet.
func (c *Conn) Reopen(mode Mode) (*Conn, error) {
	fd, err := c.reopenFD(int(mode))
	if err != nil {
		return nil, err
	}
	return newConn(fd, c.f.Name(), mode)
}

func (f *file) reopenFD(flags int) (fd int, err error) {
	var errno syscall.Errno

	err = f.raw.Control(func(old uintptr) {
		fd, errno = openFD(old, flags)
	})
	if err != nil {
		return -1, os.ErrClosed
	}
	return fd, fail("reopen", "", errno)
}

// Limits are those of a private store. A zero value means: as in the store that it is
// made from, Buckets at most 8.
type Limits struct {
	Buckets    int
	MaxValue   int
	QueueLen   int
	QueueBytes int
	MaxKeys    uint64
	MaxBytes   uint64
	Mapped     bool // [Conn.Map] works with it. It takes up to MaxBytes more
}

// Private creates an empty store that only c and its descendants reach: what [Conn.Reopen]
// makes of it, and processes that inherit its [Conn.File]. It ends with the last of
// them.
func (c *Conn) Private(ctx context.Context, limits Limits) (*Conn, error) {
	fd := -1
	err := c.call(ctx, "private", "", 0, func(a *arena) (errno syscall.Errno) {
		arg := structure[abiCreate](a)
		if limits.Mapped {
			arg.flags = createMapped
		}
		arg.openFlags = syscall.O_RDWR | syscall.O_CLOEXEC
		arg.buckets = uint32(limits.Buckets)
		arg.maxValue = uint32(limits.MaxValue)
		arg.queueLen = uint32(limits.QueueLen)
		arg.queueBytes = uint32(limits.QueueBytes)
		arg.maxKeys = limits.MaxKeys
		arg.maxBytes = limits.MaxBytes
		fd, errno = c.command(iocCreate, unsafe.Pointer(arg))
		return errno
	})
	if err != nil {
		return nil, err
	}
	return newConn(fd, "private store", ReadWrite)
}

// OpenPrivate creates an empty private store. See [Conn.Private].
func OpenPrivate(ctx context.Context, limits Limits) (*Conn, error) {
	c, err := Open("", WriteOnly)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Private(ctx, limits)
}

// Close closes the open file.
func (f *file) Close() error { return f.f.Close() }

// File returns the open file, for exec.Cmd.ExtraFiles: a child with METASTORE_STORE=fd:3
// opens the same store. It belongs to c: do not close it.
func (c *Conn) File() *os.File { return c.f }

// SyscallConn gives access to the descriptor, as in package syscall.
func (f *file) SyscallConn() (syscall.RawConn, error) { return f.f.SyscallConn() }
