// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A network of one's own: this one is a few lines of C that say how red, green and blue a frame is. Decoding,
// batches, preprocessing and the head are framemill's.
//   from the build:  cc examples/own_backend.c -Iinclude -Lbuild/src -lframemill -Wl,-rpath,$PWD/build/src -o
//   own
//   ./own INPUT

#include <framemill/framemill.h>

#include <inttypes.h>
#include <stdio.h>

enum { SIDE = 64, COLORS = 3 };

static fm_status describe(void *opaque, const char *model, fm_own_shape *shape, fm_error *err)
{
    (void)opaque;
    (void)model;
    (void)err;
    *shape = (fm_own_shape){.width = SIDE, .height = SIDE, .nhwc = true, .output_count = 1};
    shape->outputs[0].rank = 1;
    shape->outputs[0].dims[0] = COLORS;
    return FM_OK;
}

static fm_status open_net(void *opaque, const char *model, int slots, void **net, fm_error *err)
{
    (void)opaque;
    (void)model;
    (void)slots;
    (void)err;
    *net = NULL; // nothing to remember
    return FM_OK;
}

static fm_status run(void *net, const uint8_t *input, int rows, float *const *outputs, fm_error *err)
{
    (void)net;
    (void)err;
    for (int r = 0; r < rows; r++) {
        double sum[COLORS] = {0};
        for (int i = 0; i < SIDE * SIDE * COLORS; i++) {
            sum[i % COLORS] += input[r * SIDE * SIDE * COLORS + i];
        }
        for (int c = 0; c < COLORS; c++) { // the head makes probabilities of them
            outputs[0][r * COLORS + c] = (float)(sum[c] / (SIDE * SIDE) / 20);
        }
    }
    return FM_OK;
}

static void close_net(void *net)
{
    (void)net;
}

static void on_result(const fm_result *result, void *opaque)
{
    static const char *const names[] = {"red", "green", "blue"};
    (void)opaque;
    printf("frame %" PRIu64 ": %s (%.2f)\n", result->frame, names[result->classes[0].class_id],
        result->classes[0].score);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: own INPUT\n");
        return 2;
    }
    fm_own_backend own = FM_OWN_BACKEND_INIT;
    own.describe = describe;
    own.open = open_net;
    own.run = run;
    own.close = close_net;
    fm_stream_opts stream = {.url = argv[1]};
    fm_run_opts opts = FM_RUN_OPTS_INIT;
    opts.streams = &stream;
    opts.stream_count = 1;
    opts.detector = "none";
    opts.classifier = "own:colours";
    opts.own_backend = &own;
    opts.batch = 4;
    opts.on_result = on_result;

    fm_error err = {0};
    fm_run *handle = NULL;
    int failed = fm_run_new(&opts, &handle, &err) != FM_OK || fm_run_start(handle, &err) != FM_OK;
    if (failed) {
        fprintf(stderr, "%s\n", err.msg);
    } else {
        (void)fm_run_wait(handle, -1); // without a limit it returns when the run has ended
    }
    fm_stream_report report;
    if (!failed && fm_run_stream_report(handle, 0, &report) == FM_OK && report.error) {
        fprintf(stderr, "%s\n", report.error);
        failed = 1;
    }
    fm_run_free(&handle);
    return failed;
}
