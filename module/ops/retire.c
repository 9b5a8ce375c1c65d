// SPDX-License-Identifier: GPL-2.0
/*
 * Retirement: root makes the module serve nobody any more but itself, to save the values,
 * load another module and store them there. All others get ENODEV and a hang-up, so that
 * they close their files. See "Replacing the module" in uapi/linux/metastore.h.
 *
 * A command checks for it when it begins, and a change once more under the bucket's lock,
 * see metastore_change_judge(). So no change is made after metastore_retire() has returned,
 * but for values that end by themselves.
 */
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "store/mirror.h"
#include "store/store.h"
#include "events/queue.h"
#include "ops/retire.h"

/* Whether the module is retired. Not a static key, since two instructions are all it costs. */
bool metastore_retired __read_mostly;

/* All open files. The lock is taken outside of those of their queues. */
static LIST_HEAD(open_files);
static DEFINE_SPINLOCK(open_files_lock);

/**
 * metastore_retire_enter() - Let an open file be told of a retirement
 * @file:	open file that nobody uses yet
 */
void metastore_retire_enter(struct metastore_file *file)
{
	spin_lock(&open_files_lock);
	list_add(&file->in_open_files, &open_files);
	spin_unlock(&open_files_lock);
}

/**
 * metastore_retire_leave() - Undo metastore_retire_enter()
 * @file:	open file, before anything of it is destroyed
 */
void metastore_retire_leave(struct metastore_file *file)
{
	spin_lock(&open_files_lock);
	list_del(&file->in_open_files);
	spin_unlock(&open_files_lock);
}

/*
 * Wake all that sleep in read(), poll() and PUBLISH, one file in each critical section. A
 * file that enters meanwhile enters in front, and sees the flag.
 */
static void retire_wake_all(void)
{
	struct metastore_file *file;
	LIST_HEAD(at);

	spin_lock(&open_files_lock);
	list_add(&at, &open_files);
	while (!list_is_last(&at, &open_files)) {
		file = list_entry(at.next, struct metastore_file, in_open_files);
		list_move(&at, &file->in_open_files);
		metastore_queue_hang_up(&file->queue);
		metastore_room_wake(&file->store->room);
		spin_unlock(&open_files_lock);
		cond_resched();
		spin_lock(&open_files_lock);
	}
	list_del(&at);
	spin_unlock(&open_files_lock);
}

/**
 * metastore_retire() - Retire the module
 *
 * Context: Process context, may sleep. One caller at a time.
 */
void metastore_retire(void)
{
	WRITE_ONCE(metastore_retired, true);
	/*
	 * Changes that looked before are made by now: they looked with a bucket's lock held,
	 * and a spinlock's section is one of RCU's, also on PREEMPT_RT.
	 */
	synchronize_rcu();
	metastore_mirrors_retire(true);
	retire_wake_all();
}

/**
 * metastore_unretire() - Let the module serve everybody again
 *
 * Context: Process context, may sleep. One caller at a time.
 */
void metastore_unretire(void)
{
	WRITE_ONCE(metastore_retired, false);
	metastore_mirrors_retire(false);
}
