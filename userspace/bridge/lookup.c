// SPDX-License-Identifier: GPL-2.0
/*
 * Reads of single keys of KV buckets: what is there now, with the headers that a watch does
 * not tell. A thread of its own reads, one after the other, so that a server which is slow to
 * answer holds up nothing else. If it does not answer at all the session ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handover.h"
#include "key.h"
#include "link.h"
#include "lookup.h"
#include "output.h"

/**
 * struct question - a key that is to be read
 * @next:	next one
 * @bucket:	its bucket
 * @subject:	its subject
 */
struct question {
	struct question *next;
	const struct bucket *bucket;
	char subject[SUBJECT_SIZE];
};

/**
 * struct lookup - the thread that reads, and what it is to read
 * @thread:	the thread
 * @begun:	there is a @thread
 * @number:	number of its session
 * @js:		its context of JetStream
 * @lock:	protects what follows
 * @asked:	there is something to read, or it is over
 * @first:	oldest question
 * @last:	where the next one goes
 * @over:	the thread is to end
 */
static struct lookup {
	pthread_t thread;
	bool begun;
	unsigned int number;
	jsCtx *js;
	pthread_mutex_t lock;
	pthread_cond_t asked;
	struct question *first;
	struct question **last;
	bool over;
} lookup = {
	.lock = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER,
	.last = &lookup.first,
};

static struct question *take_locked(void)
{
	struct question *question = lookup.first;

	if (!question)
		return NULL;
	lookup.first = question->next;
	if (!lookup.first)
		lookup.last = &lookup.first;
	return question;
}

/* Waits for a question; NULL: it is over. */
static struct question *wait_for_question(void)
{
	struct question *question = NULL;

	pthread_mutex_lock(&lookup.lock);
	while (!lookup.over && !lookup.first)
		pthread_cond_wait(&lookup.asked, &lookup.lock);
	if (!lookup.over)
		question = take_locked();
	pthread_mutex_unlock(&lookup.lock);
	return question;
}

/* That there is nothing is told by a message without a revision. */
static void answer(const struct question *question)
{
	struct notice notice = { .type = KEY_READ, .session = lookup.number };
	char stream[STREAM_SIZE];
	natsStatus status;
	jsOptions options;

	stream_name(stream, question->bucket->name);
	jsOptions_Init(&options);
	options.Wait = ACK_WAIT_MS;
	status = js_GetLastMsg(&notice.msg, lookup.js, stream, question->subject, &options, NULL);
	if (status == NATS_NOT_FOUND)
		status = natsMsg_Create(&notice.msg, question->subject, NULL, NULL, 0);
	if (status == NATS_OK)
		handover_put(&notice);
	else
		handover_put_down(lookup.number, "KV bucket %s: a key cannot be read: %s",
				  question->bucket->name, natsStatus_GetText(status));
}

static void *answer_all(void *unused)
{
	struct question *question;

	(void)unused;
	while ((question = wait_for_question())) {
		answer(question);
		free(question);
	}
	nats_ReleaseThreadMemory();
	return NULL;
}

/* Begins to read for a session. */
void lookup_begin(struct __jsCtx *js, unsigned int number)
{
	lookup.number = number;
	lookup.js = js;
	lookup.over = false;
	if (pthread_create(&lookup.thread, NULL, answer_all, NULL))
		die(STATUS_COULD_NOT, "session", "no thread can be started");
	lookup.begun = true;
}

/* Has a key read; KEY_READ tells what is there. */
void lookup_ask(const struct bucket *bucket, struct bytes key)
{
	struct question *question = malloc(sizeof(*question));

	if (!question)
		die(STATUS_COULD_NOT, "memory", "no room for a question to the server");
	question->next = NULL;
	question->bucket = bucket;
	key_to_subject(question->subject, bucket->name, key);
	pthread_mutex_lock(&lookup.lock);
	*lookup.last = question;
	lookup.last = &question->next;
	pthread_cond_signal(&lookup.asked);
	pthread_mutex_unlock(&lookup.lock);
}

/* Ends the reading. The connection is closed, so that no read waits for an answer. */
void lookup_end(void)
{
	struct question *question;

	if (!lookup.begun)
		return;
	pthread_mutex_lock(&lookup.lock);
	lookup.over = true;
	pthread_cond_signal(&lookup.asked);
	pthread_mutex_unlock(&lookup.lock);
	pthread_join(lookup.thread, NULL);
	while ((question = take_locked()))
		free(question);
	lookup.begun = false;
}
