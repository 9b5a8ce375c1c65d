/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Weakly ordered memory, for the models beside this file.
 *
 * A thread is a set of steps, each of which reads or writes one word. They run in any order
 * but for what a model says they come after: a barrier, a value that they depend on, or an
 * earlier access to the same word. So the search meets each order in which a processor such
 * as arm64's may show them to others.
 *
 * A barrier is a bit. The search is without those that the environment's OMIT has, so that
 * check, beside this file, can tell that each of them is needed.
 */
/* Barriers that are left out */
short omit;

#define READ_OMIT()	c_code { now.omit = getenv("OMIT") ? atoi(getenv("OMIT")) : 0; }

/* Set of one step */
#define S(step)		(1 << (step))

/* Whether a step may run: it has not, and all steps of a set have */
#define MAY(step, after)	!(done & S(step)) && (done & (after)) == (after)

#define DID(step)	done = done | S(step)

/* The steps that a barrier keeps ahead; none if it is left out */
#define BARRIER(barrier, steps)	((omit & (barrier)) -> 0 : (steps))
