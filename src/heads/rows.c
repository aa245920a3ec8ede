// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Decoding of outputs with one candidate a row and an objectness. Class scores are at most 1, so a row whose
// objectness alone is under the threshold is passed over after one load: a scan over 25,200 rows reads one
// cache line of each, and the class search (SIMD) runs for the few that are left. That bound holds only where
// the class scores are what they claim to be; a score above 1 in a broken output can at worst lose a
// candidate.

#include "heads/rows.h"
#include "heads/kernels.h"

enum { ROW_OBJECTNESS = 4, ROW_CLASSES = 5 };

fm_status fm__rows_configure(fm_head *head, const fm_tensor *out, fm_error *err)
{
    fm_status status = fm__head_set_classes(head, out->dims[2] - ROW_CLASSES - head->coefs, out, err);
    if (status == FM_OK)
        head->anchors = out->dims[1];
    return status;
}

fm_status fm__rows_check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    fm_status status = fm__head_check_output(head, outs, n, FM_ROWS_LAYOUT, err);
    return status == FM_OK ? fm__rows_configure(head, &outs[0], err) : status;
}

bool fm__rows_guess(const fm_tensor *out, int64_t anchors, int64_t coefs)
{
    return out->rank == 3 && out->dims[1] == anchors && anchors > 0 && out->dims[2] > ROW_CLASSES + coefs;
}

const float *fm__rows_coefs(const fm_head *head, const fm_tensor *out, int64_t row, uint32_t place)
{
    int64_t step = ROW_CLASSES + head->class_count + head->coefs;
    return (const float *)out->data + (row * head->anchors + place) * step + ROW_CLASSES + head->class_count;
}

size_t fm__rows_decode(const fm_head *head, const fm_tensor *out, int64_t row, const fm_head_query *q,
    fm_rows_box box, fm_det *cand)
{
    const fm_heads_kernels *k = fm__heads_kernels(q->level);
    int64_t step = ROW_CLASSES + head->class_count + head->coefs;
    const float *v = (const float *)out->data + row * head->anchors * step;
    float least = fm__head_raw_threshold(head, q->conf);
    size_t count = 0;

    for (int64_t a = 0; a < head->anchors; a++, v += step) {
        if (!(v[ROW_OBJECTNESS] >= least))
            continue;
        float best = k->row_max(v + ROW_CLASSES, (size_t)head->class_count);
        float score = fm__head_activate(head, v[ROW_OBJECTNESS]) * fm__head_activate(head, best);
        if (!(score >= q->conf))
            continue;
        int class_id = fm__head_index_of(v + ROW_CLASSES, head->class_count, 1, best);
        fm_center_box b = box != NULL ? box(head, a, v) : (fm_center_box){v[0], v[1], v[2], v[3]};
        count = fm__head_push(head, q, cand, count, b, score, class_id, a);
    }
    return count;
}
