// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Class maps as pictures, read back with image/.

#include "frame/frame.h"
#include "image/image.h"
#include "sinks/sinks.h"

#include <fm_config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { W = 33, H = 21, STRIDE = 40 };

static void a_map_comes_back_from_its_picture(void **state)
{
    (void)state;
    if (!FM_HAVE_VIPS) {
        print_message("built without libvips\n");
        skip();
    }
    char dir[256], maps[300], path[320];
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/fm-maps-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(maps, sizeof maps, "%s/s.semantic", dir);
    static uint8_t ids[H][STRIDE];
    for (int i = 0; i < W * H; i++)
        ids[i / W][i % W] = (uint8_t)(i % 7 == 0 ? FM_CLASS_UNSEEN : i % 21);
    fm_class_map map = {.width = W, .height = H, .stride = STRIDE, .ids = ids[0]};
    fm_sink *s = NULL;
    fm_error err = {0};
    assert_int_equal(fm__sink_class_maps(maps, &s, &err), FM_OK);
    fm_result r = {.stream = "s", .frame = 7, .width = W, .height = H};
    assert_int_equal(s->cls->write(s, &r, NULL, &err), FM_OK); // no map, no folder
    assert_int_equal(access(maps, F_OK), -1);
    r.class_map = &map;
    if (s->cls->write(s, &r, NULL, &err) != FM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s->cls->close(s, &err), FM_OK);
    snprintf(path, sizeof path, "%s/00000007.png", maps);
    fm_frame_pool *pool = NULL;
    fm_frame *frame = NULL;
    assert_int_equal(fm__frame_pool_new(&pool, &err), FM_OK);
    if (fm__image_load(path, 0, pool, &frame, &err) != FM_OK)
        fail_msg("%s", err.msg);
    const fm_frame_view *view = fm_frame_get_view(frame);
    assert_int_equal(view->width, W);
    assert_int_equal(view->height, H);
    for (int i = 0; i < W * H; i++)
        assert_int_equal(
            view->plane[0][i / W * view->stride[0] + i % W * (view->format == FM_PIXFMT_RGB24 ? 3 : 1)],
            ids[i / W][i % W]);
    fm_frame_unref(&frame);
    fm__frame_pool_free(&pool);
    unlink(path);
    rmdir(maps);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_map_comes_back_from_its_picture)};
    if (fm__image_init(NULL) != FM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fm__image_shutdown();
    return failed;
}
