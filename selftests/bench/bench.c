// SPDX-License-Identifier: GPL-2.0
/*
 * bench [-l] memory|keys|latency|other [NAME,...]: measures the rows of the table whose names
 * begin with one of those given, or are one of those with a full stop behind it, or
 * all; -l lists them only. What fills the store wants a machine of its own, and the
 * memory it takes a store that was never full.
 *
 * To be run in a VM whose clock counts instructions (vm/vm, ICOUNT=1), where the
 * time of an operation is the number of instructions that the whole machine spent
 * on it: program, kernel and, where there is one, server. For each row a line:
 *
 *	name unit mean minimum peers own|other note	(separated by tabs)
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

static void add_rows(const char *which)
{
	if (!strcmp(which, "memory")) {
		rows_are_own(metastore_memory_rows);
		peers_memory_rows();
	} else if (!strcmp(which, "keys")) {
		rows_are_own(metastore_keys_rows);
	} else if (!strcmp(which, "latency")) {
		rows_are_own(latency_rows);
	} else if (!strcmp(which, "other")) {
		kernel_rows();
		rows_are_own(metastore_rows);
		peers_rows();
	} else {
		die("memory, keys, latency or other, not '%s'", which);
	}
}

static void print_name(const struct row *row)
{
	puts(row->name);
}

int main(int argc, char **argv)
{
	const struct rlimit files = { 4 * SUBSCRIBERS_MAX, 4 * SUBSCRIBERS_MAX };
	bool list = argc > 1 && !strcmp(argv[1], "-l");

	argc -= list;
	argv += list;
	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: bench [-l] memory|keys|latency|other [NAME,...]\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	add_rows(argv[1]);
	rows_each(argc > 2 ? argv[2] : "", list ? print_name : row_measure);
	return 0;
}
