// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The detector `motion`. Background model: ViBe ("ViBe: A universal background subtraction algorithm for
// video sequences", Barnich and Van Droogenbroeck, IEEE TIP 20(6), 2011): a pixel keeps 20 past values and is
// background when at least 2 of them lie within 20 grey levels; about every 16th background pixel puts its
// value in place of a random sample of its own and of a neighbour. A sample model was preferred to a mixture
// of Gaussians (Zivkovic 2004) because its inner loop is bytes only, 32 pixels at a time; with the same work
// size, cleaning and smallest area, on vtest.avi against the ground truth of PETS09-S2L1 at IoU 0.3 (frames
// 21 to 795), it finds 0.80 of the people at precision 0.91, OpenCV's MOG2 0.76 at 0.83. Deviations: it works
// on luma averaged over step x step pixels, which takes noise away too; a fresh model takes one sample from
// each of its first 20 frames (ViBe fills it from the neighbourhoods of one), so that who walks through them
// leaves no ghost, and reports nothing meanwhile; own and neighbour sample are replaced in the same visit,
// and visits jump by random distances; the mask is cleaned (6 of 9 pixels, then a closing by 3x3) before it
// is used, for the update too, so that lone noise is learnt and holes in people are not; moving pixels are
// updated as well, 64 times more rarely, so that what stays does become background. Changes of light: where
// the median difference to a running mean, on a sparse grid, is 4 levels or more, the whole model is shifted
// by it; where for several frames most of the picture moves, or a third that came with one frame, it is
// learnt anew. Shadows are not told from
// what casts them: only weak ones stay inside the radius. Randomness is a xorshift of the seed: runs repeat.

#include "base/alloc.h"
#include "base/error.h"
#include "frame/frame.h"
#include "heads/motion_int.h"

#include <string.h>

#define RADIUS 20    // grey levels; ViBe, section 4.2
#define SKIP_MASK 31 // visits are 1 + (0..31) pixels apart, 16.5 on average; ViBe: 16
#define ABSORB_MASK                                                                                          \
    63 // one in 64 visits to a moving pixel updates too: what stays is background after some 1,000 frames
#define GRID 4           // pixels between the points of the grid
#define MEAN_SHIFT 4     // the running mean moves by 1/16 a frame
#define LIGHT_LEVELS 4   // smaller differences are followed by the ordinary update
#define FLOOD_SHARE 0.6  // more moving pixels than this are no objects
#define SUDDEN_SHARE 0.3 // nor are so many, when
#define SUDDEN_RISE 0.2  // so many of them came with one frame
#define FLOOD_FRAMES 5   // so many such frames in a row, and the background is learnt anew
#define MAX_STEP 64      // sums of 64 rows of 8 bits, and of 64 of these, stay within their types
#define DEFAULT_WORK_WIDTH 320
#define DEFAULT_MIN_AREA 0.0004f
#define DEFAULT_MAX_DETS 300

// Marsaglia, "Xorshift RNGs", 2003; never 0.
static uint32_t next_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

static void release(fm_motion *m)
{
    fm__free(m->samples);
    fm__free(m->mean);
    fm__free(m->cur);
    fm__free(m->mask_block);
    fm__free(m->sums);
    fm__free(m->segments);
    fm__free(m->blobs);
}

void fm__motion_set_geometry(fm_motion *m, int src_w, int src_h, fm_pixfmt format)
{
    int step = (src_w + m->opts.work_width / 2) / m->opts.work_width;
    step = step > MAX_STEP ? MAX_STEP : step;
    step = step > src_h ? src_h : step;
    m->step = step < 1 ? 1 : step;
    m->src_w = src_w;
    m->src_h = src_h;
    m->format = format;
    m->w = src_w / m->step;
    m->h = src_h / m->step;
    m->plane = (size_t)m->w * (size_t)m->h;
    m->stride = ((size_t)m->w + 2 + 63) / 64 * 64;
    m->grid_w = (m->w + GRID - 1) / GRID;
    m->grid_h = (m->h + GRID - 1) / GRID;
}

