// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The one file that knows FAISS. No exception leaves it: each call ends in a status. Written for
// Debian's 1.7.3.

#include "search/faiss.h"

#include <faiss/Index.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <vector>

extern "C" void omp_set_num_threads(int); // of the OpenMP that FAISS was built with; omp.h may be another's

struct fm__faiss {
    fm__faiss_opts opts;
    std::unique_ptr<faiss::Index> coarse; // IVF: what tells the lists apart
    std::unique_ptr<faiss::Index> index;
    std::vector<int64_t> ids; // of FAISS's numbers
};

static fm_status fail(fm_error *err, fm_status status, const char *what) noexcept
{
    if (err) {
        err->status = status;
        err->native = 0;
        std::snprintf(err->msg, sizeof(err->msg), "FAISS: %s", what);
        for (char *c = err->msg; *c; c++) {
            *c = static_cast<unsigned char>(*c) < ' ' ? ' ' : *c; // its messages have line ends
        }
    }
    return status;
}

// Runs what may throw.
template <typename Body> static fm_status guarded(fm_error *err, Body body) noexcept
{
    try {
        body();
        return FM_OK;
    } catch (const std::bad_alloc &) {
        return fail(err, FM_NOMEM, "out of memory");
    } catch (const std::exception &e) {
        return fail(err, FM_INTERNAL, e.what());
    } catch (...) {
        return fail(err, FM_INTERNAL, "an unknown exception");
    }
}

static int or_default(int value, int fallback)
{
    return value > 0 ? value : fallback;
}

static std::unique_ptr<faiss::Index> make(const fm__faiss_opts &o)
{
    if (o.kind == FM_FAISS_HNSW) {
        auto hnsw = std::make_unique<faiss::IndexHNSWFlat>(o.dim, or_default(o.links, 32));
        hnsw->hnsw.efConstruction = or_default(o.build_effort, 80);
        hnsw->hnsw.efSearch = or_default(o.search_effort, 64);
        return hnsw;
    }
    return std::make_unique<faiss::IndexFlatL2>(o.dim);
}

// The lists are learnt from what comes first.
static void learn_lists(fm__faiss *f, const float *vectors, size_t n)
{
    int most = static_cast<int>(n / 39); // FAISS wants 39 vectors a list to learn from
    int lists = or_default(f->opts.lists, static_cast<int>(4 * std::sqrt(static_cast<double>(n))));
    lists = std::max(1, std::min(lists, most));
    f->coarse = std::make_unique<faiss::IndexFlatL2>(f->opts.dim);
    auto ivf = std::make_unique<faiss::IndexIVFFlat>(f->coarse.get(), f->opts.dim, lists);
    ivf->nprobe = std::min<size_t>(lists, or_default(f->opts.search_effort, 16));
    ivf->train(static_cast<faiss::Index::idx_t>(n), vectors);
    f->index = std::move(ivf);
}

static void use_threads(const fm__faiss *f)
{
    if (f->opts.threads > 0) {
        omp_set_num_threads(f->opts.threads); // of the calling thread only
    }
}

extern "C" const char *fm__faiss_version(void)
{
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
    return TEXT(FAISS_VERSION_MAJOR) "." TEXT(FAISS_VERSION_MINOR) "." TEXT(FAISS_VERSION_PATCH);
}

extern "C" fm_status fm__faiss_new(const fm__faiss_opts *opts, fm__faiss **out, fm_error *err)
{
    if (opts->dim < 1) {
        return fail(err, FM_INVAL, "the dimension must be at least 1");
    }
    return guarded(err, [&] {
        auto f = std::make_unique<fm__faiss>();
        f->opts = *opts;
        if (opts->kind != FM_FAISS_IVF) {
            f->index = make(*opts);
        }
        *out = f.release();
    });
}

extern "C" void fm__faiss_free(fm__faiss **index)
{
    if (index) {
        delete *index;
        *index = nullptr;
    }
}

extern "C" fm_status fm__faiss_add(
    fm__faiss *f, const int64_t *ids, const float *vectors, size_t n, fm_error *err)
{
    return guarded(err, [&] {
        if (n == 0) {
            return;
        }
        use_threads(f);
        if (!f->index) {
            learn_lists(f, vectors, n);
        }
        f->ids.reserve(f->ids.size() + n); // so that nothing throws between the two
        f->index->add(static_cast<faiss::Index::idx_t>(n), vectors);
        f->ids.insert(f->ids.end(), ids, ids + n);
    });
}

extern "C" size_t fm__faiss_count(const fm__faiss *f)
{
    return f->ids.size();
}

extern "C" void fm__faiss_set_effort(fm__faiss *f, int effort)
{
    if (auto *hnsw = dynamic_cast<faiss::IndexHNSW *>(f->index.get())) {
        hnsw->hnsw.efSearch = effort;
    } else if (auto *ivf = dynamic_cast<faiss::IndexIVF *>(f->index.get())) {
        ivf->nprobe = std::min<size_t>(ivf->nlist, static_cast<size_t>(effort));
    }
}

// A graph finds at most as many as it keeps on its way, so its effort grows with k.
static void search_index(
    const fm__faiss *f, const float *queries, size_t nq, size_t k, int64_t *ids, float *distances)
{
    auto count = static_cast<faiss::Index::idx_t>(nq), most = static_cast<faiss::Index::idx_t>(k);
    auto *hnsw = dynamic_cast<const faiss::IndexHNSW *>(f->index.get());
    if (!hnsw) {
        f->index->search(count, queries, most, distances, ids);
        return;
    }
    faiss::SearchParametersHNSW effort;
    effort.efSearch = std::max(hnsw->hnsw.efSearch, static_cast<int>(2 * k));
    hnsw->search(count, queries, most, distances, ids, &effort);
}

extern "C" fm_status fm__faiss_search(
    fm__faiss *f, const float *queries, size_t nq, size_t k, int64_t *ids, float *distances, fm_error *err)
{
    std::fill(ids, ids + nq * k, -1);
    if (f->ids.empty() || nq == 0 || k == 0) {
        return FM_OK;
    }
    return guarded(err, [&] {
        use_threads(f);
        search_index(f, queries, nq, k, ids, distances);
        for (size_t i = 0; i < nq * k; i++) {
            ids[i] = ids[i] < 0 ? -1 : f->ids[static_cast<size_t>(ids[i])];
        }
    });
}
