// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means after Buades, Coll and Morel, "A non-local algorithm for image denoising" (CVPR 2005), with
// OpenCV's (4.11, fastNlMeansDenoising) patch, window and border, exact: every displacement of the window,
// every patch sum in integers. What makes it fast:
//
//  - One displacement at a time, so that neighbouring patches share their sums (Darbon, Cunha, Chan, Osher
//  and
//    Jensen, "Fast nonlocal filtering applied to electron cryomicroscopy", 2008), and only half of them: a
//    weight counts for both ends of its displacement.
//  - Sums in 16 bits. 49 * 255^2 does not fit, but weights past `bound` are zero, and sums that saturate
//  never
//    come back below it. A saturating sum cannot be taken apart again, so a window is moved by two places at
//    a time, which shares sums of pairs: 5 additions for two windows of seven, down and across alike. Where
//    the bound itself does not fit (h > 13.9, of two planes 9.8), squares are rounded to multiples of 2, 4,
//    ...: at worst half a percent of h^2, which is what OpenCV's bins of 64 lose there.
//  - The exponential is a parabola squared three times, eight instructions without a table; where it ends is
//    decided on the sum.
//  - Two neighbouring displacements share a 32-bit lane: their pixels are neighbours too, and PMADDWD makes
//  both
//    products and adds them. Weights of six pairs meet in 16 bits.
//  - Vectors of weights that are all zero go no further.
//
// A band of rows is done in tiles, a tile in strips of columns, so that what the pairs of one row of the
// window need stays close. Rows above the tile are visited again for their displacements into it.

#include "ops/nlm.h"

#include "base/alloc.h"
#include "base/error.h"
#include "ops/nlm_kernels.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    PATCH_RADIUS = FM__NLM_PATCH / 2,
    TILE_MIN = 32,
    TILE_MAX = 128,
    MAX_SIDE = 1 << 16,
    LEAD = 2 * FM__NLM_PIXEL_MARGIN + 2, // pixels of a line before the strip's first
    WEIGHT_MAX = 9000,                   // six fit 16 bits, and the parabola stays below 2^15
};

// exp(-u) is close to a parabola to the eighth, ((VERTEX - u)^2 + LIFT)^8 but for a factor, which does not
// matter: found by a search for the least relative error up to CUT, 2.7%. Past CUT, ln 1000, weights are
// zero, as OpenCV's.
#define CUT 6.9078
#define VERTEX 11.7334
#define LIFT 61.0893

// Byte offsets into scratch.
typedef struct layout {
    size_t sums, pixels, state, columns, weights, live, line, size;
} layout;

struct fm__nlm_plan {
    fm__nlm_desc desc;
    const fm__nlm_kernels *kernels;
    fm__nlm_coef coef;
    uint32_t self; // weight of the pixel itself
    int radius, tile;
    int first, pairs; // of a row of the window, in lanes
    int pairs0;       // of its middle row, right half
    uint32_t bounds[FM__NLM_RADIUS + 1], bounds0[FM__NLM_RADIUS + 1];
    int lanes, strips; // of a row; the last strip may be short
    size_t row_lanes;  // of a row of pixels, everything
    size_t sum_pitch;  // lanes of a row of accumulators
    layout at;
};

// One call of fm__nlm_rows: the tile and strip it is at.
typedef struct pass {
    const fm__nlm_plan *plan;
    const fm__nlm_frame *frame;
    uint8_t *scratch;
    int y0, y1; // of the tile
    int lane;   // first of the strip, in the picture
    int lanes;  // of the strip
    fm__nlm_strip strip;
} pass;

/* ---- plan ---- */

static uint32_t both_halves(uint16_t low, uint16_t high)
{
    const uint16_t halves[2] = {low, high};
    uint32_t lane;
    memcpy(&lane, halves, sizeof(lane));
    return lane;
}

// Of one row of the window: displacements below `least` or past the radius weigh nothing.
static void init_bounds(
    const fm__nlm_plan *plan, uint32_t bounds[FM__NLM_RADIUS + 1], int first, int pairs, int least)
{
    for (int k = 0; k < pairs; k++) {
        int dx = 2 * (first + k);
        uint16_t low = dx >= least && dx <= plan->radius ? plan->coef.bound : 0;
        uint16_t high = dx + 1 >= least && dx + 1 <= plan->radius ? plan->coef.bound : 0;
        bounds[k] = both_halves(low, high);
    }
}

// The weight of equal patches, as the kernels get it.
static uint32_t self_weight(const fm__nlm_coef *c)
{
    uint32_t x = ((uint32_t)c->bound * c->times * c->scale >> 16) + c->offset;
    uint32_t y = ((x * x + 0x4000) >> 15) + c->lift;
    y = y * y >> 16;
    y = y * y >> 16;
    return (y * y + 0x4000) >> 15;
}

