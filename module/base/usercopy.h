/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inlined copies of few bytes from and to user space.
 *
 * copy_from_user() and copy_to_user() with a size unknown at compile time cost some 120
 * instructions besides the copy, to check that the kernel buffer lies within one object.
 * Here the caller has checked the length against the object's size instead. Each call
 * site says how.
 */
#ifndef METASTORE_USERCOPY_H
#define METASTORE_USERCOPY_H

#include <linux/align.h>
#include <linux/compiler.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/kconfig.h>
#include <linux/uaccess.h>

#include "base/types.h"

/* Above this size, the processor's string instructions are faster. */
#define METASTORE_FEW_BYTES	512

/**
 * metastore_fits_words() - Check whether user memory may be accessed in words of 8 bytes
 * @at:		user address
 *
 * Some machines cannot access a word at an odd address. On others this is always true, and
 * takes no instruction.
 *
 * Return: false if only bytes may be accessed there.
 */
static __always_inline bool metastore_fits_words(const void __user *at)
{
	return IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS) ||
	       IS_ALIGNED((unsigned long)at, 8);
}

/*
 * Copy in between user_read_access_begin() and user_read_access_end(). Return false on a
 * fault. For addresses that fit words.
 */
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
	size_t nr = metastore_fits_words(from) ? len / 8 : 0;
	size_t i;

	for (i = 0; i + 4 <= nr; i += 4) {
		unsafe_get_user(words[i].value, uwords + i, fault);
		unsafe_get_user(words[i + 1].value, uwords + i + 1, fault);
		unsafe_get_user(words[i + 2].value, uwords + i + 2, fault);
		unsafe_get_user(words[i + 3].value, uwords + i + 3, fault);
	}
	for (; i < nr; i++)
		unsafe_get_user(words[i].value, uwords + i, fault);
	i *= 8;
	for (; i < len; i++)
		unsafe_get_user(to[i], from + i, fault);
	return true;
fault:
	return false;
}

/*
 * Copy out between user_write_access_begin() and user_write_access_end(). Return false on
 * a fault.
 */
static __always_inline bool metastore_unsafe_copy_out(u8 __user *to, const u8 *from, size_t len)
{
	const struct metastore_word *words = (const struct metastore_word *)from;
	u64 __user *uwords = (u64 __user *)to;
	bool fits = metastore_fits_words(to);
	size_t nr = fits ? len / 8 : 0;
	size_t i;

	for (i = 0; i + 4 <= nr; i += 4) {
		unsafe_put_user(words[i].value, uwords + i, fault);
		unsafe_put_user(words[i + 1].value, uwords + i + 1, fault);
		unsafe_put_user(words[i + 2].value, uwords + i + 2, fault);
		unsafe_put_user(words[i + 3].value, uwords + i + 3, fault);
	}
	for (; i < nr; i++)
		unsafe_put_user(words[i].value, uwords + i, fault);
	i *= 8;
	if (fits && len & 4) {
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
 * metastore_copy_struct_in() - Copy a structure of the ABI in
 * @to:		the structure
 * @from:	user address
 * @size:	its size in bytes, a compile-time constant and a multiple of 8
 *
 * Context: Process context, may sleep.
 * Return: 0 or -EFAULT.
 */
static __always_inline int metastore_copy_struct_in(void *to, const void __user *from,
						    size_t size)
{
	bool done;

	might_fault();
	if (should_fail_usercopy() || !user_read_access_begin(from, size))
		return -EFAULT;
	done = metastore_fits_words(from) ? metastore_unsafe_copy_words_in(to, from, size / 8) :
					    metastore_unsafe_copy_in(to, from, size);
	user_read_access_end();
	return done ? 0 : -EFAULT;
}

/**
 * metastore_copy_struct_out() - Copy a structure of the ABI out
 * @to:		user address
 * @from:	the structure
 * @size:	size of the user's structure in bytes, at most that of @from
 *
 * Fault injection does not apply here: the copy reports what is already done.
 *
 * Context: Process context, may sleep.
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
 * metastore_copy_args() - Copy a structure in that may have another size in user space
 * @to:		the structure
 * @size:	its size in bytes, a compile-time constant and a multiple of 8
 * @from:	user address
 * @usize:	size of the user's structure in bytes
 *
 * Context: Process context, may sleep.
 * Return:
 * 0;
 * -EFAULT;
 * -E2BIG if the user's structure is longer and its excess bytes are not zero.
 */
static __always_inline int metastore_copy_args(void *to, size_t size,
					       const void __user *from, size_t usize)
{
	if (likely(usize == size))
		return metastore_copy_struct_in(to, from, size);
	return copy_struct_from_user(to, size, from, usize);
}

/**
 * metastore_copy_in() - Copy any number of bytes in
 * @to:		destination; the caller has checked that it has room for @len bytes
 * @from:	user address; ignored if @len is 0
 * @len:	number of bytes
 *
 * Context: Process context, may sleep.
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
 * metastore_copy_out() - Copy any number of bytes out
 * @to:		user address; ignored if @len is 0
 * @from:	source; the caller has checked that it has @len bytes
 * @len:	number of bytes
 *
 * Context: Process context, may sleep unless page faults are disabled.
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
