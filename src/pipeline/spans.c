// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a stage took, told to the metrics always, to the trace and the profile where there is one. Waiting and
// inferences are nobody's time and so asynchronous there: a frame in a ring by its frame, an inference by its
// slot, in which one follows the other.

#include "base/alloc.h"
#include "base/clock.h"
#include "base/trace.h"
#include "pipeline/private.h"

#include <framemill/memory.h>

_Static_assert((int)FM_ACT_DECODE == (int)FM_STAGE_DECODE && (int)FM_ACT_SINK == (int)FM_STAGE_SINK,
    "the stages come first among the acts");

static fm_trace_kind kind_of(fm_stage which)
{
    return which == FM_STAGE_DECODE ? FM_TRACE_FLOW_HEAD
           : which == FM_STAGE_SINK ? FM_TRACE_FLOW_TAIL
                                    : FM_TRACE_FLOW;
}

void fm__span(lane *l, fm_stage which, uint64_t frame, int64_t begin_ns, int64_t end_ns)
{
    fm_pipeline *p = l->p;
    fm__metrics_add(&p->metrics, which, end_ns - begin_ns);
    fm__profile_add(p->profile, (fm_act)which, begin_ns, end_ns);
    if (p->o.trace) {
        fm__trace_add(p->o.trace, &(fm_trace_event){.name = fm__stage_name(which),
                                      .kind = (uint16_t)kind_of(which),
                                      .begin_ns = begin_ns,
                                      .end_ns = end_ns,
                                      .stream = (uint32_t)l->index,
                                      .frame = frame});
    }
}

void fm__span_queued(const work *w)
{
    fm_pipeline *p = w->lane->p;
    const fm_item *item = &w->parts[0].item;
    fm__metrics_add(&p->metrics, FM_STAGE_QUEUE, item->taken_ns - item->queued_ns);
    fm__profile_add(p->profile, FM_ACT_QUEUE, item->queued_ns, item->taken_ns);
    if (p->o.trace) {
        fm__trace_add(p->o.trace, &(fm_trace_event){.name = fm__stage_name(FM_STAGE_QUEUE),
                                      .kind = FM_TRACE_ASYNC,
                                      .slot = FM_TRACE_NO_SLOT,
                                      .begin_ns = item->queued_ns,
                                      .end_ns = item->taken_ns,
                                      .stream = (uint32_t)w->lane->index,
                                      .frame = w->index});
    }
}

void fm__span_inferred(const stage *s, const fm_item *item)
{
    fm_pipeline *p = s->p;
    fm__metrics_add(&p->metrics, s->timed_as, item->infer_ns);
    if (p->o.sampler) {
        int64_t end = item->started_ns + item->infer_ns;
        fm__profile_add(p->profile, fm__task_inferences(s->task), item->started_ns, end);
        fm__sampler_batch(p->o.sampler, s->task, item->batch_rows, end);
    }
    if (p->o.trace) {
        fm__trace_add(p->o.trace, &(fm_trace_event){.name = fm__stage_name(s->timed_as),
                                      .kind = FM_TRACE_ASYNC,
                                      .slot = (uint16_t)item->slot,
                                      .begin_ns = item->started_ns,
                                      .end_ns = item->started_ns + item->infer_ns,
                                      .value = item->batch_rows,
                                      .stream = FM_TRACE_NO_STREAM});
    }
}

void fm__span_other(lane *l, fm_act act, int64_t begin_ns)
{
    if (l->p->profile) {
        fm__profile_add(l->p->profile, act, begin_ns, fm__now_ns());
    }
}

static int64_t memory_held(void)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, FM_TAG_COUNT);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += stats[i].current_bytes;
    }
    return (int64_t)sum;
}

void fm__span_counters(lane *l)
{
    fm_pipeline *p = l->p;
    if (!p->o.trace) {
        return;
    }
    int64_t now = fm__now_ns();
    fm__trace_add(p->o.trace, &(fm_trace_event){.name = "queued",
                                  .kind = FM_TRACE_COUNTER,
                                  .begin_ns = now,
                                  .end_ns = now,
                                  .stream = (uint32_t)l->index,
                                  .value = fm__executor_depth(p->frame_stages[0].exec, (int)l->index)});
    fm__trace_add(p->o.trace, &(fm_trace_event){.name = "memory_bytes",
                                  .kind = FM_TRACE_COUNTER,
                                  .begin_ns = now,
                                  .end_ns = now,
                                  .stream = FM_TRACE_NO_STREAM,
                                  .value = memory_held()});
}