static void init_coef(fm__nlm_plan *plan)
{
    const fm__nlm_desc *d = &plan->desc;
    double unit = (double)d->h * d->h * FM__NLM_PATCH * FM__NLM_PATCH * d->planes; // patch sum where u is 1
    double bound = CUT * unit;
    fm__nlm_coef *c = &plan->coef;
    c->square_shift = 0;
    while (bound > 65535) {
        bound /= 2;
        c->square_shift++;
    }
    c->bound = bound < 1 ? 1 : (uint16_t)lrint(bound);
    c->times = (uint16_t)(65535 / c->bound);
    // All sums of numerators, of all frames, stay below 2^31.
    double window = (2 * plan->radius + 1) * (2 * plan->radius + 1);
    double most = fmin(WEIGHT_MAX, floor(2147483647.0 / (255 * window * d->frames)));
    double full = sqrt(65536 * sqrt(65536 * sqrt(32768 * most))); // the parabola's value at 0
    double top = full * VERTEX * VERTEX / (VERTEX * VERTEX + LIFT), x = sqrt(32768 * top);
    c->scale = (uint16_t)lrint(x * CUT / VERTEX * 65536 / ((uint32_t)c->bound * c->times));
    c->offset = (uint16_t)lrint(x * (1 - CUT / VERTEX));
    c->lift = (uint16_t)lrint(full - top);
    plan->self = self_weight(c);
}

static size_t reserve(size_t *at, size_t bytes)
{
    size_t place = *at;
    *at += (bytes + 127) / 64 * 64;
    return place;
}

static int round_up(int n, int unit)
{
    return (n + unit - 1) / unit * unit;
}

static void init_layout(fm__nlm_plan *plan)
{
    int planes = plan->desc.planes;
    const size_t lane = sizeof(uint32_t), pairs = FM__NLM_PAIRS;
    size_t rows = (size_t)(plan->tile + 2 * (plan->radius + PATCH_RADIUS) + 1), at = 0;
    plan->at.sums = reserve(&at, (size_t)plan->tile * plan->sum_pitch * 2 * (size_t)(planes + 1) * lane);
    plan->at.pixels = reserve(&at, rows * plan->row_lanes * lane);
    plan->at.state = reserve(&at, pairs * FM__NLM_SLOTS * 2 * FM__NLM_COLUMNS * lane);
    plan->at.columns = reserve(&at, 2 * pairs * FM__NLM_SUMS * FM__NLM_COLUMNS * lane);
    plan->at.weights = reserve(&at, pairs * 2 * FM__NLM_PITCH * lane);
    plan->at.live = reserve(&at, (FM__NLM_STRIP + 2 * FM__NLM_LIVE_PAD) * lane);
    plan->at.line = reserve(&at, 4 * plan->sum_pitch + 2 * FM__NLM_PITCH + 4 * FM__NLM_LANES);
    plan->at.size = at;
}

static int clamp_int(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static fm_status check_desc(const fm__nlm_desc *d, fm_error *err)
{
    if (d->width < 1 || d->height < 1 || d->width > MAX_SIDE || d->height > MAX_SIDE) {
        return fm__fail(
            err, FM_INVAL, "denoise: a picture of %dx%d; sides must be 1..%d", d->width, d->height, MAX_SIDE);
    }
    if (!(d->h > 0) || d->h > FM__NLM_MAX_H) {
        return fm__fail(err, FM_INVAL, "denoise: strength h is %g; it must be above 0 and at most %d",
            (double)d->h, FM__NLM_MAX_H);
    }
    if (d->planes < 1 || d->planes > FM__NLM_MAX_PLANES || d->radius < 0 || d->radius > FM__NLM_RADIUS ||
        d->frames < 0 || d->frames > FM__NLM_MAX_FRAMES || d->band < 0) {
        return fm__fail(err, FM_INVAL, "denoise: %d planes, radius %d, %d frames; the most is %d, %d, %d",
            d->planes, d->radius, d->frames, FM__NLM_MAX_PLANES, FM__NLM_RADIUS, FM__NLM_MAX_FRAMES);
    }
    return FM_OK;
}

static const fm__nlm_kernels *kernels_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    static const fm__nlm_kernels *const table[FM_CPU_LEVEL_COUNT] = {
        &fm__nlm_scalar, &fm__nlm_avx2, &fm__nlm_avx512};
    return table[level];
#else
    (void)level;
    return &fm__nlm_scalar;
#endif
}

