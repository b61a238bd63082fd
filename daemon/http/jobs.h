/* Requests that take long (the history, a classification, a reload) leave the server's thread: a
 * few threads and a bounded queue. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_JOBS_H
#define AT_DAEMON_HTTP_JOBS_H

struct at_jobs;

/* n_threads run `run` on items; before: called in at_jobs_push(), for an item that was taken,
 * before any thread can have it. max: most items that wait. 0 or negative errno. */
int at_jobs_create(unsigned n_threads, unsigned max, void (*before)(void *ctx, void *item),
                   void (*run)(void *ctx, void *item), void *ctx, struct at_jobs **ret_jobs);
/* 0, or -EAGAIN: the queue is full. Any thread. */
int at_jobs_push(struct at_jobs *j, void *item);
/* Runs what waits, then ends. NULL is fine. */
void at_jobs_destroy(struct at_jobs *j);

#endif
