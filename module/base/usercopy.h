/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copies of few bytes from and to user space, inlined. A copy of a size that is not known
 * when this is compiled otherwise costs some 120 instructions beyond the copy itself, to
 * check that the kernel's side is one object. Here the caller knows it by the length that
 * he checked against the object's size; each use says how.
 */
#ifndef METASTORE_USERCOPY_H
#define METASTORE_USERCOPY_H

#include <linux/compiler.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/uaccess.h>

#include "base/types.h"

/* Beyond that the processor's string instructions win. */
#define METASTORE_FEW_BYTES	512

/* Between user_read_access_begin() and _end(). Return false at a fault. */
static __always_inline bool metastore_unsafe_copy_words_in(u64 *to, const u64 __user *from,
							   size_t words)
{
	size_t i;

#pragma GCC unroll 8
	for (i = 0; i < words; i++)
		unsafe_get_user(to[i], from + i, fault);
	return true;
fault:
	return false;
}

static __always_inline bool metastore_unsafe_copy_in(u8 *to, const u8 __user *from, size_t len)
{
	struct metastore_word *words = (struct metastore_word *)to;
	const u64 __user *uwords = (const u64 __user *)from;
	size_t i;

	for (i = 0; i + 4 <= len / 8; i += 4) {
		unsafe_get_user(words[i].value, uwords + i, fault);
		unsafe_get_user(words[i + 1].value, uwords + i + 1, fault);
		unsafe_get_user(words[i + 2].value, uwords + i + 2, fault);
		unsafe_get_user(words[i + 3].value, uwords + i + 3, fault);
	}
	for (; i < len / 8; i++)
		unsafe_get_user(words[i].value, uwords + i, fault);
	i *= 8;
	for (; i < len; i++)
		unsafe_get_user(to[i], from + i, fault);
	return true;
fault:
	return false;
}

/* Likewise, for writing. */
static __always_inline bool metastore_unsafe_copy_words_out(u64 __user *to, const u64 *from,
							    size_t words)
{
	size_t i;

#pragma GCC unroll 8
	for (i = 0; i < words; i++)
		unsafe_put_user(from[i], to + i, fault);
	return true;
fault:
	return false;
}

static __always_inline bool metastore_unsafe_copy_out(u8 __user *to, const u8 *from, size_t len)
{
	const struct metastore_word *words = (const struct metastore_word *)from;
	u64 __user *uwords = (u64 __user *)to;
	size_t i;

	for (i = 0; i + 4 <= len / 8; i += 4) {
		unsafe_put_user(words[i].value, uwords + i, fault);
		unsafe_put_user(words[i + 1].value, uwords + i + 1, fault);
		unsafe_put_user(words[i + 2].value, uwords + i + 2, fault);
		unsafe_put_user(words[i + 3].value, uwords + i + 3, fault);
	}
	for (; i < len / 8; i++)
		unsafe_put_user(words[i].value, uwords + i, fault);
	i *= 8;
	if (len & 4) {
		unsafe_put_user(((const struct metastore_half *)(from + i))->value,
				(u32 __user *)(to + i), fault);
		i += 4;
	}
	for (; i < len; i++)
		unsafe_put_user(from[i], to + i, fault);
	return true;
fault:
	return false;
}

/**
 * metastore_copy_struct_in - copy a structure of the ABI in
 * @to:		the structure
 * @from:	user address
 * @size:	its size in bytes, constant, a multiple of 8
 *
 * Context: may sleep.
 * Return: 0 or -EFAULT.
 */
static __always_inline int metastore_copy_struct_in(void *to, const void __user *from,
						    size_t size)
{
	bool done;

	might_fault();
	if (should_fail_usercopy() || !user_read_access_begin(from, size))
		return -EFAULT;
	done = metastore_unsafe_copy_words_in(to, from, size / 8);
	user_read_access_end();
	return done ? 0 : -EFAULT;
}

/**
 * metastore_copy_struct_out - copy a structure of the ABI out
 * @to:		user address
 * @from:	the structure
 * @size:	its size in bytes, or what of it the user has
 *
 * Fault injection leaves this one alone: it tells of something that is done.
 *
 * Context: may sleep.
 * Return: 0 or -EFAULT.
 */
static __always_inline int metastore_copy_struct_out(void __user *to, const void *from,
						     size_t size)
{
	bool done;

	might_fault();
	if (!user_write_access_begin(to, size))
		return -EFAULT;
	done = metastore_unsafe_copy_out(to, from, size);
	user_write_access_end();
	return done ? 0 : -EFAULT;
}

/**
 * metastore_copy_args - copy a structure in, which the user may have in another size
 * @to:		the structure
 * @size:	its size in bytes, constant, a multiple of 8
 * @from:	user address
 * @usize:	size there
 *
 * Context: may sleep.
 * Return: 0, -EFAULT, or -E2BIG if what is longer is not zero.
 */
static __always_inline int metastore_copy_args(void *to, size_t size,
					       const void __user *from, size_t usize)
{
	if (likely(usize == size))
		return metastore_copy_struct_in(to, from, size);
	return copy_struct_from_user(to, size, from, usize);
}

/**
 * metastore_copy_in - copy few or many bytes in
 * @to:		where to; whoever calls this has made sure that there is room
 * @from:	user address; not looked at if @len is 0
 * @len:	how many
 *
 * Context: may sleep.
 * Return: 0 or -EFAULT.
 */
static __always_inline int metastore_copy_in(void *to, const void __user *from, size_t len)
{
	bool done;

	if (len > METASTORE_FEW_BYTES)
		return copy_from_user(to, from, len) ? -EFAULT : 0;
	might_fault();
	if (should_fail_usercopy())
		return -EFAULT;
	if (!user_read_access_begin(from, len))
		return len ? -EFAULT : 0;
	done = metastore_unsafe_copy_in(to, from, len);
	user_read_access_end();
	return done ? 0 : -EFAULT;
}

/**
 * metastore_copy_out - copy few or many bytes out
 * @to:		user address; not looked at if @len is 0
 * @from:	where from; whoever calls this has made sure that there are so many
 * @len:	how many
 *
 * Context: may sleep, unless page faults are disabled.
 * Return: 0 or -EFAULT.
 */
static __always_inline int metastore_copy_out(void __user *to, const void *from, size_t len)
{
	bool done;

	if (len > METASTORE_FEW_BYTES)
		return copy_to_user(to, from, len) ? -EFAULT : 0;
	might_fault();
	if (should_fail_usercopy())
		return -EFAULT;
	if (!user_write_access_begin(to, len))
		return len ? -EFAULT : 0;
	done = metastore_unsafe_copy_out(to, from, len);
	user_write_access_end();
	return done ? 0 : -EFAULT;
}

#endif /* METASTORE_USERCOPY_H */