static void init_geometry(fm__nlm_plan *plan)
{
    const fm__nlm_desc *d = &plan->desc;
    plan->first = -(plan->radius + 1) / 2;
    plan->pairs = plan->radius / 2 - plan->first + 1;
    plan->pairs0 = plan->radius / 2 + 1;
    // From the lane whose right end is the first pixel to the one whose left end is the last.
    plan->lanes = round_up((d->width + 1) / 2 + 2 * FM__NLM_REACH + 1, FM__NLM_LANES);
    plan->strips = (plan->lanes + FM__NLM_STRIP - 1) / FM__NLM_STRIP;
    plan->row_lanes = (size_t)d->planes * FM__NLM_KINDS * 2 * FM__NLM_PITCH;
    // Rows that are used together must not meet in the same sets of the cache.
    plan->sum_pitch = (FM__NLM_MARGIN + (size_t)plan->lanes + FM__NLM_TAIL + 175) / 256 * 256 + 80;
}

// The more rows in a tile, the fewer are visited twice; bands of all threads together take less than 4
// frames.
static void choose_tile(fm__nlm_plan *plan)
{
    const fm__nlm_desc *d = &plan->desc;
    int band = d->band && d->band < d->height ? d->band : d->height;
    size_t budget = (size_t)d->width * (size_t)band * (size_t)d->planes * 4 * 15 / 16;
    plan->tile = 0;
    init_layout(plan);
    size_t row = (plan->sum_pitch * 2 * (size_t)(d->planes + 1) + plan->row_lanes) * sizeof(uint32_t);
    size_t rows = budget > plan->at.size ? (budget - plan->at.size) / row : 0;
    plan->tile = clamp_int(rows < TILE_MAX ? (int)rows : TILE_MAX, TILE_MIN, TILE_MAX);
    plan->tile = clamp_int(plan->tile, 1, band);
    init_layout(plan);
}

// What strength and number of frames decide.
static void tune(fm__nlm_plan *plan)
{
    init_coef(plan);
    init_bounds(plan, plan->bounds, plan->first, plan->pairs, -plan->radius);
    init_bounds(plan, plan->bounds0, 0, plan->pairs0, 1);
}

fm_status fm__nlm_plan_new(const fm__nlm_desc *desc, fm_cpu_level level, fm__nlm_plan **out, fm_error *err)
{
    fm_status status = check_desc(desc, err);
    if (status != FM_OK) {
        return status;
    }
    fm__nlm_plan *plan = fm__calloc(FM_TAG_OPS, sizeof(*plan));
    if (!plan) {
        return fm__fail_nomem(err, "a denoising plan");
    }
    plan->desc = *desc;
    plan->desc.frames = desc->frames ? desc->frames : 1;
    plan->radius = desc->radius ? desc->radius : FM__NLM_RADIUS;
    plan->kernels = kernels_of(level);
    init_geometry(plan);
    tune(plan);
    choose_tile(plan);
    *out = plan;
    return FM_OK;
}

fm_status fm__nlm_plan_retune(fm__nlm_plan *plan, float h, int frames, fm_error *err)
{
    fm__nlm_desc desc = plan->desc;
    desc.h = h;
    desc.frames = frames ? frames : 1;
    fm_status status = check_desc(&desc, err);
    if (status == FM_OK) {
        plan->desc = desc;
        tune(plan);
    }
    return status;
}

void fm__nlm_plan_free(fm__nlm_plan **plan)
{
    if (plan && *plan) {
        fm__free(*plan);
        *plan = NULL;
    }
}

size_t fm__nlm_scratch_size(const fm__nlm_plan *plan)
{
    return plan->at.size;
}

/* ---- pixels ---- */

// Place of pixel i of a row of n, mirrored at both ends as often as it takes.
static int mirror(int i, int n)
{
    if (n == 1) {
        return 0;
    }
    int period = 2 * (n - 1), m = i % period;
    m = m < 0 ? m + period : m;
    return m < n ? m : period - m;
}

// `count` pixels of a row from pixel `from` on.
static void fill_line(uint8_t *line, const uint8_t *row, int width, int from, int count)
{
    int first = clamp_int(-from, 0, count), last = clamp_int(width - from, first, count);
    for (int i = 0; i < first; i++) {
        line[i] = row[mirror(from + i, width)];
    }
    memcpy(line + first, row + from + first, (size_t)(last - first));
    for (int i = last; i < count; i++) {
        line[i] = row[mirror(from + i, width)];
    }
}

