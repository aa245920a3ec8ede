// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Greedy non-maximum suppression (Felzenszwalb et al., "Object Detection with Discriminatively Trained
// Part-Based Models", 2010, section 3.2.2), by class, as torchvision's batched_nms does. Candidates are
// sorted once, by a merge sort in the caller's scratch (libc's allocates); each is compared with the boxes
// that were kept so far, which lie coordinate by coordinate for SIMD. That is O(n * kept): suppressed boxes
// are never compared with one another.

#include "ops/nms.h"

#include "ops/nms_kernels.h"

#include <math.h>
#include <string.h>

typedef struct entry {
    float score;
    int32_t class_id;
    uint32_t index;
} entry;

/* ---- overlap ---- */

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

static inline float smaller(float a, float b)
{
    return a < b ? a : b;
}

static float area_of(fm_box b)
{
    if (isnan(b.x0) || isnan(b.y0) || isnan(b.x1) || isnan(b.y1)) {
        return NAN;
    }
    return larger(b.x1 - b.x0, 0) * larger(b.y1 - b.y0, 0);
}

// NaN where an area is NaN or both are empty.
static inline float overlap(fm_box a, float area_a, fm_box b, float area_b)
{
    float w = larger(smaller(a.x1, b.x1) - larger(a.x0, b.x0), 0);
    float h = larger(smaller(a.y1, b.y1) - larger(a.y0, b.y0), 0);
    float inter = w * h;
    float sum = area_a + area_b;
    return inter / (sum - inter);
}

float fm__iou(fm_box a, fm_box b)
{
    float iou = overlap(a, area_of(a), b, area_of(b));
    return isnan(iou) ? 0 : iou;
}

static bool hit_scalar(const fm__kept *kept, const fm__candidate *c, float iou)
{
    for (size_t i = 0; i < kept->count; i++) {
        fm_box box = {kept->x0[i], kept->y0[i], kept->x1[i], kept->y1[i]};
        if (kept->class_id[i] == c->class_id && overlap(box, kept->area[i], c->box, c->area) > iou) {
            return true;
        }
    }
    return false;
}

/* ---- order ---- */

static inline bool goes_before(const entry *a, const entry *b)
{
    return a->score > b->score || (a->score == b->score && a->class_id < b->class_id);
}

// Merges two sorted runs; where neither goes before the other, the left one wins, which keeps the input's
// order.
static void merge(entry *dst, const entry *left, size_t left_len, const entry *right, size_t right_len)
{
    while (left_len > 0 && right_len > 0) {
        if (goes_before(right, left)) {
            *dst++ = *right++;
            right_len--;
        } else {
            *dst++ = *left++;
            left_len--;
        }
    }
    memcpy(dst, left, left_len * sizeof(*dst));
    memcpy(dst + left_len, right, right_len * sizeof(*dst));
}

// Returns whichever of the two buffers holds the sorted entries.
static entry *sort_entries(entry *from, entry *to, size_t n)
{
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run) {
            size_t left = n - i < run ? n - i : run;
            size_t right = n - i - left < run ? n - i - left : run;
            merge(to + i, from + i, left, from + i + left, right);
        }
        entry *sorted = to;
        to = from;
        from = sorted;
    }
    return from;
}

/* ---- suppression ---- */

static fm__nms_hit_fn *hit_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    static fm__nms_hit_fn *const table[FM_CPU_LEVEL_COUNT] = {
        hit_scalar, fm__nms_hit_avx2, fm__nms_hit_avx512};
    return table[level];
#else
    (void)level;
    return hit_scalar;
#endif
}

static void *carve(void **scratch, size_t n, size_t size)
{
    void *block = *scratch;
    *scratch = (char *)block + (n * size + 63) / 64 * 64;
    return block;
}

static void keep(fm__kept *kept, const fm__candidate *c)
{
    size_t i = kept->count++;
    kept->x0[i] = c->box.x0;
    kept->y0[i] = c->box.y0;
    kept->x1[i] = c->box.x1;
    kept->y1[i] = c->box.y1;
    kept->area[i] = c->area;
    kept->class_id[i] = c->class_id;
}

size_t fm__nms_scratch_size(size_t n)
{
    size_t four_bytes = 6 * ((n * 4 + 63) / 64 * 64); // coordinates, area, class
    return 2 * ((n * sizeof(entry) + 63) / 64 * 64) + (n * sizeof(fm_det) + 63) / 64 * 64 + four_bytes;
}

size_t fm__nms(fm_det *det, size_t n, float iou, size_t max_keep, void *scratch, fm_cpu_level level)
{
    fm__nms_hit_fn *hit = hit_of(level);
    entry *order = carve(&scratch, n, sizeof(*order)), *other = carve(&scratch, n, sizeof(*other));
    fm_det *out = carve(&scratch, n, sizeof(*out));
    fm__kept kept = {.count = 0};
    float **const coordinates[] = {&kept.x0, &kept.y0, &kept.x1, &kept.y1, &kept.area};
    for (size_t i = 0; i < sizeof(coordinates) / sizeof(*coordinates); i++) {
        *coordinates[i] = carve(&scratch, n, sizeof(float));
    }
    kept.class_id = carve(&scratch, n, sizeof(int32_t));
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(det[i].score)) {
            order[count++] =
                (entry){.score = det[i].score, .class_id = det[i].class_id, .index = (uint32_t)i};
        }
    }
    order = sort_entries(order, other, count);
    for (size_t i = 0; i < count && kept.count < max_keep; i++) {
        const fm_det *d = &det[order[i].index];
        fm__candidate c = {.box = d->box, .area = area_of(d->box), .class_id = d->class_id};
        if (!hit(&kept, &c, iou)) {
            out[kept.count] = *d;
            keep(&kept, &c);
        }
    }
    if (kept.count > 0) {
        memcpy(det, out, kept.count * sizeof(*det));
    }
    return kept.count;
}
