// SPDX-License-Identifier: GPL-2.0
/* mmap() of an open file: its offset says what is mapped, METASTORE_MAP_*. */
#include <linux/fs.h>
#include <linux/mm.h>

#include <linux/metastore.h>

#include "store/mirror.h"
#include "events/queue.h"
#include "ops/file.h"
#include "ops/retire.h"
#include "api/api.h"

/**
 * metastore_mmap() - Map what an open file has to map
 * @filp:	the open file
 * @area:	area of memory to fill
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of mmap() in uapi/linux/metastore.h.
 */
int metastore_mmap(struct file *filp, struct vm_area_struct *area)
{
	struct metastore_file *file = filp->private_data;

	if (metastore_is_retired(file))
		return -ENODEV;
	if (area->vm_pgoff >= METASTORE_MAP_STORE >> PAGE_SHIFT)
		return file->store->mirror ?
		       metastore_mirror_mmap(file->store->mirror, area) : -EOPNOTSUPP;
	if (file->mode != (FMODE_READ | FMODE_WRITE))
		return -EACCES;
	return metastore_queue_mmap(&file->queue, area);
}
