// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The library in one page: counts the objects of every class in the inputs named on the command line.
//   installed:       cc detect.c -lframemill -o detect
//   from the build:  cc examples/detect.c -Iinclude -Lbuild/src -lframemill -Wl,-rpath,$PWD/build/src -o
//   detect
//   ./detect SHARE_DIR MODELS_DIR DETECTOR INPUT...   (SHARE_DIR and MODELS_DIR as framemill doctor shows
//   them)

#include <framemill/framemill.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

// Called from threads of the library, one call at a time for each stream; the result is borrowed for the
// call.
static void on_result(const fm_result *result, void *opaque)
{
    (void)opaque;
    if (result->det_count) {
        const fm_det *best = &result->dets[0];
        printf("%s frame %" PRIu64 ": %zu objects, surest %s at %.0f,%.0f\n", result->stream, result->frame,
            result->det_count, result->labels[best->class_id], best->box.x0, best->box.y0);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: detect SHARE_DIR MODELS_DIR DETECTOR INPUT...\n");
        return 2;
    }
    fm_stream_opts *streams = calloc((size_t)argc, sizeof(*streams));
    for (int i = 4; streams && i < argc; i++) {
        streams[i - 4].url = argv[i];
    }
    fm_model_store_opts store = FM_MODEL_STORE_OPTS_INIT;
    store.share_dir = argv[1];
    store.models_dir = argv[2];
    fm_run_opts opts = FM_RUN_OPTS_INIT;
    opts.store = &store;
    opts.detector = argv[3];
    opts.streams = streams;
    opts.stream_count = (size_t)argc - 4;
    opts.on_result = on_result;

    fm_error err = {0};
    fm_run *run = NULL;
    fm_status status = fm_run_new(&opts, &run, &err);
    if (status == FM_OK) {
        status = fm_run_start(run, &err);
    }
    if (status == FM_OK) {
        (void)fm_run_wait(run, -1); // without a limit it returns when the run has ended
    } else {
        fprintf(stderr, "%s\n", err.msg);
    }
    // A stream that failed ended alone; the others went on.
    int failed = 0;
    for (size_t i = 0; status == FM_OK && i < fm_run_stream_count(run); i++) {
        fm_stream_report stream;
        if (fm_run_stream_report(run, i, &stream) == FM_OK && stream.error) {
            fprintf(stderr, "%s: %s\n", stream.name, stream.error);
            failed++;
        }
    }
    uint64_t count;
    const char *label;
    for (size_t id = 0; status == FM_OK && (label = fm_run_class_count(run, id, &count)); id++) {
        if (count) {
            printf("%8" PRIu64 " %s\n", count, label);
        }
    }
    fm_run_free(&run);
    free(streams);
    return status == FM_OK && failed == 0 ? 0 : 1;
}
