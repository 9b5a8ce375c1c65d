// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"math"
	"strconv"
	"syscall"
)

// Swap stores a value and returns the one that it replaced, in one step. The previous
// value's Version is 0 if there was none.
func (c *Conn) Swap(ctx context.Context, key string, value []byte, options ...Option) (previous Value, version uint64, err error) {
	options = append(options[:len(options):len(options)], Previous(&previous))
	version, err = c.Set(ctx, key, value, options...)
	return previous, version, err
}

// Take removes a value and returns it, in one step: one of several takers gets it. An
// absent key is [ErrNotFound].
func (c *Conn) Take(ctx context.Context, key string, options ...Option) (Value, error) {
	var taken Value

	options = append(options[:len(options):len(options)], Previous(&taken))
	_, err := c.Delete(ctx, key, options...)
	return taken, err
}

// Add adds to the decimal number that is the value of a key, and returns the sum. No
// addition is lost. An absent key counts as 0: the options, [Owned] and [TTL], are for the
// value that is created then. An existing number keeps its owner and its end of life.
//
// Errors are also [ErrNotNumber], and [ErrOverflow] for a sum that needs more than 64 bits.
func (c *Conn) Add(ctx context.Context, key string, delta int64, options ...Option) (int64, error) {
	if change := changeOf(options); change.flags&^flagOwned != 0 {
		return 0, fail("add", key, syscall.EINVAL)
	}
	for {
		sum, write, err := c.number(ctx, key, options)
		if err != nil {
			return 0, err
		}
		if delta > 0 && sum > math.MaxInt64-delta || delta < 0 && sum < math.MinInt64-delta {
			return 0, fail("add", key, syscall.ERANGE)
		}
		sum += delta
		_, err = c.Set(ctx, key, strconv.AppendInt(nil, sum, 10), write...)
		if err == nil {
			return sum, nil
		}
		if !is(err, syscall.ESTALE, syscall.EEXIST) {
			return 0, err
		}
	}
}

// number reads a number, and tells how its next value is to be written: on the condition that
// it is unchanged, with its owner and its end of life.
func (c *Conn) number(ctx context.Context, key string, create []Option) (int64, []Option, error) {
	value, err := c.get(ctx, key, 0)
	if is(err, syscall.ENOENT) {
		return 0, append(create[:len(create):len(create)], Create()), nil
	}
	if err != nil {
		return 0, nil, err
	}
	text := string(value.Data)
	number, err := strconv.ParseInt(text, 10, 64)
	// Only one text for each number: with leading zeros it may be a code.
	if err != nil || strconv.FormatInt(number, 10) != text {
		return 0, nil, fail("add", key, syscall.EBADMSG)
	}
	write := []Option{IfVersion(value.Version)}
	if value.Owner == OwnerSelf {
		write = append(write, Owned())
	}
	// Only a write limits an unlimited one, so the version vouches for this.
	if value.TTL != 0 {
		write = append(write, KeepTTL())
	}
	return number, write, nil
}
