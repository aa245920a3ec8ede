// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Batch forming. Sizes come from the backend: those at which the network runs at full speed (a static network
// wastes what a batch leaves empty, so a batch is never padded; a rest runs in smaller sizes). Whether to
// wait is decided by measurement and not by a constant: the smoothed cost an item at the largest size against
// that at the size that could run now. On a CPU both are equal and nothing ever waits; on a GPU the large
// batch wins and the timeout bounds it.

#include "exec/batcher.h"

// An item must cost this much more in the small batch; below it, latency is worth more.
static const double WORTH_WAITING = 1.15;
// Of a batch's measured time, kept free before the goal: it is a mean, and half take longer.
static const double MARGIN = 1.25;
// Of the time from item to item: what is closer to it falls behind with the next hiccup.
static const double KEEPS_UP = 0.95;
static const double GAP_WEIGHT = 0.05; // of an item's gap
#define LEARN_WEIGHT 0.125             // of a new measurement; a few dozen batches settle it

// Items of a source that a network may have now. Those that pass take room, too.
static int takeable(const fm_batcher *b, const fm_batch_source *s)
{
    int room = b->max_in_flight - s->in_flight, n = 0;
    room = room < 0 ? 0 : room;
    if (s->ring.passing == 0) {
        return s->ring.count < room ? s->ring.count : room;
    }
    for (const fm_item *item = s->ring.head; item && room > 0; item = item->next, room--) {
        n += !item->passes;
    }
    return n;
}

static int available(const fm_batcher *b)
{
    int n = 0;
    for (int i = 0; i < b->source_count; i++) {
        n += takeable(b, &b->sources[i]);
    }
    return n;
}

static int largest_fitting(const fm_batcher *b, int n)
{
    int best = -1;
    for (int i = 0; i < b->size_count && b->sizes[i] <= n; i++) {
        best = i;
    }
    return best;
}

// When the first item of the next batch was queued. A source whose consumer holds it up has no say: its head
// may be very old.
static int64_t oldest_queued(const fm_batcher *b)
{
    int64_t oldest = INT64_MAX;
    for (int i = 0; i < b->source_count; i++) {
        const fm_batch_source *s = &b->sources[i];
        if (takeable(b, s) > 0 && s->ring.head->queued_ns < oldest) {
            oldest = s->ring.head->queued_ns;
        }
    }
    return oldest;
}

// Can another item still arrive that would fill the batch? A full ring or a full flight takes none in.
static bool more_may_come(const fm_batcher *b)
{
    for (int i = 0; i < b->source_count; i++) {
        const fm_batch_source *s = &b->sources[i];
        const fm_ring *r = &s->ring;
        if (!s->ended && r->count + s->in_flight < b->max_in_flight &&
            !fm__ring_full(r, r->tail ? r->tail->bytes : 0)) {
            return true;
        }
    }
    return false;
}

static bool waiting_pays(const fm_batcher *b, int at)
{
    int last = b->size_count - 1;
    return at < last && b->cost_ns[at] > 0 && b->cost_ns[last] > 0 &&
           b->cost_ns[at] > WORTH_WAITING * b->cost_ns[last];
}

// How long a batch of the size at `at` takes, 0 where that is not measured yet.
static double batch_ns(const fm_batcher *b, int at)
{
    return b->cost_ns[at] * b->sizes[at];
}

// Does this size get done what comes? By Little's law the time an item takes, shared by those under way, is
// the time from one to the next.
static bool keeps_up(const fm_batcher *b, int at)
{
    int slots = b->slots > 0 ? b->slots : 1;
    return b->gap_ns <= 0 || b->cost_ns[at] / slots <= KEEPS_UP * b->gap_ns;
}

// The largest size that keeps the goal of the oldest item and keeps up: one that does not loses the goal for
// everyone soon. Where there is none, the cheapest size an item works the queue off soonest. A size that was
// never measured costs nothing yet and so gets its turn.
static int size_for_goal(const fm_batcher *b, int at, int64_t now_ns)
{
    double left = (double)(oldest_queued(b) + b->goal_ns - now_ns);
    int cheapest = 0;
    for (int i = at; i >= 0; i--) {
        if (batch_ns(b, i) <= left && keeps_up(b, i)) {
            return i;
        }
    }
    for (int i = 1; i <= at; i++) {
        cheapest = b->cost_ns[i] <= b->cost_ns[cheapest] ? i : cheapest;
    }
    return cheapest;
}

