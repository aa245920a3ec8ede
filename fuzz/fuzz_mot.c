// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// track/mot_text.h and track/eval.h: any bytes as MOT text. What is accepted is in order, and evaluated: the
// part before a line "#" is ground truth, the rest a result, the first byte chooses rules and format.

#include "fuzz.h"
#include "track/eval.h"

#include <math.h>
#include <string.h>

static bool parse(const char *text, size_t len, fm_mot *out)
{
    fm_error err = {0};
    fm_status st = fm__mot_parse(text, len, "fuzz", out, &err);
    FUZZ_CHECK(st == FM_OK || (err.msg[0] != 0 && strchr(err.msg, '\n') == NULL));
    return st == FM_OK;
}

static void check_rows(const fm_mot *m)
{
    size_t at = 0;
    for (size_t i = 0; i < m->frame_count; i++) {
        size_t n = 0;
        FUZZ_CHECK(i == 0 || m->frames[i].frame > m->frames[i - 1].frame);
        FUZZ_CHECK(m->frames[i].first == at && m->frames[i].count >= 1);
        FUZZ_CHECK(fm__mot_rows_of(m, m->frames[i].frame, &n) == &m->rows[at] && n == m->frames[i].count);
        at += n;
    }
    FUZZ_CHECK(at == m->count);
    for (size_t i = 0; i < m->count; i++) {
        const fm_mot_row *r = &m->rows[i];
        FUZZ_CHECK(r->frame >= 1 && r->frame <= FM_MOT_MAX_FRAME && r->line >= 1);
        FUZZ_CHECK(isfinite(r->x) && isfinite(r->y) && r->w >= 0 && r->h >= 0 && isfinite(r->w + r->h));
        FUZZ_CHECK(isfinite(r->score) && r->columns >= 7 && r->columns <= 10);
        FUZZ_CHECK(i == 0 || r->frame != r[-1].frame || r->line > r[-1].line);
    }
}

static void check_metrics(const fm_eval_sums *s)
{
    fm_eval_metrics m;
    fm__eval_metrics(s, &m);
    const double rates[] = {
        m.motp, m.recall, m.precision, m.idf1, m.idp, m.idr, m.hota, m.deta, m.assa, m.loca};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        FUZZ_CHECK(rates[i] >= 0 && rates[i] <= 1 + 1e-9);
    FUZZ_CHECK(m.mota <= 1);
    FUZZ_CHECK(m.tp + m.fn == m.gt_boxes && m.tp + m.fp == m.boxes);
    FUZZ_CHECK(m.idtp + m.idfn == m.gt_boxes && m.idtp + m.idfp == m.boxes && m.idtp >= 0);
    FUZZ_CHECK(m.mt + m.pt + m.ml == m.gt_tracks);
    FUZZ_CHECK(m.switches <= m.tp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    const char *mark = memmem(text, len, "\n#\n", 3);
    size_t split = mark ? (size_t)(mark - text) + 1 : len, after = mark ? split + 2 : len;
    fm_mot gt = {0}, result = {0};
    bool gt_is_good = parse(text, split, &gt), result_is_good = parse(text + after, len - after, &result);
    if (gt_is_good && result_is_good) {
        fm_track_eval_opts opts = {.iou = 0.5, .rules = data[0] & 1, .format = (data[0] >> 1) & 3};
        fm_eval_sums sums;
        fm_error err = {0};
        check_rows(&gt);
        check_rows(&result);
        if (fm__eval_sequence(&gt, "gt", &result, "result", &opts, &sums, &err) == FM_OK)
            check_metrics(&sums);
        else
            FUZZ_CHECK(err.msg[0] != 0);
    }
    fm__mot_done(&gt);
    fm__mot_done(&result);
    return 0;
}
