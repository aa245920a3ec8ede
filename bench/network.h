// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A network alone, driven as a run drives it: through the same backend with the same batches and slots, all
 * slots kept busy. For measuring programs: whatever fails ends the process. */
#ifndef FM_BENCH_NETWORK_H
#define FM_BENCH_NETWORK_H

#include "media/decode.h"
#include "models/model.h"

#define FM_BENCH_MAX_SLOTS 64

_Noreturn void fm_bench_die(const char *what, const fm_error *err);
fm_model_store *fm_bench_store(const char *share_dir, const char *models_dir);
fm_model *fm_bench_load(const fm_model_store *store, const fm_model_load_opts *opts);
fm_decoder *fm_bench_decoder(const char *input, int threads);
/** Seconds that a model takes for so many rows, warm. They are frames of a video, letterboxed before the
 * clock starts, or noise where input is NULL. */
double fm_bench_time(const fm_model *model, const char *input, uint64_t rows);

#endif
