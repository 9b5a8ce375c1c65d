// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import "context"

// Held is a key that lives as long as an open file of its own: until Close, or the end of
// the process, however that comes.
type Held struct {
	conn *Conn
	key  string
}

// Hold stores a value that belongs to the [Held] it returns. Its options are those of
// [Conn.Set]: [Create] refuses a key that is there, [Steal] takes it from its owner.
func (c *Conn) Hold(ctx context.Context, key string, value []byte, options ...Option) (*Held, error) {
	conn, err := c.Reopen(c.mode)
	if err != nil {
		return nil, err
	}
	h := &Held{conn: conn, key: key}
	if _, err := h.Set(ctx, value, options...); err != nil {
		conn.Close()
		return nil, err
	}
	return h, nil
}

// Set changes the value. A key that was taken from h meanwhile is [ErrBusy] if it has
// another owner.
func (h *Held) Set(ctx context.Context, value []byte, options ...Option) (uint64, error) {
	return h.conn.Set(ctx, h.key, value, append(options[:len(options):len(options)], Owned())...)
}

// Publish changes the value and announces it.
func (h *Held) Publish(ctx context.Context, value []byte, options ...Option) (version uint64, queues int, err error) {
	return h.conn.Publish(ctx, h.key, value, append(options[:len(options):len(options)], Owned())...)
}

// Conn returns the open file that owns the key. Processes that inherit it hold the key too.
func (h *Held) Conn() *Conn { return h.conn }

// Close ends it: the kernel deletes the key, if it is still its own.
func (h *Held) Close() error { return h.conn.Close() }
