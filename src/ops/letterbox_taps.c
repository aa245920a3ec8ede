// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Where the outputs of one axis take their samples. Positions are OpenCV's INTER_LINEAR with clamped ends, in
// double, shares rounded to 1/32768. For SIMD the pairs of samples are grouped into windows of 16 source
// bytes: one load and one PSHUFB then fetch the pairs of 8, 4 or 2 outputs, whichever the step allows; only
// steps beyond 14 source samples read pair by pair.

#include "ops/letterbox_kernels.h"

#include <math.h>
#include <string.h>

enum { WINDOW = 16, MASK_NONE = 0x80 };

// Order in which a step of 16 outputs loads its windows: low half of a 256-bit register, then its high half.
// The halves are merged by unpacking, so that outputs 0..7 end in the low one.
static const uint8_t load_order[9][8] = {[8] = {0, 1}, [4] = {0, 2, 1, 3}, [2] = {0, 4, 1, 5, 2, 6, 3, 7}};

static int pad_count(int count)
{
    return (count + FM__SAMPLE_ALIGN - 1) / FM__SAMPLE_ALIGN * FM__SAMPLE_ALIGN;
}

// Masks: 32 bytes a register, at most 4 registers a step of 16 outputs.
size_t fm__taps_size(int count)
{
    size_t padded = (size_t)pad_count(count);
    return padded * (sizeof(int32_t) + sizeof(int16_t) + sizeof(int32_t) / 2 + 8);
}

static void set_tap(fm__taps *taps, int i, double pos, const fm__axis *axis)
{
    double last = axis->len - 1, clamped = pos < axis->first ? axis->first : pos > last ? last : pos;
    int left = (int)clamped;
    int weight = (int)lrint((clamped - left) * 32768);
    if (weight == 32768) {
        left++;
        weight = 0;
    }
    taps->index[i] = left;
    taps->weight[i] = (int16_t)weight;
}

static int widest_window(const fm__taps *taps)
{
    for (int n = 8; n > 1; n /= 2) {
        int i = 0;
        while (i < taps->padded && taps->index[i + n - 1] + 1 - taps->index[i] < WINDOW) {
            i += n;
        }
        if (i >= taps->padded) {
            return n;
        }
    }
    return 1;
}

// One window of the step that starts at `first`: the w-th loaded.
static void set_window(fm__taps *taps, int first, int w)
{
    int n = taps->per_window, registers = 8 / n;
    int out = first + load_order[n][w] * n;
    int start = taps->index[out];
    taps->start[first / n + w] = start;
    uint8_t *mask = taps->mask + (size_t)(first / FM__GROUP * registers + w / 2) * 32 + (size_t)(w % 2) * 16;
    memset(mask, MASK_NONE, 16);
    for (int i = 0; i < n; i++) {
        mask[2 * i] = (uint8_t)(taps->index[out + i] - start);
        mask[2 * i + 1] = (uint8_t)(taps->index[out + i] - start + 1);
    }
}

static void place(fm__taps *taps, int count, void *mem)
{
    size_t padded = (size_t)pad_count(count);
    taps->count = count;
    taps->padded = (int)padded;
    taps->per_window = 1;
    taps->mask = mem;
    taps->index = (int32_t *)(void *)(taps->mask + padded * 8);
    taps->start = taps->index + padded;
    taps->weight = (int16_t *)(void *)(taps->start + padded / 2);
}

void fm__taps_init(fm__taps *taps, const fm__axis *axis, void *mem)
{
    place(taps, axis->count, mem);
    for (int i = 0; i < taps->padded; i++) {
        int out = i < axis->count ? i : axis->count - 1;
        set_tap(taps, i, axis->origin + out * axis->step, axis);
    }
}

// Two neighbours lie on the same sample of the plane, or on two neighbours.
void fm__taps_repeat(fm__taps *taps, const fm__taps *of, int shift, void *mem)
{
    place(taps, of->count, mem);
    for (int i = 0; i < taps->padded; i++) {
        int left = of->index[i];
        taps->index[i] = left >> shift;
        taps->weight[i] = (left + 1) >> shift == left >> shift ? 0 : of->weight[i];
    }
}

void fm__taps_group(fm__taps *taps)
{
    taps->per_window = widest_window(taps);
    for (int first = 0; taps->per_window > 1 && first < taps->padded; first += FM__GROUP) {
        for (int w = 0; w < FM__GROUP / taps->per_window; w++) {
            set_window(taps, first, w);
        }
    }
}
