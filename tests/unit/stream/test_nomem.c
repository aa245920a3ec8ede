// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Every allocation of ours fails once, in turn, while a stream is opened, read and written again: the answer
// is NOMEM (or the work is done, where the allocation was a convenience), nothing leaks (the leak check of
// the run tells) and the next try works.

#include "../media/clip.h"

#include "base/alloc.h"
#include "image/image.h"
#include "media/encode.h"
#include "stream/stream.h"

// Reads two frames and writes them.
static fm_status work(const char *url, const char *out_path, fm_error *err)
{
    fm_stream *s = NULL;
    fm_encoder *e = NULL;
    fm_source_opts opts = {.url = url};
    fm_status st = fm__stream_open(&opts, &s, err);
    for (int i = 0; st == FM_OK && i < 2; i++) {
        fm_frame *f = NULL;
        st = fm__stream_read(s, &f, err);
        if (st == FM_OK && !e) {
            fm_encoder_opts enc = {.path = out_path, .width = f->view.width, .height = f->view.height};
            st = fm__encoder_open(&enc, &e, err);
        }
        st = st == FM_OK ? fm__encoder_write(e, f, err) : st;
        fm_frame_unref(&f);
    }
    fm_error late;
    fm_status closed = fm__encoder_close(&e, &late);
    fm__stream_close(&s);
    return st == FM_OK || st == FM_EOF ? closed : st;
}

static void every_failed_allocation_is_reported_and_survived(void **state)
{
    char video[600], turned[600], picture[600], out[600];
    const clip plain = CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 4);
    const clip other = CLIP("mov", "png", AV_PIX_FMT_RGBA, 64, 48, 4, .degrees = 90);
    clip_write(&plain, in_folder(*state, "a.mp4", video, sizeof(video)));
    clip_write(&other, in_folder(*state, "b.mov", turned, sizeof(turned)));
    static const uint8_t bmp[] =
        "BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0\0\0\0\0\4\0\0\0"
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\x20\x30";
    write_file(in_folder(*state, "c.bmp", picture, sizeof(picture)), bmp, sizeof(bmp));
    const char *const urls[] = {video, turned, picture, *state, "testsrc:64x64,frames=2"};
    in_folder(*state, "out.mp4", out, sizeof(out));
    for (size_t u = 0; u < sizeof(urls) / sizeof(*urls); u++) {
        fm_error err = {.msg = ""};
        assert_status(FM_OK, work(urls[u], out, &err), &err);
        uint64_t before = fm__alloc_count();
        assert_status(FM_OK, work(urls[u], out, &err), &err);
        uint64_t count = fm__alloc_count() - before;
        assert_true(count > 3);
        int failures = 0;
        for (uint64_t nth = 1; nth <= count; nth++) {
            fm__alloc_fail_at(nth, false);
            fm_status st = work(urls[u], out, &err);
            fm__alloc_fail_at(0, false);
            if (st != FM_OK && st != FM_NOMEM) {
                fail_msg("%s, allocation %d: got %s: %s", urls[u], (int)nth, fm_status_name(st), err.msg);
            }
            failures += st == FM_NOMEM;
        }
        assert_true(failures > 2);
        assert_status(FM_OK, work(urls[u], out, &err), &err);
    }
}

int main(void)
{
    char *folder = temp_folder();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_failed_allocation_is_reported_and_survived, folder),
    };
    fm_error err;
    int ret = fm__image_init(&err) == FM_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    fm__image_shutdown();
    remove_folder(folder);
    return ret;
}
