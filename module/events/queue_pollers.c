// SPDX-License-Identifier: GPL-2.0
/*
 * The pollers of a queue. A publisher wakes METASTORE_POLLERS of them itself. The crowd of
 * those beyond has a wait queue of its own, with one entry in @readers: a worker wakes it.
 */
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "events/queue_priv.h"

static void queue_wake_crowd(struct work_struct *work)
{
	struct metastore_queue *queue = container_of(work, struct metastore_queue, crowd_work);

	/* Of EPOLLEXCLUSIVE ones an event wakes one, a hang-up all. */
	__wake_up(&queue->crowd, TASK_INTERRUPTIBLE, READ_ONCE(queue->hung_up) ? 0 : 1,
		  poll_to_key(EPOLLIN | EPOLLRDNORM | EPOLLHUP));
}

static int queue_wake_crowd_later(struct wait_queue_entry *entry, unsigned int mode, int flags,
				  void *key)
{
	schedule_work(&container_of(entry, struct metastore_queue, crowd_entry)->crowd_work);
	return 0;
}

/**
 * metastore_queue_init_crowd() - Initialize the wait queue of further pollers
 * @queue:	the queue
 */
void metastore_queue_init_crowd(struct metastore_queue *queue)
{
	init_waitqueue_head(&queue->crowd);
	init_waitqueue_func_entry(&queue->crowd_entry, queue_wake_crowd_later);
	INIT_LIST_HEAD(&queue->crowd_entry.entry);
	INIT_WORK(&queue->crowd_work, queue_wake_crowd);
}

/* Check whether more sleepers than a publisher may wake itself are in @readers. */
static bool queue_is_crowded(struct metastore_queue *queue)
{
	struct list_head *at;
	u32 nr = 0;

	lockdep_assert_held(&queue->readers.lock);
	list_for_each(at, &queue->readers.head)
		if (++nr == METASTORE_POLLERS)
			return true;
	return false;
}

/**
 * metastore_queue_pollers() - Get the wait queue for a further poller
 * @queue:	the queue
 *
 * Context: Process context. Takes the lock of @queue->readers.
 * Return: the wait queue.
 */
wait_queue_head_t *metastore_queue_pollers(struct metastore_queue *queue)
{
	bool crowded;

	spin_lock_irq(&queue->readers.lock);
	crowded = queue_is_crowded(queue);
	if (crowded && list_empty(&queue->crowd_entry.entry))
		__add_wait_queue(&queue->readers, &queue->crowd_entry);
	spin_unlock_irq(&queue->readers.lock);
	return crowded ? &queue->crowd : &queue->readers;
}

/**
 * metastore_queue_hang_up() - Wake the pollers and some readers, which wake the next
 * @queue:	the queue of an open file whose module is retired
 *
 * Those that sleep have entered a wait queue before they looked whether it is. At most
 * METASTORE_POLLERS pollers with EPOLLEXCLUSIVE stand among the readers. These stay where
 * they are, while readers leave: so one more than them gets on.
 *
 * Context: Any; takes the lock of @queue->readers.
 */
void metastore_queue_hang_up(struct metastore_queue *queue)
{
	WRITE_ONCE(queue->hung_up, true);
	__wake_up(&queue->readers, TASK_INTERRUPTIBLE, METASTORE_POLLERS + 1,
		  poll_to_key(EPOLLIN | EPOLLRDNORM | EPOLLHUP));
}

/**
 * metastore_queue_release_crowd() - Undo metastore_queue_pollers()
 * @queue:	the queue, without pollers
 *
 * Context: Process context, may sleep.
 */
void metastore_queue_release_crowd(struct metastore_queue *queue)
{
	/* No poller is left to add it. */
	if (list_empty(&queue->crowd_entry.entry))
		return;
	remove_wait_queue(&queue->readers, &queue->crowd_entry);
	cancel_work_sync(&queue->crowd_work);
}
