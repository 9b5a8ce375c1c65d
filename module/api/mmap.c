// SPDX-License-Identifier: GPL-2.0
/*
 * mmap(): the offset says what is mapped.
 */
#include <linux/fs.h>
#include <linux/mm.h>

#include "events/queue.h"
#include "ops/file.h"
#include "ops/retire.h"
#include "api/api.h"

/**
 * metastore_mmap() - Implement mmap of the device
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
	if (file->mode != (FMODE_READ | FMODE_WRITE))
		return -EACCES;
	return metastore_queue_mmap(&file->queue, area);
}
