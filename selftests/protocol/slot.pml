/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mapped store: a key moves to a new slot while a program looks it up.
 *
 * The kernel makes the slot's count odd, puts the entry into the new slot's chain, takes it out of
 * the old one's, tells the new number of slots and makes the count even: mirror_split(). A
 * program does as metastore_map_try() does. The key is there all the time, so what must hold:
 *
 * - A program never takes it for absent.
 *
 * The program's first load of the number of slots is ahead of its loads from the slot in any
 * case, since it tells the slot's address.
 */
#include "order.pml"

#define WMB	1	/* behind the odd count: smp_wmb() */
#define SLOTS	2	/* ahead of the new number of slots: smp_store_release() */
#define RELEASE	4	/* of the even count */
#define ACQUIRE	8	/* of the count, before the chain */
#define FENCE	16	/* behind the chain, before the count is loaded again */
#define AGAIN	32	/* no barrier: the number of slots is compared again */

/* Count and chain of each slot, the old one's first; and how many slots are in use */
byte count[2], chain[2], slots = 1;

#define W_ODD		0
#define W_NEW		1
#define W_OLD		2
#define W_SLOTS		3
#define W_EVEN		4

proctype kernel()
{
	byte done = 0;

	do
	:: atomic { MAY(W_ODD, 0) -> count[0] = 1; DID(W_ODD) }
	:: atomic { MAY(W_NEW, BARRIER(WMB, S(W_ODD))) -> chain[1] = 1; DID(W_NEW) }
	:: atomic { MAY(W_OLD, BARRIER(WMB, S(W_ODD))) -> chain[0] = 0; DID(W_OLD) }
	:: atomic { MAY(W_SLOTS, BARRIER(SLOTS, S(W_ODD) | S(W_NEW) | S(W_OLD))) ->
		slots = 2; DID(W_SLOTS) }
	:: atomic { MAY(W_EVEN, S(W_ODD) |
			BARRIER(RELEASE, S(W_NEW) | S(W_OLD) | S(W_SLOTS))) ->
		count[0] = 2; DID(W_EVEN) }
	:: done == 31 -> break
	od
}

#define R_SLOTS		0
#define R_COUNT		1
#define R_CHAIN		2
#define R_COUNT_AGAIN	3
#define R_SLOTS_AGAIN	4

proctype program()
{
	byte done = 0, nr, slot, seq, found, seq_again, nr_again;

	do
	:: atomic { MAY(R_SLOTS, 0) -> nr = slots; slot = nr - 1; DID(R_SLOTS) }
	:: atomic { MAY(R_COUNT, S(R_SLOTS)) -> seq = count[slot]; DID(R_COUNT) }
	:: atomic { MAY(R_CHAIN, S(R_SLOTS) | BARRIER(ACQUIRE, S(R_COUNT))) ->
		found = chain[slot]; DID(R_CHAIN) }
	:: atomic { MAY(R_COUNT_AGAIN, S(R_COUNT) | BARRIER(FENCE, S(R_CHAIN))) ->
		seq_again = count[slot]; DID(R_COUNT_AGAIN) }
	:: atomic { MAY(R_SLOTS_AGAIN, S(R_SLOTS) | BARRIER(ACQUIRE, S(R_COUNT)) |
			BARRIER(FENCE, S(R_CHAIN))) ->
		nr_again = slots; DID(R_SLOTS_AGAIN) }
	:: done == 31 -> break
	od
	assert(found || seq & 1 || seq != seq_again || (!(omit & AGAIN) && nr != nr_again))
}

init {
	READ_OMIT();
	chain[0] = 1;
	run kernel();
	run program()
}