static bool allocate(fm_motion *m)
{
    size_t rows = (size_t)m->h + 2;
    m->samples = fm__calloc_array(FM_TAG_HEADS, m->plane, FM_MOTION_SAMPLES);
    m->mean = fm__calloc_array(FM_TAG_HEADS, (size_t)m->grid_w * (size_t)m->grid_h, sizeof *m->mean);
    m->cur = fm__calloc_array(FM_TAG_HEADS, m->plane, 1);
    m->mask_block = fm__calloc_array(FM_TAG_HEADS, 2 * rows, m->stride);
    m->sums = fm__calloc_array(FM_TAG_HEADS, (size_t)m->src_w * 3, sizeof *m->sums);
    m->segments = fm__calloc_array(FM_TAG_HEADS, 2 * ((size_t)m->w / 2 + 1), sizeof *m->segments);
    m->blobs = fm__calloc_array(FM_TAG_HEADS, FM_MOTION_MAX_BLOBS, sizeof *m->blobs);
    if (m->mask_block != NULL) {
        m->mask[0] = m->mask_block + m->stride + 1;
        m->mask[1] = m->mask[0] + rows * m->stride;
    }
    return m->samples && m->mean && m->cur && m->mask_block && m->sums && m->segments && m->blobs;
}

fm_status fm__motion_configure(fm_motion *m, int src_w, int src_h, fm_pixfmt format, fm_error *err)
{
    if (src_w < 1 || src_h < 1 || src_w > FM_MOTION_MAX_SIDE || src_h > FM_MOTION_MAX_SIDE ||
        format <= FM_PIXFMT_NONE || format >= FM_PIXFMT_COUNT)
        return fm__fail(err, FM_INVAL, "motion: cannot work on a %d x %d picture of format '%s'", src_w,
            src_h, fm_pixfmt_name(format));
    fm_motion fresh = {.opts = m->opts, .kernels = m->kernels};
    fm__motion_set_geometry(&fresh, src_w, src_h, format);
    if (!allocate(&fresh)) {
        release(&fresh);
        return fm__fail_nomem(err, "background model of the motion detector");
    }
    fresh.rng = m->opts.seed * 2654435761u | 1u;
    release(m);
    *m = fresh;
    return FM_OK;
}

void fm__motion_reset(fm_motion *m)
{
    release(m);
    *m = (fm_motion){.opts = m->opts, .kernels = m->kernels};
}

fm_status fm__motion_new(const fm_motion_opts *opts, fm_motion **out, fm_error *err)
{
    if (opts->work_width < 0 || opts->work_width > FM_MOTION_MAX_SIDE || opts->min_area < 0.0f ||
        opts->min_area > 1.0f)
        return fm__fail(err, FM_INVAL, "motion: work_width %d or min_area %g is out of range",
            opts->work_width, (double)opts->min_area);
    fm_motion *m = fm__calloc(FM_TAG_HEADS, sizeof *m);
    if (m == NULL)
        return fm__fail_nomem(err, "motion detector");
    m->opts = *opts;
    if (m->opts.work_width == 0)
        m->opts.work_width = DEFAULT_WORK_WIDTH;
    if (!(m->opts.min_area > 0.0f))
        m->opts.min_area = DEFAULT_MIN_AREA;
    if (m->opts.max_dets == 0)
        m->opts.max_dets = DEFAULT_MAX_DETS;
    m->kernels = fm__heads_kernels(opts->level);
    *out = m;
    return FM_OK;
}

void fm__motion_free(fm_motion **motion)
{
    if (motion == NULL || *motion == NULL)
        return;
    release(*motion);
    fm__free(*motion);
    *motion = NULL;
}

// Sums of R, G, B, or of B, G, R, become sums of luma, in place (BT.601 weights in 1/256).
static void weigh_rgb(uint16_t *sums, size_t n, bool is_bgr)
{
    uint32_t first = is_bgr ? 29 : 77, last = is_bgr ? 77 : 29;
    for (size_t x = 0; x < n; x++) {
        uint32_t luma = first * sums[3 * x] + 150u * sums[3 * x + 1] + last * sums[3 * x + 2];
        sums[x] = (uint16_t)((luma + 128) >> 8);
    }
}

static void average_row(uint8_t *dst, const uint16_t *sums, size_t w, size_t step)
{
    uint32_t area = (uint32_t)(step * step);
    for (size_t x = 0; x < w; x++) {
        uint32_t sum = area / 2;
        for (size_t i = 0; i < step; i++)
            sum += sums[x * step + i];
        dst[x] = (uint8_t)(sum / area);
    }
}

