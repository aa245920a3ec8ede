// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A build without FAISS: the exact scan serves every search.

#include "base/error.h"
#include "search/faiss.h"

const char *fm__faiss_version(void)
{
    return "";
}

static fm_status unsupported(fm_error *err)
{
    return fm__fail(err, FM_UNSUPPORTED, "this build has no FAISS; install libfaiss-dev and build again");
}

fm_status fm__faiss_new(const fm__faiss_opts *opts, fm__faiss **out, fm_error *err)
{
    (void)opts;
    (void)out;
    return unsupported(err);
}

void fm__faiss_free(fm__faiss **index)
{
    if (index) {
        *index = NULL;
    }
}

fm_status fm__faiss_add(fm__faiss *index, const int64_t *ids, const float *vectors, size_t n, fm_error *err)
{
    (void)index;
    (void)ids;
    (void)vectors;
    (void)n;
    return unsupported(err);
}

void fm__faiss_set_effort(fm__faiss *index, int effort)
{
    (void)index;
    (void)effort;
}

size_t fm__faiss_count(const fm__faiss *index)
{
    (void)index;
    return 0;
}

fm_status fm__faiss_search(fm__faiss *index, const float *queries, size_t nq, size_t k, int64_t *ids,
    float *distances, fm_error *err)
{
    (void)index;
    (void)queries;
    (void)nq;
    (void)k;
    (void)ids;
    (void)distances;
    return unsupported(err);
}
