// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A bounded queue of results, from the threads that deliver to whoever takes them. */
#ifndef FM_APP_RESULT_QUEUE_H
#define FM_APP_RESULT_QUEUE_H

#include <framemill/result.h>
#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct fm__result_queue fm__result_queue;

fm_status fm__result_queue_new(size_t cap, fm__result_queue **out, fm_error *err) FM_MUST_USE;
/** Frees what is left in it. */
void fm__result_queue_free(fm__result_queue **queue);
/** Puts a copy; waits for room. After close it does nothing. */
void fm__result_queue_put(fm__result_queue *q, const fm_result *result);
/** Nothing will be put any more. */
void fm__result_queue_end(fm__result_queue *q);
/** Nobody waits for results any more: puts do not wait. */
void fm__result_queue_close(fm__result_queue *q);
/** @param timeout_ms  negative: for ever
 *  @return AGAIN when the time has passed, EOF when it has ended and is empty, NOMEM when a result was lost
 *  for want of memory. */
fm_status fm__result_queue_take(fm__result_queue *q, int timeout_ms, fm_result **out, fm_error *err);

#endif
