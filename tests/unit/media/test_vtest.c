// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Real footage: vtest.avi of Debian's opencv-doc. Skipped where it is not installed.

#include "clip.h"

#include "base/alloc.h"
#include "media/decode.h"

#define VTEST "/usr/share/doc/opencv-doc/examples/data/vtest.avi"

static void has_795_frames_at_ten_a_second(void **state)
{
    (void)state;
    fm_error err;
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = VTEST, .threads = 2};
    assert_status(FM_OK, fm__decoder_open(&opts, &d, &err), &err);
    assert_int_equal(fm__decoder_info(d)->width, 768);
    assert_int_equal(fm__decoder_info(d)->frame_count, 795);
    fm_frame *f = NULL;
    fm_status st;
    int n = 0;
    uint64_t allocated = 0;
    while ((st = fm__decoder_read(d, &f, &err)) == FM_OK) {
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_int_equal(v->format, FM_PIXFMT_YUV420P);
        assert_int_equal(v->matrix, FM_MATRIX_BT601);
        assert_int_equal(fm_frame_pts_ns(f), n * 100000000LL);
        fm_frame_unref(&f);
        allocated = ++n == 5 ? fm__alloc_count() : allocated;
    }
    assert_status(FM_EOF, st, &err);
    assert_int_equal(n, 795);
    assert_int_equal(fm__alloc_count(), allocated);
    fm_decoder_stats stats;
    fm__decoder_stats(d, &stats);
    assert_int_equal(stats.converted + stats.decode_errors + stats.pts_mended + stats.format_changes, 0);
    fm__decoder_close(&d);
}

static void cut_in_the_middle_it_says_so(void **state)
{
    (void)state;
    char *folder = temp_folder(), path[600];
    fm_error err;
    cut_file(VTEST, in_folder(folder, "cut.avi", path, sizeof(path)), 40);
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = path, .threads = 1};
    assert_status(FM_OK, fm__decoder_open(&opts, &d, &err), &err);
    fm_frame *f = NULL;
    fm_status st;
    int n = 0;
    while ((st = fm__decoder_read(d, &f, &err)) == FM_OK) {
        n++;
        fm_frame_unref(&f);
    }
    assert_status(FM_FORMAT, st, &err);
    assert_non_null(strstr(err.msg, "cut short"));
    assert_true(n > 250 && n < 400);
    fm__decoder_close(&d);
    remove_folder(folder);
}

int main(void)
{
    if (access(VTEST, R_OK) != 0) {
        fprintf(stderr, "skipped: no %s (Debian package opencv-doc)\n", VTEST);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_795_frames_at_ten_a_second),
        cmocka_unit_test(cut_in_the_middle_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