// The luma plane, averaged over step x step pixels, into m->cur. Columns and rows left over at the far edges
// are not looked at.
static void shrink(fm_motion *m, const fm_frame_view *v)
{
    bool is_rgb = fm__pixfmt_is_rgb(v->format);
    size_t step = (size_t)m->step, w = (size_t)m->w, used = w * step, bytes = is_rgb ? used * 3 : used;
    for (int y = 0; y < m->h; y++) {
        const uint8_t *src = v->plane[0] + (ptrdiff_t)y * m->step * v->stride[0];
        uint8_t *dst = m->cur + (size_t)y * w;
        memset(m->sums, 0, bytes * sizeof *m->sums);
        for (size_t r = 0; r < step; r++, src += v->stride[0])
            m->kernels->add_row(m->sums, src, bytes);
        if (is_rgb)
            weigh_rgb(m->sums, used, v->format == FM_PIXFMT_BGR24);
        if (step == 2)
            m->kernels->halve(dst, m->sums, w);
        else
            average_row(dst, m->sums, w, step);
    }
}

// Repeats the edge pixels into the border, so that edges neither grow nor shrink.
static void fill_border(const fm_motion *m, uint8_t *mask)
{
    size_t bytes = (size_t)m->w + 2;
    for (int y = 0; y < m->h; y++) {
        uint8_t *row = mask + (size_t)y * m->stride;
        row[-1] = row[0];
        row[m->w] = row[m->w - 1];
    }
    memcpy(mask - m->stride - 1, mask - 1, bytes);
    uint8_t *last = mask + (size_t)(m->h - 1) * m->stride - 1;
    memcpy(last + m->stride, last, bytes);
}

static void vote(const fm_motion *m, uint8_t *dst, uint8_t *src, int least)
{
    fill_border(m, src);
    for (int y = 0; y < m->h; y++, src += m->stride, dst += m->stride)
        m->kernels->vote(dst, src - m->stride, src, src + m->stride, least, (size_t)m->w);
}

// Moving pixels, cleaned; the mask is valid until the next frame.
static const uint8_t *find_moving(fm_motion *m)
{
    size_t w = (size_t)m->w;
    for (size_t y = 0; y < (size_t)m->h; y++)
        m->kernels->classify(
            m->mask[0] + y * m->stride, m->cur + y * w, m->samples + y * w * FM_MOTION_SAMPLES, w, RADIUS, w);
    vote(m, m->mask[1], m->mask[0], 6);
    vote(m, m->mask[0], m->mask[1], 1);
    vote(m, m->mask[1], m->mask[0], 9);
    return m->mask[1];
}

static void put_sample(fm_motion *m, uint32_t random_byte, int x, int y, uint8_t value)
{
    size_t s = (random_byte & 0xff) * FM_MOTION_SAMPLES >> 8;
    m->samples[((size_t)y * FM_MOTION_SAMPLES + s) * (size_t)m->w + (size_t)x] = value;
}

// A number from -1, 0, 1 out of 6 random bits, as good as evenly.
static int random_step(uint32_t bits)
{
    return (int)((bits & 63) * 3 >> 6) - 1;
}

static void update_pixel(fm_motion *m, int x, int y, uint32_t r, uint32_t where)
{
    uint8_t value = m->cur[(size_t)y * (size_t)m->w + (size_t)x];
    put_sample(m, r, x, y, value);
    int nx = x + random_step(where), ny = y + random_step(where >> 6);
    if (nx >= 0 && ny >= 0 && nx < m->w && ny < m->h)
        put_sample(m, r >> 8, nx, ny, value);
}

static void update_row(fm_motion *m, int y, const uint8_t *mask)
{
    uint32_t rng = m->rng;
    for (int x = (int)(next_random(&rng) >> 8 & SKIP_MASK); x < m->w;) {
        uint32_t r = next_random(&rng), where = next_random(&rng);
        if (mask[x] == 0 || (where >> 12 & ABSORB_MASK) == 0)
            update_pixel(m, x, y, r, where);
        x += 1 + (int)(r >> 16 & SKIP_MASK);
    }
    m->rng = rng;
}