static fm__nlm_row *row_at(const pass *run, int y)
{
    const fm__nlm_plan *plan = run->plan;
    size_t row = (size_t)(y - (run->y0 - plan->radius - PATCH_RADIUS));
    return (fm__nlm_row *)(run->scratch + plan->at.pixels) + row * plan->row_lanes;
}

// line[0] is the pixel two before the first lane's even one. Little endian: the low half comes first.
static void expand_pairs(const uint8_t *line, uint32_t *restrict to)
{
    for (size_t i = 0; i < FM__NLM_PITCH; i++) {
        uint16_t before, here;
        memcpy(&before, line + 2 * i, sizeof(before));
        memcpy(&here, line + 2 * i + 2, sizeof(here));
        to[i] = (here & 0xffU) | (uint32_t)(here >> 8) << 16;
        to[FM__NLM_PITCH + i] = (before >> 8) | (here & 0xffU) << 16;
    }
}

static void expand_same(const uint8_t *line, uint32_t *restrict to)
{
    for (size_t i = 0; i < FM__NLM_PITCH; i++) {
        to[i] = line[2 * i + 2] * 0x10001U;
        to[FM__NLM_PITCH + i] = line[2 * i + 1] * 0x10001U;
    }
}

static void expand_swapped(const uint8_t *line, uint32_t *restrict to)
{
    for (size_t i = 0; i < FM__NLM_PITCH; i++) {
        to[i] = line[2 * i + 2] | (uint32_t)line[2 * i + 1] << 16;
        to[FM__NLM_PITCH + i] = line[2 * i + 1] | (uint32_t)line[2 * i] << 16;
    }
}

// All rows that the tile's patches reach, of one strip. Of frames that are only searched, pairs alone.
static void expand_strip(pass *run, const fm__nlm_frame *frame, bool is_searched_only)
{
    const fm__nlm_plan *plan = run->plan;
    uint8_t *line = run->scratch + plan->at.line;
    int reach = plan->radius + PATCH_RADIUS, w = plan->desc.width;
    for (int y = run->y0 - reach; y <= run->y1 + reach; y++) {
        uint32_t *to = row_at(run, y);
        for (int p = 0; p < plan->desc.planes; p++, to += FM__NLM_KINDS * 2 * FM__NLM_PITCH) {
            const uint8_t *row = frame->plane[p] + mirror(y, plan->desc.height) * frame->stride[p];
            fill_line(line, row, w, 2 * run->lane - LEAD, 2 * FM__NLM_PITCH + 2);
            expand_pairs(line, to + FM__NLM_PAIR * 2 * FM__NLM_PITCH);
            if (!is_searched_only) {
                expand_same(line, to + FM__NLM_SAME * 2 * FM__NLM_PITCH);
                expand_swapped(line, to + FM__NLM_SWAP * 2 * FM__NLM_PITCH);
            }
        }
    }
}

/* ---- sums ---- */

// Filled in field by field: zeroing it first costs as much as a tenth of what is done with it.
static void set_sums(fm__nlm_sums *sums, const pass *run, int y, int lane)
{
    const size_t planes = (size_t)run->plan->desc.planes, pitch = run->plan->sum_pitch;
    uint32_t *at =
        (uint32_t *)(run->scratch + run->plan->at.sums) + (size_t)(y - run->y0) * 2 * (planes + 1) * pitch;
    at += lane + FM__NLM_MARGIN;
    for (size_t parity = 0; parity < 2; parity++) {
        sums->den[parity] = at + parity * pitch;
        sums->num[0][parity] = at + (2 + parity) * pitch;
        sums->num[1][parity] = at + (2 * planes + parity) * pitch;
    }
}

// A group of pairs of displacements in a row of the window, as large as the first-level cache likes.
static void set_strip(pass *run, const uint32_t *bounds, int first, int pairs)
{
    const fm__nlm_plan *plan = run->plan;
    run->strip = (fm__nlm_strip){
        .coef = &plan->coef,
        .planes = plan->desc.planes,
        .lanes = run->lanes,
        .pairs = pairs,
        .first = first,
        .bounds = bounds,
        .state = (uint32_t *)(run->scratch + plan->at.state),
        .columns = (uint32_t *)(run->scratch + plan->at.columns),
        .weights = (uint32_t *)(run->scratch + plan->at.weights),
        .live = (uint32_t *)(run->scratch + plan->at.live),
    };
}

