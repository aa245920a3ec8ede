// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Saving and loading a background model, so that a stream can be taken up elsewhere. Little-endian:
//   "FMMOTION"
//   u32  version 1, work_width, source width, height, pixel format, frames learnt from, flooded frames,
//        moving pixels of the last frame, random state
//   u8   samples [h][20][w], u16 running means [grid h][grid w]; left out before the first frame
//   u64  FNV-1a of all bytes before it
// Sizes follow from the header by the same function that lays a fresh model out and must give the length to
// the byte before anything is allocated. The sum is against damage, not against forgery: every value it lets
// through is also checked, and no content of the planes can do more than give wrong boxes.

#include "base/bytes.h"
#include "base/error.h"
#include "heads/motion_int.h"

#include <string.h>

#define MAGIC "FMMOTION"
#define VERSION 1u
#define MAX_FLOODED 16u // more than a model can have counted

enum { MAGIC_SIZE = 8, FIELDS = 9, HEADER_SIZE = MAGIC_SIZE + FIELDS * 4, SUM_SIZE = 8 };
enum { AT_VERSION, AT_WORK_WIDTH, AT_SRC_W, AT_SRC_H, AT_FORMAT, AT_SEEN, AT_FLOODED, AT_MOVING, AT_RNG };

static uint64_t fnv1a(const uint8_t *p, size_t len)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static size_t means_count(const fm_motion *m)
{
    return (size_t)m->grid_w * (size_t)m->grid_h;
}

static size_t state_size(const fm_motion *m)
{
    size_t planes = m->src_w == 0 ? 0 : m->plane * FM_MOTION_SAMPLES + means_count(m) * 2;
    return HEADER_SIZE + planes + SUM_SIZE;
}

size_t fm__motion_save(const fm_motion *motion, void *data, size_t cap)
{
    const fm_motion *m = motion;
    size_t size = state_size(m);
    if (cap < size || data == NULL)
        return size;
    uint8_t *p = data;
    const uint32_t fields[FIELDS] = {VERSION, (uint32_t)m->opts.work_width, (uint32_t)m->src_w,
        (uint32_t)m->src_h, (uint32_t)m->format, m->seen, m->flooded, m->last_moving, m->rng};
    memcpy(p, MAGIC, MAGIC_SIZE);
    for (int i = 0; i < FIELDS; i++)
        fm__put_le(p + MAGIC_SIZE + 4 * i, fields[i], 4);
    uint8_t *at = p + HEADER_SIZE;
    if (m->src_w != 0) {
        memcpy(at, m->samples, m->plane * FM_MOTION_SAMPLES);
        at += m->plane * FM_MOTION_SAMPLES;
        for (size_t i = 0; i < means_count(m); i++, at += 2)
            fm__put_le(at, m->mean[i], 2);
    }
    fm__put_le(at, fnv1a(p, size - SUM_SIZE), SUM_SIZE);
    return size;
}

static fm_status read_header(const uint8_t *p, size_t len, uint32_t *fields, fm_error *err)
{
    if (len < HEADER_SIZE + SUM_SIZE || memcmp(p, MAGIC, MAGIC_SIZE) != 0)
        return fm__fail(err, FM_FORMAT, "motion state: %zu bytes that are no saved background model", len);
    for (int i = 0; i < FIELDS; i++)
        fields[i] = (uint32_t)fm__get_le(p + MAGIC_SIZE + 4 * i, 4);
    if (fields[AT_VERSION] != VERSION)
        return fm__fail(err, FM_UNSUPPORTED,
            "motion state: version %u, this framemill reads %u; let the background be learnt anew",
            fields[AT_VERSION], VERSION);
    if (fm__get_le(p + len - SUM_SIZE, SUM_SIZE) != fnv1a(p, len - SUM_SIZE))
        return fm__fail(err, FM_FORMAT,
            "motion state: damaged, its check sum is wrong; let the background be learnt anew");
    return FM_OK;
}

static bool fields_are_sane(const uint32_t *f)
{
    if (f[AT_SRC_W] == 0)
        return f[AT_SRC_H] == 0 && f[AT_FORMAT] == 0 && f[AT_SEEN] == 0 && f[AT_FLOODED] == 0;
    return f[AT_SRC_W] <= FM_MOTION_MAX_SIDE && f[AT_SRC_H] >= 1 && f[AT_SRC_H] <= FM_MOTION_MAX_SIDE &&
           f[AT_FORMAT] > FM_PIXFMT_NONE && f[AT_FORMAT] < FM_PIXFMT_COUNT && f[AT_SEEN] <= FM_MOTION_LEARN &&
           f[AT_FLOODED] <= MAX_FLOODED && f[AT_RNG] != 0;
}

static void read_planes(fm_motion *m, const uint8_t *at)
{
    memcpy(m->samples, at, m->plane * FM_MOTION_SAMPLES);
    at += m->plane * FM_MOTION_SAMPLES;
    for (size_t i = 0; i < means_count(m); i++, at += 2)
        m->mean[i] = (uint16_t)fm__get_le(at, 2);
}

fm_status fm__motion_load(fm_motion *motion, const void *data, size_t len, fm_error *err)
{
    uint32_t f[FIELDS];
    fm_status status = read_header(data, len, f, err);
    if (status != FM_OK)
        return status;
    if (!fields_are_sane(f))
        return fm__fail(err, FM_FORMAT, "motion state: a %u x %u picture of format %u is impossible",
            f[AT_SRC_W], f[AT_SRC_H], f[AT_FORMAT]);
    if (f[AT_WORK_WIDTH] != (uint32_t)motion->opts.work_width)
        return fm__fail(err, FM_INVAL, "motion state: saved with work_width %u, this detector has %d",
            f[AT_WORK_WIDTH], motion->opts.work_width);
    fm_motion sized = {.opts = motion->opts};
    if (f[AT_SRC_W] != 0)
        fm__motion_set_geometry(&sized, (int)f[AT_SRC_W], (int)f[AT_SRC_H], (fm_pixfmt)f[AT_FORMAT]);
    if (state_size(&sized) != len)
        return fm__fail(err, FM_FORMAT, "motion state: %zu bytes, a %u x %u picture needs %zu", len,
            f[AT_SRC_W], f[AT_SRC_H], state_size(&sized));
    if (f[AT_SRC_W] == 0) {
        fm__motion_reset(motion);
        return FM_OK;
    }
    status = fm__motion_configure(motion, sized.src_w, sized.src_h, sized.format, err);
    if (status != FM_OK)
        return status;
    read_planes(motion, (const uint8_t *)data + HEADER_SIZE);
    motion->seen = f[AT_SEEN];
    motion->flooded = f[AT_FLOODED];
    motion->last_moving = f[AT_MOVING];
    motion->rng = f[AT_RNG];
    return FM_OK;
}
