/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mapped store: an entry changes while a program reads it.
 *
 * The kernel makes the entry's version busy, changes the table and the entry, and stores the
 * new version: metastore_mirror_begin() to metastore_mirror_end(). It does so twice, and the
 * length changes and changes back. Or it frees the entry, which a key of another bucket uses
 * then, or the same key again, or first the one and then the other: mirror_entry_free(),
 * mirror_entry_create(). An atomic batch does this in the same order, but fills entries before it
 * takes the bucket's lock, and clears them after. Each bucket counts versions by itself, so the
 * other key's may be the same. A program does as metastore_map_take() does, and asks the kernel
 * before and after. What must hold:
 *
 * - What it accepts are length and words of one value of its key, whose version it tells.
 * - The kernel never tells an older version after the entry, nor the entry after the kernel.
 *
 * The program's first load of meta may be anywhere: it counts only if the second one is the same.
 *
 * Left out is that the other key has the version which the program's key has next, in the same
 * entry, all while one program copies one value: that it would not notice.
 */
#include "order.pml"

#define WMB	1	/* behind the busy version: smp_wmb() */
#define RELEASE	2	/* of the new version */
#define CLEAR	4	/* behind the meta of an entry that is freed: smp_wmb() */
#define ACQUIRE	8	/* of the version, before the words */
#define FENCE	16	/* behind the words, before meta is loaded again */
#define META	32	/* the second load of meta acquires: the version's is behind it */
#define ASKED	64	/* ahead of all that: the fence in metastore_map_size() */
#define LATER	128	/* behind it: the second load of the version acquires */
#define SAME	256	/* no barrier: meta is compared again */
#define FULL	512	/* no barrier: a version that is busy or 0 is refused */

#define BUSY	128

/* Values of meta: the program's key with a value of one or two words, another key */
#define ONE	1
#define TWO	2
#define OTHER	3

/* Values of the program's key: version 2 has one word, 1 and 3 have two. They are the version. */
#define LENGTH(version)	((version) == 2 -> ONE : TWO)

/* The entry */
byte version = 1, meta = TWO, first = 1, second = 1;

/* Answer of the kernel: the version of the value in the table, 0: there is none */
byte table = 1;

#define W_BUSY		0
#define W_META		1
#define W_FIRST		2
#define W_SECOND	3
#define W_TABLE		4
#define W_END		5

/* A value, in place or in an entry that was free. Locks are between this and what is before. */
inline store(key, new, word)
{
	done = 0;
	do
	:: atomic { MAY(W_BUSY, 0) -> version = version | BUSY; DID(W_BUSY) }
	:: atomic { MAY(W_META, BARRIER(WMB, S(W_BUSY))) -> meta = key; DID(W_META) }
	:: atomic { MAY(W_FIRST, BARRIER(WMB, S(W_BUSY))) -> first = word; DID(W_FIRST) }
	:: atomic { MAY(W_SECOND, BARRIER(WMB, S(W_BUSY))) ->
		second = (key == ONE -> 0 : word); DID(W_SECOND) }
	:: atomic { MAY(W_TABLE, BARRIER(WMB, S(W_BUSY))) ->
		table = (key == OTHER -> table : new); DID(W_TABLE) }
	:: atomic { MAY(W_END, S(W_BUSY) | BARRIER(RELEASE, S(W_META) | S(W_FIRST) |
			S(W_SECOND) | S(W_TABLE))) ->
		version = new; DID(W_END) }
	:: done == 63 -> break
	od
}

inline free()
{
	done = 0;
	do
	:: atomic { MAY(W_BUSY, 0) -> version = version | BUSY; DID(W_BUSY) }
	:: atomic { MAY(W_META, BARRIER(WMB, S(W_BUSY))) -> meta = 0; DID(W_META) }
	:: atomic { MAY(W_FIRST, BARRIER(WMB, S(W_BUSY)) | BARRIER(CLEAR, S(W_META))) ->
		first = 0; DID(W_FIRST) }
	:: atomic { MAY(W_SECOND, BARRIER(WMB, S(W_BUSY)) | BARRIER(CLEAR, S(W_META))) ->
		second = 0; DID(W_SECOND) }
	:: atomic { MAY(W_TABLE, BARRIER(WMB, S(W_BUSY))) -> table = 0; DID(W_TABLE) }
	:: atomic { MAY(W_END, S(W_BUSY) | BARRIER(RELEASE, S(W_META) | S(W_FIRST) |
			S(W_SECOND) | S(W_TABLE))) ->
		version = 0; DID(W_END) }
	:: done == 63 -> break
	od
}

proctype kernel()
{
	byte done;

	if
	:: store(ONE, 2, 2); store(TWO, 3, 3)
	:: free();
		if
		:: store(ONE, 2, 2)
		:: store(OTHER, 1, 8);
			if
			:: free(); store(ONE, 2, 2)
			:: true
			fi
		fi
	fi
}

#define R_BEFORE	0
#define R_META		1
#define R_VERSION	2
#define R_FIRST		3
#define R_SECOND	4
#define R_META_AGAIN	5
#define R_AGAIN		6
#define R_AFTER		7

#define WORDS	(S(R_FIRST) | S(R_SECOND))

proctype program()
{
	byte done = 0, before, began, one, two, ended, after, key, key_again;

	do
	:: atomic { MAY(R_BEFORE, 0) -> before = table; DID(R_BEFORE) }
	:: atomic { MAY(R_META, 0) -> key = meta; DID(R_META) }
	:: atomic { MAY(R_VERSION, BARRIER(ASKED, S(R_BEFORE))) ->
		began = version; DID(R_VERSION) }
	:: atomic { MAY(R_FIRST, BARRIER(ACQUIRE, S(R_VERSION))) -> one = first; DID(R_FIRST) }
	:: atomic { MAY(R_SECOND, BARRIER(ACQUIRE, S(R_VERSION))) ->
		two = second; DID(R_SECOND) }
	:: atomic { MAY(R_META_AGAIN, S(R_META) | BARRIER(ACQUIRE, S(R_VERSION)) |
			BARRIER(FENCE, WORDS)) ->
		key_again = meta; DID(R_META_AGAIN) }
	:: atomic { MAY(R_AGAIN, S(R_VERSION) | BARRIER(FENCE, WORDS) |
			BARRIER(META, S(R_META_AGAIN))) ->
		ended = version; DID(R_AGAIN) }
	:: atomic { MAY(R_AFTER, S(R_BEFORE) | BARRIER(LATER, S(R_AGAIN))) ->
		after = table; DID(R_AFTER) }
	:: done == 255 -> break
	od
	if
	:: began == ended && ((began && !(began & BUSY)) || (omit & FULL)) &&
	   (key == ONE || key == TWO) && (key_again == key || (omit & SAME)) ->
		assert(key == LENGTH(began));
		assert(one == began && (key == ONE || two == began));
		/* After it was gone the key has another version. */
		assert(before -> before <= began : began == 2);
		assert(!after || began <= after)
	:: else
	fi
}

init {
	READ_OMIT();
	run kernel();
	run program()
}
