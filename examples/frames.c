// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames of one's own: raw B, G, R frames from standard input, what is seen in them on standard output, as
// JSON Lines. Pixels are not copied.
//   from the build:  cc examples/frames.c -Iinclude -Lbuild/src -lframemill -Wl,-rpath,$PWD/build/src -o
//   frames ffmpeg -v error -i street.mp4 -f rawvideo -pix_fmt bgr24 - | ./frames SHARE_DIR MODELS_DIR
//   DETECTOR 768 576

#include <framemill/framemill.h>

#include <stdio.h>
#include <stdlib.h>

static int process(fm_processor *processor, const fm_frame_view *view, fm_error *err)
{
    size_t size = (size_t)view->stride[0] * (size_t)view->height;
    while (fread((void *)(uintptr_t)view->plane[0], 1, size, stdin) == size) {
        fm_result *result = NULL;
        char *line = NULL;
        if (fm_processor_run(processor, 0, view, 1, &result, err) != FM_OK ||
            fm_result_json(result, &line, err) != FM_OK) {
            fm_result_free(&result);
            return 1;
        }
        fputs(line, stdout);
        fm_free(line);
        fm_result_free(&result);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: frames SHARE_DIR MODELS_DIR DETECTOR WIDTH HEIGHT < frames.bgr\n");
        return 2;
    }
    fm_frame_view view = {.width = atoi(argv[4]), .height = atoi(argv[5]), .format = FM_PIXFMT_BGR24};
    view.stride[0] = 3 * view.width;
    uint8_t *pixels =
        view.width > 0 && view.height > 0 ? calloc((size_t)view.stride[0], (size_t)view.height) : NULL;
    view.plane[0] = pixels;

    fm_model_store_opts store = FM_MODEL_STORE_OPTS_INIT;
    store.share_dir = argv[1];
    store.models_dir = argv[2];
    fm_run_opts opts = FM_RUN_OPTS_INIT; // a tracker, a segmenter, ... as for a run
    opts.store = &store;
    opts.detector = argv[3];

    fm_error err = {0};
    fm_processor *processor = NULL;
    int failed = fm_processor_new(&opts, &processor, &err) != FM_OK || process(processor, &view, &err);
    if (failed) {
        fprintf(stderr, "%s\n", err.msg);
    }
    fm_processor_free(&processor);
    free(pixels);
    return failed;
}