// Nothing waits past the moment from which the full batch, once it runs, still keeps the goal.
static int64_t deadline_of(const fm_batcher *b)
{
    int64_t wait = b->timeout_ns;
    if (b->goal_ns > 0) {
        double most = (double)b->goal_ns - MARGIN * batch_ns(b, b->size_count - 1);
        most = most > 0 ? most : 0;
        wait = (double)wait > most ? (int64_t)most : wait;
    }
    return oldest_queued(b) + wait;
}

int fm__batcher_ready(const fm_batcher *b, int64_t now_ns, bool hurry, int64_t *wake_ns)
{
    *wake_ns = 0;
    if (b->queued == 0) {
        return 0;
    }
    int at = largest_fitting(b, available(b));
    if (at < 0) {
        return 0;
    }
    if (!hurry && waiting_pays(b, at) && more_may_come(b)) {
        int64_t deadline = deadline_of(b);
        if (now_ns < deadline) {
            *wake_ns = deadline;
            return 0;
        }
    }
    return b->sizes[b->goal_ns > 0 && !hurry ? size_for_goal(b, at, now_ns) : at];
}

fm_item *fm__batcher_take_one(fm_batcher *b, int source)
{
    fm_batch_source *s = &b->sources[source];
    fm_item *item = fm__ring_take(&s->ring);
    item->ticket = s->tickets++;
    s->in_flight++;
    b->queued--;
    return item;
}

static bool has_passing(const fm_batcher *b, const fm_batch_source *s)
{
    return s->ring.head && s->ring.head->passes && s->in_flight < b->max_in_flight;
}

fm_item *fm__batcher_pass(fm_batcher *b, int64_t now_ns)
{
    fm_item *item = b->passed;
    if (item) {
        b->passed = item->next;
        b->passed_tail = b->passed ? b->passed_tail : NULL;
        item->next = NULL;
        return item;
    }
    for (int i = 0; i < b->source_count && b->queued > 0; i++) {
        if (has_passing(b, &b->sources[i])) {
            item = fm__batcher_take_one(b, i);
            item->taken_ns = now_ns;
            return item;
        }
    }
    return NULL;
}

static void set_aside(fm_batcher *b, fm_item *item)
{
    if (b->passed_tail) {
        b->passed_tail->next = item;
    } else {
        b->passed = item;
    }
    b->passed_tail = item;
}

static void learn_gap(fm_batcher *b, int n, int64_t now_ns)
{
    double gap = (double)(now_ns - b->last_take_ns) / n;
    // weighed by items, so that a batch counts as much as so many single ones
    double weight = 1 - 1 / (1 + GAP_WEIGHT * n);
    if (b->last_take_ns > 0) {
        b->gap_ns = b->gap_ns > 0 ? b->gap_ns + weight * (gap - b->gap_ns) : gap;
    }
    b->last_take_ns = now_ns;
}

void fm__batcher_take(fm_batcher *b, fm_item **items, int n, int64_t now_ns)
{
    learn_gap(b, n, now_ns);
    int taken = 0;
    while (taken < n) {
        int source = b->cursor;
        const fm_batch_source *s = &b->sources[source];
        b->cursor = (b->cursor + 1) % b->source_count;
        bool has_one = takeable(b, s) > 0;
        while (has_one && has_passing(b, s)) {
            fm_item *item = fm__batcher_take_one(b, source);
            item->taken_ns = now_ns;
            set_aside(b, item);
        }
        if (has_one) {
            items[taken] = fm__batcher_take_one(b, source);
            items[taken++]->taken_ns = now_ns;
        }
    }
}

void fm__batcher_learn(fm_batcher *b, int rows, int64_t infer_ns)
{
    for (int i = 0; i < b->size_count; i++) {
        if (b->sizes[i] == rows) {
            double cost = (double)infer_ns / rows;
            double old = b->cost_ns[i];
            b->cost_ns[i] = old > 0 ? old + LEARN_WEIGHT * (cost - old) : cost;
        }
    }
}