static void update_means(fm_motion *m, const uint8_t *mask)
{
    uint16_t *mean = m->mean;
    for (int y = 0; y < m->h; y += GRID) {
        const uint8_t *cur = m->cur + (size_t)y * (size_t)m->w;
        for (int x = 0; x < m->w; x += GRID, mean++) {
            int now = cur[x] << 8;
            if (m->seen == 0)
                *mean = (uint16_t)now;
            else if (mask == NULL || mask[(size_t)y * m->stride + (size_t)x] == 0)
                *mean = (uint16_t)(*mean + (now - *mean) / (1 << MEAN_SHIFT));
        }
    }
}

// Median of the difference between picture and running mean over the grid, in grey levels.
static int light_change(const fm_motion *m)
{
    uint32_t histogram[511] = {0};
    const uint16_t *mean = m->mean;
    for (int y = 0; y < m->h; y += GRID) {
        const uint8_t *cur = m->cur + (size_t)y * (size_t)m->w;
        for (int x = 0; x < m->w; x += GRID)
            histogram[255 + cur[x] - (*mean++ >> 8)]++;
    }
    uint32_t half = (uint32_t)m->grid_w * (uint32_t)m->grid_h / 2, below = 0;
    int level = 0;
    while ((below += histogram[level]) <= half)
        level++;
    return level - 255;
}

static int clamp_int(int v, int max)
{
    return v < 0 ? 0 : v > max ? max : v;
}

static void shift_model(fm_motion *m, int levels)
{
    for (size_t i = 0; i < m->plane * FM_MOTION_SAMPLES; i++)
        m->samples[i] = (uint8_t)clamp_int(m->samples[i] + levels, 255);
    for (size_t i = 0; i < (size_t)m->grid_w * (size_t)m->grid_h; i++)
        m->mean[i] = (uint16_t)clamp_int(m->mean[i] + levels * 256, UINT16_MAX);
}

static void learn(fm_motion *m)
{
    size_t w = (size_t)m->w;
    for (size_t y = 0; y < (size_t)m->h; y++)
        memcpy(m->samples + (y * FM_MOTION_SAMPLES + m->seen) * w, m->cur + y * w, w);
    update_means(m, NULL);
    m->seen++;
}

// A change of the whole scene: objects come into a picture by and by, a switched light or a cut does not.
static bool is_flood(const fm_motion *m, size_t moving)
{
    double plane = (double)m->plane, share = (double)moving / plane,
           rise = share - (double)m->last_moving / plane;
    return share > FLOOD_SHARE || (share > SUDDEN_SHARE && (m->flooded > 0 || rise > SUDDEN_RISE));
}

// One frame of a model that has learnt; returns the number of boxes.
static size_t detect(fm_motion *m, fm_det *dets, size_t cap)
{
    int levels = light_change(m);
    if (levels >= LIGHT_LEVELS || levels <= -LIGHT_LEVELS)
        shift_model(m, levels);
    const uint8_t *mask = find_moving(m);
    size_t moving = 0;
    size_t count = fm__motion_boxes(m, mask, dets, cap, &moving);
    bool flood = is_flood(m, moving);
    m->flooded = flood ? m->flooded + 1 : 0;
    m->last_moving = (uint32_t)moving;
    if (flood) {
        if (m->flooded == FLOOD_FRAMES)
            m->seen = m->flooded = m->last_moving = 0;
        return 0;
    }
    for (int y = 0; y < m->h; y++)
        update_row(m, y, mask + (size_t)y * m->stride);
    update_means(m, mask);
    return count;
}

fm_status fm__motion_run(
    fm_motion *motion, const fm_frame_view *view, fm_det *dets, size_t cap, size_t *count, fm_error *err)
{
    fm_motion *m = motion;
    if (view->width != m->src_w || view->height != m->src_h || view->format != m->format) {
        fm_status status = fm__motion_configure(m, view->width, view->height, view->format, err);
        if (status != FM_OK)
            return status;
    }
    shrink(m, view);
    size_t found = 0;
    if (m->seen < FM_MOTION_LEARN)
        learn(m);
    else
        found = detect(m, dets, cap < m->opts.max_dets ? cap : m->opts.max_dets);
    *count = found;
    return FM_OK;
}
