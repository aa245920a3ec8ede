// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Mending of presentation times. Containers bring times that are missing, repeat, run backwards (a recorder's
// clock was set, a transport stream wrapped) or jump hours ahead. The rule: out = in + offset as long as that
// goes forward by no more than a believable gap; a time that does not fit is replaced by one step after the
// last, and remembered. If the next time follows the remembered one, the clock was set: the offset moves. If
// it fits the old offset, it was one bad time and nothing moves. A long gap is believable, and so variable
// frame rate is told apart from a jump, when the frame before it lasts that long, when the container's header
// says the stream is that long, or, for live sources, when as much time passed here.

#include "media/internal.h"

#include "base/clock.h"

// Longer gaps than this are jumps unless something vouches for them.
#define JUMP_NS (10 * FM_NS_PER_S)
// Nothing beyond this (146 years) can be added to without care; such times are treated as missing.
#define SANE_NS (INT64_MAX / 2)

static bool add(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_add_overflow(a, b, out) && *out<SANE_NS && * out> - SANE_NS;
}

static int64_t passed_here(const fm_pts_mender *m, int64_t arrival_ns)
{
    bool known = arrival_ns != FM_PTS_NONE && m->last_arrival != FM_PTS_NONE;
    return known && arrival_ns > m->last_arrival ? arrival_ns - m->last_arrival : 0;
}

static bool fits(const fm_pts_mender *m, int64_t candidate, int64_t arrival_ns)
{
    if (candidate <= m->last_out) {
        return false;
    }
    int64_t gap = candidate - m->last_out;
    return gap <= JUMP_NS + passed_here(m, arrival_ns) || candidate <= m->last_end + JUMP_NS ||
           candidate <= m->end_ns;
}

// One step on. A repeated time or a slightly early one gets half a step, so that the good time after it still
// lies ahead.
static int64_t step_on(const fm_pts_mender *m, int64_t back_by, int64_t arrival_ns)
{
    int64_t step = back_by >= 0 && back_by < m->step_ns ? m->step_ns / 2 : m->step_ns;
    int64_t here = passed_here(m, arrival_ns);
    step = step > here ? step : here;
    return m->last_out + (step > 0 ? step : 1);
}

static int64_t mend_misfit(fm_pts_mender *m, int64_t in_ns, int64_t candidate, int64_t arrival_ns)
{
    int64_t ahead = 0, out = 0;
    if (m->has_alt && add(in_ns, -m->alt_in, &ahead) && ahead > 0 && ahead <= JUMP_NS &&
        add(m->alt_out, ahead, &out) && out > m->last_out) {
        m->offset = out - in_ns;
        m->has_alt = false;
        return out;
    }
    m->mended++;
    out = step_on(m, candidate <= m->last_out ? m->last_out - candidate : -1, arrival_ns);
    m->has_alt = true;
    m->alt_in = in_ns;
    m->alt_out = out;
    return out;
}

static int64_t next_time(fm_pts_mender *m, int64_t in_ns, int64_t arrival_ns)
{
    int64_t candidate = 0;
    if (in_ns == FM_PTS_NONE || in_ns <= -SANE_NS || in_ns >= SANE_NS) {
        m->mended++;
        return step_on(m, -1, arrival_ns);
    }
    if (!m->has_base) { // the stream began without times
        int64_t out = step_on(m, -1, arrival_ns);
        m->has_base = true;
        m->offset = out - in_ns;
        return out;
    }
    if (add(in_ns, m->offset, &candidate) && fits(m, candidate, arrival_ns)) {
        m->has_alt = false;
        return candidate;
    }
    return mend_misfit(m, in_ns, candidate, arrival_ns);
}

static int64_t first_time(fm_pts_mender *m, int64_t in_ns)
{
    m->started = true;
    m->has_base = in_ns != FM_PTS_NONE && in_ns > -SANE_NS && in_ns < SANE_NS;
    m->offset = m->has_base ? -in_ns : 0;
    m->mended += !m->has_base;
    return 0;
}

int64_t fm__pts_mend(fm_pts_mender *m, int64_t in_ns, int64_t duration_ns, int64_t arrival_ns)
{
    int64_t out = m->started ? next_time(m, in_ns, arrival_ns) : first_time(m, in_ns);
    m->last_out = out;
    m->last_arrival = arrival_ns;
    if (duration_ns < 0 || !add(out, duration_ns, &m->last_end)) {
        m->last_end = out;
    }
    return out;
}
