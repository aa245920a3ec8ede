// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Decoding of outputs without an objectness. With channels first a candidate's scores lie A floats apart. The
// search therefore goes over blocks of candidates that stay in the first-level cache: per block the running
// maximum over all class rows (SIMD), then, only where it passes the threshold, the class that holds it. Of
// the two layouts the one with fewer channels than candidates is meant, unless the number of labels says
// otherwise.

#include "heads/columns.h"
#include "heads/kernels.h"

enum { BOX_CHANNELS = 4, BLOCK = 512 };

static int64_t channels(const fm_head *head)
{
    return BOX_CHANNELS + head->class_count + head->coefs;
}

static bool is_channels_first(const fm_head *head, const fm_tensor *out)
{
    return out->dims[1] == channels(head) && out->dims[2] == head->anchors;
}

fm_status fm__columns_configure(fm_head *head, const fm_tensor *out, fm_error *err)
{
    int64_t d1 = out->dims[1], d2 = out->dims[2];
    int64_t want = BOX_CHANNELS + (int64_t)head->opts.class_count + head->coefs;
    bool first = d1 <= d2;
    if (head->opts.class_count > 0 && d1 != d2 && (d1 == want || d2 == want))
        first = d1 == want;
    fm_status status = fm__head_set_classes(head, (first ? d1 : d2) - BOX_CHANNELS - head->coefs, out, err);
    if (status == FM_OK)
        head->anchors = first ? d2 : d1;
    return status;
}

bool fm__columns_guess(const fm_tensor *out, int64_t anchors, int64_t coefs)
{
    if (out->rank != 3 || anchors < 1)
        return false;
    return (out->dims[2] == anchors && out->dims[1] > BOX_CHANNELS + coefs) ||
           (out->dims[1] == anchors && out->dims[2] > BOX_CHANNELS + coefs);
}

static size_t decode_columns(const fm_head *head, const float *v, const fm_head_query *q, fm_det *cand)
{
    const fm_heads_kernels *k = fm__heads_kernels(q->level);
    float least = fm__head_raw_threshold(head, q->conf), best[BLOCK];
    int64_t A = head->anchors;
    size_t count = 0;

    for (int64_t start = 0; start < A; start += BLOCK) {
        int64_t len = A - start < BLOCK ? A - start : BLOCK;
        const float *scores = v + BOX_CHANNELS * A + start;
        k->col_max(scores, (size_t)A, (size_t)head->class_count, (size_t)len, best);
        for (int64_t i = 0; i < len; i++) {
            if (!(best[i] >= least))
                continue;
            const float *b = v + start + i;
            int class_id = fm__head_index_of(scores + i, head->class_count, A, best[i]);
            count = fm__head_push(head, q, cand, count, (fm_center_box){b[0], b[A], b[2 * A], b[3 * A]},
                fm__head_activate(head, best[i]), class_id, start + i);
        }
    }
    return count;
}

static size_t decode_rows(const fm_head *head, const float *v, const fm_head_query *q, fm_det *cand)
{
    const fm_heads_kernels *k = fm__heads_kernels(q->level);
    float least = fm__head_raw_threshold(head, q->conf);
    size_t count = 0;

    for (int64_t a = 0; a < head->anchors; a++, v += channels(head)) {
        float best = k->row_max(v + BOX_CHANNELS, (size_t)head->class_count);
        if (!(best >= least))
            continue;
        int class_id = fm__head_index_of(v + BOX_CHANNELS, head->class_count, 1, best);
        count = fm__head_push(head, q, cand, count, (fm_center_box){v[0], v[1], v[2], v[3]},
            fm__head_activate(head, best), class_id, a);
    }
    return count;
}

static const float *row_of(const fm_head *head, const fm_tensor *out, int64_t row)
{
    return (const float *)out->data + row * head->anchors * channels(head);
}

size_t fm__columns_decode(
    const fm_head *head, const fm_tensor *out, int64_t row, const fm_head_query *q, fm_det *cand)
{
    const float *v = row_of(head, out, row);
    return is_channels_first(head, out) ? decode_columns(head, v, q, cand) : decode_rows(head, v, q, cand);
}

const float *fm__columns_coefs(
    const fm_head *head, const fm_tensor *out, int64_t row, uint32_t place, int64_t *stride)
{
    const float *v = row_of(head, out, row);
    bool first = is_channels_first(head, out);
    int64_t behind = BOX_CHANNELS + head->class_count;
    *stride = first ? head->anchors : 1;
    return first ? v + behind * head->anchors + place : v + place * channels(head) + behind;
}
