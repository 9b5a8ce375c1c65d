/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mapped ring: the kernel puts a second record where the first one is, which a program
 * reads meanwhile.
 *
 * The ring has room for one record of two words. The kernel sees that the program has passed the
 * first record; or it swaps the tail to take the record back, which fails if the program was
 * faster. Then it writes the second record and tells the new head. The program reads a record
 * and swaps the tail to claim it, twice. What must hold:
 *
 * - A record that the program claims is whole.
 * - Each record goes to one of both: to the program, or to the kernel, which took it back.
 */
#include "order.pml"

#define LOOK	1	/* the kernel's load of the tail acquires */
#define SWAP	2	/* the kernel's swap of the tail is a full barrier */
#define FAIL	4	/* so is one that fails, or an acquire follows */
#define HEAD	8	/* the kernel's store of the head releases */
#define SEEN	16	/* the program's load of the head acquires */
#define CLAIM	32	/* the program's swap of the tail releases */

/* Records 0 and 1 have the words 1 and 1, and 2 and 2. Head and tail count records. */
byte first = 1, second = 1, head = 1, tail = 0;

/* How often each record was claimed; whether the first one was taken back */
byte claims[2];
bool taken;

#define W_TAIL		0
#define W_FIRST		1
#define W_SECOND	2
#define W_HEAD		3

/* The case that the kernel is going to find: LOOK, SWAP or FAIL. Else this is another search. */
proctype kernel(byte found)
{
	byte done = 0;

end:	do
	:: atomic { MAY(W_TAIL, 0) && tail == (found == SWAP -> 0 : 1) ->
		taken = found == SWAP; tail = 1; DID(W_TAIL) }
	:: atomic { MAY(W_FIRST, BARRIER(found, S(W_TAIL))) -> first = 2; DID(W_FIRST) }
	:: atomic { MAY(W_SECOND, BARRIER(found, S(W_TAIL))) -> second = 2; DID(W_SECOND) }
	:: atomic { MAY(W_HEAD, S(W_TAIL) | BARRIER(HEAD, S(W_FIRST) | S(W_SECOND))) ->
		head = 2; DID(W_HEAD) }
	:: done == 15 -> break
	od
}

#define R_TAIL		0
#define R_HEAD		1
#define R_FIRST		2
#define R_SECOND	3
#define R_CLAIM		4

/* A copy is used only if the claim succeeds. So that may run ahead of it without a barrier. */
proctype program()
{
	byte done, at, end, one, two, round;
	bool claimed;

	for (round : 1 .. 2) {
		done = 0;
		claimed = false;
		do
		:: atomic { MAY(R_TAIL, 0) -> at = tail; DID(R_TAIL) }
		:: atomic { MAY(R_HEAD, 0) -> end = head; DID(R_HEAD) }
		:: atomic { MAY(R_FIRST, BARRIER(SEEN, S(R_HEAD))) -> one = first; DID(R_FIRST) }
		:: atomic { MAY(R_SECOND, BARRIER(SEEN, S(R_HEAD))) ->
			two = second; DID(R_SECOND) }
		:: atomic { MAY(R_CLAIM, S(R_TAIL) | S(R_HEAD) |
				BARRIER(CLAIM, S(R_FIRST) | S(R_SECOND))) ->
			if
			:: at < end && tail == at -> tail = at + 1; claimed = true
			:: else
			fi;
			DID(R_CLAIM) }
		:: done == 31 -> break
		od;
		if
		:: claimed ->
			claims[at]++;
			assert(one == at + 1 && two == at + 1);
			assert(claims[at] == 1 && !(at == 0 && taken))
		:: else
		fi
	}
}

init {
	byte found;

	READ_OMIT();
	if
	:: found = LOOK
	:: found = SWAP
	:: found = FAIL
	fi;
	run kernel(found);
	run program()
}
