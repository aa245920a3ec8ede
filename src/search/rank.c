// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Bounded binary heaps (Williams, 1964).

#include "search/rank.h"

bool fm__hit_before(fm__hit a, fm__hit b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.id < b.id);
}

static void sink_hit(fm__hit *heap, size_t n, size_t at, fm__hit hit)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) {
            break;
        }
        child += child + 1 < n && fm__hit_before(heap[child], heap[child + 1]);
        if (!fm__hit_before(hit, heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = hit;
}

void fm__rank_push(fm__hit *heap, size_t *count, size_t k, fm__hit hit)
{
    if (*count == k) {
        if (k > 0 && fm__hit_before(hit, heap[0])) {
            sink_hit(heap, k, 0, hit);
        }
        return;
    }
    size_t at = (*count)++;
    while (at > 0 && fm__hit_before(heap[(at - 1) / 2], hit)) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = hit;
}

void fm__rank_sort(fm__hit *heap, size_t count)
{
    while (count > 1) {
        fm__hit last = heap[--count];
        heap[count] = heap[0];
        sink_hit(heap, count, 0, last);
    }
}

static void sink_float(float *heap, size_t n, size_t at, float v)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) {
            break;
        }
        child += child + 1 < n && heap[child] < heap[child + 1];
        if (v >= heap[child]) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = v;
}

void fm__rank_push_float(float *heap, size_t *count, size_t k, float v)
{
    if (*count == k) {
        if (k > 0 && v < heap[0]) {
            sink_float(heap, k, 0, v);
        }
        return;
    }
    size_t at = (*count)++;
    while (at > 0 && heap[(at - 1) / 2] < v) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = v;
}