// Weights of row y against row y + dy of the searched frame, counted at both ends, or at the near end alone.
static void count_row(pass *run, int y, int row, int dy, bool is_half)
{
    const fm__nlm_kernels *k = run->plan->kernels;
    fm__nlm_sums sums;
    if (y >= run->y0 && y < run->y1) {
        set_sums(&sums, run, y, run->lane + FM__NLM_REACH);
        k->weigh(&run->strip, row, row_at(run, y + dy), &sums);
    } else {
        k->weigh(&run->strip, row, row_at(run, y + dy), NULL);
    }
    if (is_half && y + dy >= run->y0 && y + dy < run->y1) {
        set_sums(&sums, run, y + dy, run->lane + FM__NLM_REACH);
        k->spread(&run->strip, row_at(run, y), &sums);
    }
}

// The strip's displacements over all rows of the tile, two at a time.
static void sweep(pass *run, int dy, bool is_half)
{
    const fm__nlm_kernels *k = run->plan->kernels;
    int first = is_half ? run->y0 - dy : run->y0;
    k->start(&run->strip, row_at(run, first - PATCH_RADIUS), row_at(run, first - PATCH_RADIUS + dy));
    for (int y = first, step = 0; y < run->y1; y += 2, step++) {
        int next = y + PATCH_RADIUS;
        k->columns(&run->strip, row_at(run, next), row_at(run, next + dy), step);
        count_row(run, y, 0, dy, is_half);
        if (y + 1 < run->y1) {
            count_row(run, y + 1, 1, dy, is_half);
        }
    }
}

static void sweep_row(pass *run, int dy, bool is_half)
{
    const fm__nlm_plan *plan = run->plan;
    bool is_middle = is_half && dy == 0;
    int pairs = is_middle ? plan->pairs0 : plan->pairs, first = is_middle ? 0 : plan->first;
    const uint32_t *bounds = is_middle ? plan->bounds0 : plan->bounds;
    int groups = (pairs + FM__NLM_PAIRS - 1) / FM__NLM_PAIRS;
    for (int g = 0; g < groups; g++) {
        int from = pairs * g / groups, to = pairs * (g + 1) / groups;
        set_strip(run, bounds + from, first + from, to - from);
        sweep(run, dy, is_half);
    }
}

static void run_strip(pass *run)
{
    const fm__nlm_plan *plan = run->plan;
    memset(run->scratch + plan->at.weights, 0, plan->at.line - plan->at.weights); // margins, live words
    expand_strip(run, &run->frame[0], false);
    for (int dy = 0; dy <= plan->radius; dy++) {
        sweep_row(run, dy, true);
    }
    for (int f = 1; f < plan->desc.frames; f++) {
        expand_strip(run, &run->frame[f], true);
        for (int dy = -plan->radius; dy <= plan->radius; dy++) {
            sweep_row(run, dy, false);
        }
    }
}

static void write_tile(const pass *run, uint8_t *const dst[], const ptrdiff_t stride[])
{
    const fm__nlm_plan *plan = run->plan;
    size_t width = (size_t)plan->desc.width;
    uint8_t *in = run->scratch + plan->at.line, *out = in + 2 * plan->sum_pitch;
    for (int y = run->y0; y < run->y1; y++) {
        fm__nlm_sums sums;
        set_sums(&sums, run, y, FM__NLM_REACH);
        for (int p = 0; p < plan->desc.planes; p++) {
            memcpy(in, run->frame[0].plane[p] + y * run->frame[0].stride[p], width);
            plan->kernels->divide(out, in, plan->desc.width, plan->self, sums.num[p], sums.den);
            memcpy(dst[p] + y * stride[p], out, width);
        }
    }
}

void fm__nlm_rows(const fm__nlm_plan *plan, const fm__nlm_frame *frame, uint8_t *const dst[],
    const ptrdiff_t dst_stride[], int y0, int y1, void *scratch)
{
    assert(y0 >= 0 && y1 <= plan->desc.height);
    pass run = {.plan = plan, .frame = frame, .scratch = scratch};
    int tiles = (y1 - y0 + plan->tile - 1) / plan->tile;
    size_t row_bytes = 2 * (size_t)(plan->desc.planes + 1) * plan->sum_pitch * sizeof(uint32_t);
    for (int t = 0; t < tiles; t++) {
        run.y0 = y0 + (int)((int64_t)(y1 - y0) * t / tiles);
        run.y1 = y0 + (int)((int64_t)(y1 - y0) * (t + 1) / tiles);
        memset(run.scratch + plan->at.sums, 0, (size_t)(run.y1 - run.y0) * row_bytes);
        for (int s = 0; s < plan->strips; s++) {
            run.lane = s * FM__NLM_STRIP - FM__NLM_REACH;
            run.lanes = clamp_int(plan->lanes - s * FM__NLM_STRIP, 0, FM__NLM_STRIP);
            run_strip(&run);
        }
        write_tile(&run, dst, dst_stride);
    }
}
