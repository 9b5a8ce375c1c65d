/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The protocol of a mapped store, for spin: one writer, one reader, each step of which takes
 * effect in any order that its barriers leave open. mirror_model_test.sh checks it as it is,
 * and with each barrier or check taken out, which has to be found:
 *
 *	WITHOUT=1	smp_wmb() in mirror_entry_begin()
 *	WITHOUT=2	release in metastore_mirror_replaced()
 *	WITHOUT=3	acquire of the version in metastore_map_take()
 *	WITHOUT=4	fence in metastore_map_take()
 *	WITHOUT=5	second load of the version there
 *	WITHOUT=6	the busy bit, which is not set
 *	WITHOUT=7	meta in the second check, which tells one bucket's versions from another's
 *	WITHOUT=11	smp_wmb() in mirror_slot_begin()
 *	WITHOUT=12	release in mirror_slot_end()
 *	WITHOUT=13	acquire of seq in metastore_map_begin()
 *	WITHOUT=14	fence in metastore_map_next()
 *	WITHOUT=15	second load of seq there
 *	WITHOUT=16	second load of the geometry there
 *	WITHOUT=17	release of the geometry in mirror_split(), as an order before seq
 *	WITHOUT=21	busy or odd before the table changes
 *
 * Versions and counts are small numbers; busy and odd is their lowest bit.
 */
#ifndef WITHOUT
#define WITHOUT 0
#endif

#ifdef ENTRY
/*
 * An entry whose value has two bytes. It changes in place, or is freed and reused by a key of
 * another bucket, whose versions are the same numbers. The table is what ioctl() sees.
 */
byte version = 2, meta = 1, low = 2, high = 2, table = 2;

active proctype writer()
{
	/* In place: busy, bytes, the table, the version */
	if
	:: true ->
		if
		:: WITHOUT == 6 -> low = 4; high = 4; table = 4; version = 4
		:: WITHOUT == 21 -> table = 4; version = 3; low = 4; high = 4; version = 4
		:: WITHOUT == 1 -> low = 4; version = 3; high = 4; table = 4; version = 4
		:: WITHOUT == 2 -> version = 3; low = 4; table = 4; version = 4; high = 4
		:: else -> version = 3; low = 4; high = 4; table = 4; version = 4
		fi
	/* Freed, and used by another key, with the same version */
	:: true ->
		version = 3; table = 0; meta = 0; low = 0; high = 0; version = 0;
		version = 1; low = 8; high = 8; meta = 2; version = 2
	fi
}

active proctype reader()
{
	byte before, after, first, second, what, seen;

	/* By ioctl(), then by the mapping */
	seen = table;
	if
	:: WITHOUT == 3 -> first = low; before = version; what = meta; second = high
	:: else -> before = version; what = meta; first = low; second = high
	fi;
	if
	:: WITHOUT == 5 -> after = before
	:: WITHOUT == 4 -> after = version; second = high
	:: else -> after = version
	fi;
	if
	:: WITHOUT == 7 || what != 1 -> skip
	:: else -> what = meta
	fi;
	if
	:: before & 1 || before != after || !before || what != 1 -> skip
	:: else ->
		assert(first == second);
		assert(first == before);
		/* Not older than what the other way has told, nor newer than what it tells */
		assert(before >= seen);
		assert(table == 0 || table >= before)
	fi
}
#endif

#ifdef SLOT
/*
 * A key that exists moves, by a split from slot 0 to slot 1, or within slot 0 to an entry of
 * another size.
 */
byte seq[2], geometry = 1;
bool has[2];

init
{
	has[0] = true;
	run writer();
	run reader()
}

proctype writer()
{
	if
	:: true ->
		if
		:: WITHOUT == 11 ->
			has[0] = false; seq[0] = 1; has[1] = true; geometry = 2; seq[0] = 2
		:: WITHOUT == 17 ->
			seq[0] = 1; has[1] = true; has[0] = false; seq[0] = 2; geometry = 2
		:: else ->
			seq[0] = 1; has[1] = true; has[0] = false; geometry = 2; seq[0] = 2
		fi
	:: true ->
		if
		:: WITHOUT == 12 -> seq[0] = 1; has[0] = false; seq[0] = 2; has[0] = true
		:: else -> seq[0] = 1; has[0] = false; has[0] = true; seq[0] = 2
		fi
	fi
}

proctype reader()
{
	byte slot, before, after, shape;
	bool found;

	shape = geometry;
	slot = (shape == 2 -> 1 : 0);
	if
	:: WITHOUT == 13 -> found = has[slot]; before = seq[slot]
	:: else -> before = seq[slot]
	fi;
	if
	:: WITHOUT == 16 || geometry == shape -> skip
	:: else -> goto again
	fi;
	if
	:: WITHOUT == 13 -> after = seq[slot]
	:: WITHOUT == 14 -> after = seq[slot]; found = has[slot]
	:: WITHOUT == 15 -> found = has[slot]; after = before
	:: else -> found = has[slot]; after = seq[slot]
	fi;
	/* A miss that counts must be none. */
	assert(found || before & 1 || before != after);
again:
	skip
}
#endif
