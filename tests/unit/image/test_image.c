// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures made by libvips' writers from known pixels, read back with image/: colour models, depth, alpha,
// orientation, pages, damage and limits.

#include "../media/clip.h"

#include "image/image.h"

#include <fm_config.h>

#if FM_HAVE_VIPS

#include <vips/vips.h>

#define W 24
#define H 16

static uint8_t gradient(int x, int y, int c)
{
    return (uint8_t)(20 + x * 8 + y * 2 + c * 10);
}

// [H][W][bands] of 8 or 16 bit; 16 bit samples are the 8 bit ones times 257. Alpha is the last of 2 or 4
// bands.
static VipsImage *make_image(int bands, int bits, uint8_t alpha)
{
    static uint16_t wide[H * W * 4];
    static uint8_t narrow[H * W * 4];
    bool has_alpha = bands == 2 || bands == 4;
    for (int i = 0; i < H * W; i++) {
        for (int c = 0; c < bands; c++) {
            uint8_t v = has_alpha && c == bands - 1 ? alpha : gradient(i % W, i / W, bands < 3 ? 0 : c);
            narrow[i * bands + c] = v;
            wide[i * bands + c] = (uint16_t)(v * 257);
        }
    }
    VipsImage *plain = bits == 16
                           ? vips_image_new_from_memory_copy(wide, sizeof(*wide) * (size_t)(H * W * bands), W,
                                 H, bands, VIPS_FORMAT_USHORT)
                           : vips_image_new_from_memory_copy(
                                 narrow, (size_t)(H * W * bands), W, H, bands, VIPS_FORMAT_UCHAR);
    VipsImage *out = NULL;
    VipsInterpretation as = bits == 16 ? (bands < 3 ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_RGB16)
                                       : (bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB);
    assert_int_equal(vips_copy(plain, &out, "interpretation", as, NULL), 0);
    g_object_unref(plain);
    return out;
}

static fm_status load(const char *path, int64_t max_pixels, fm_frame **out, fm_error *err)
{
    fm_frame_pool *pool = NULL;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    fm_status st = fm__image_load(path, max_pixels, pool, out, err);
    fm__frame_pool_free(&pool);
    return st;
}

static const uint8_t *pixel(const fm_frame *f, int x, int y)
{
    const fm_frame_view *v = fm_frame_get_view(f);
    return v->plane[0] + (ptrdiff_t)y * v->stride[0] + 3 * x;
}

typedef struct kind_case {
    const char *name; // its ending says the kind
    int bands, bits, alpha, tolerance;
} kind_case;

static const kind_case kinds[] = {
    {"rgb.png", 3, 8, 255, 0},
    {"grey.png", 1, 8, 255, 0},
    {"rgb16.png", 3, 16, 255, 0},
    {"grey16.png", 1, 16, 255, 0},
    {"opaque.png", 4, 8, 255, 0},
    {"clear.png", 4, 8, 0, 0},
    {"half.png", 4, 8, 128, 1},
    {"half16.png", 4, 16, 128, 1},
    {"greyhalf.png", 2, 8, 128, 1},
    {"greyhalf16.png", 2, 16, 128, 1},
    {"rgb.tif", 3, 8, 255, 0},
    {"rgb16.tif", 3, 16, 255, 0},
    {"grey16.tiff", 1, 16, 255, 0},
    {"half.tif", 4, 8, 128, 1},
    {"rgb.jpg", 3, 8, 255, 6},
    {"grey.jpeg", 1, 8, 255, 4},
    {"rgb.webp", 3, 8, 255, 0},
    {"half.webp", 4, 8, 128, 1},
};

static void save(VipsImage *image, const char *path)
{
    int ret = g_str_has_suffix(path, "webp") ? vips_webpsave(image, path, "lossless", TRUE, NULL)
              : g_str_has_suffix(path, "jpg") || g_str_has_suffix(path, "jpeg")
                  ? vips_jpegsave(image, path, "Q", 98, NULL)
              : g_str_has_suffix(path, "png") ? vips_pngsave(image, path, NULL)
                                              : vips_tiffsave(image, path, NULL);
    assert_int_equal(ret, 0);
}

static void every_kind_becomes_right_looking_rgb(void **state)
{
    char path[600];
    fm_error err;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const kind_case *k = &kinds[i];
        VipsImage *image = make_image(k->bands, k->bits, (uint8_t)k->alpha);
        save(image, in_folder(*state, k->name, path, sizeof(path)));
        g_object_unref(image);
        fm_frame *f = NULL;
        assert_status(FM_OK, load(path, 0, &f, &err), &err);
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_int_equal(v->format, FM_PIXFMT_RGB24);
        assert_int_equal(v->width, W);
        assert_int_equal(v->height, H);
        for (int p = 0; p < W * H * 3; p++) {
            int x = p / 3 % W, y = p / 3 / W, c = p % 3;
            double own = gradient(x, y, k->bands < 3 ? 0 : c), a = k->alpha / 255.0;
            int want = (int)(own * a + 255 * (1 - a) + 0.5), got = pixel(f, x, y)[c];
            if (abs(want - got) > k->tolerance) {
                fail_msg("%s at %d,%d band %d: expected %d, got %d", k->name, x, y, c, want, got);
            }
        }
        fm_frame_unref(&f);
    }
}

// The pixel that must stand at the top left after EXIF orientation o: index into the corners of the stored
// picture.
static void exif_orientation_is_applied(void **state)
{
    static const int corner[9][2] = {{0, 0}, {0, 0}, {W - 1, 0}, {W - 1, H - 1}, {0, H - 1}, {0, 0},
        {0, H - 1}, {W - 1, H - 1}, {W - 1, 0}};
    static const char *const names[] = {"exif.jpg", "exif.tif", "exif.webp"};
    char path[600];
    fm_error err;
    for (int o = 1; o <= 8; o++) {
        for (int n = 0; n < 3; n++) {
            VipsImage *image = make_image(3, 8, 255);
            vips_image_set_int(image, VIPS_META_ORIENTATION, o);
            save(image, in_folder(*state, names[n], path, sizeof(path)));
            g_object_unref(image);
            fm_frame *f = NULL;
            assert_status(FM_OK, load(path, 0, &f, &err), &err);
            assert_int_equal(fm_frame_get_view(f)->width, o > 4 ? H : W);
            int want = gradient(corner[o][0], corner[o][1], 1), got = pixel(f, 0, 0)[1];
            if (abs(want - got) > 6) {
                fail_msg("%s, orientation %d: expected %d, got %d", names[n], o, want, got);
            }
            fm_frame_unref(&f);
        }
    }
}

static void palettes_are_expanded(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    VipsImage *image = make_image(3, 8, 255);
    in_folder(*state, "palette.png", path, sizeof(path));
    assert_int_equal(vips_pngsave(image, path, "palette", TRUE, "dither", 0.0, NULL), 0);
    g_object_unref(image);
    assert_status(FM_OK, load(path, 0, &f, &err), &err);
    assert_true(abs(pixel(f, 5, 5)[0] - gradient(5, 5, 0)) < 24);
    fm_frame_unref(&f);
}

static void ink_is_read_by_its_profile_or_by_arithmetic(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    VipsImage *rgb = make_image(3, 8, 255), *ink = NULL;
    assert_int_equal(vips_icc_transform(rgb, &ink, "cmyk", "input_profile", "srgb", "depth", 8, NULL), 0);
    in_folder(*state, "ink.jpg", path, sizeof(path));
    assert_int_equal(vips_jpegsave(ink, path, "Q", 98, NULL), 0);
    g_object_unref(ink);
    g_object_unref(rgb);
    assert_status(FM_OK, load(path, 0, &f, &err), &err);
    assert_true(abs(pixel(f, 5, 5)[1] - gradient(5, 5, 1)) < 12); // greys are printable: they come back
    fm_frame_unref(&f);

    static const uint8_t inks[] = {
        255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 102, 51, 0, 51};
    static const uint8_t want[6][3] = {
        {0, 255, 255}, {255, 0, 255}, {255, 255, 0}, {0, 0, 0}, {255, 255, 255}, {122, 163, 204}};
    VipsImage *plain = vips_image_new_from_memory(inks, sizeof(inks), 6, 1, 4, VIPS_FORMAT_UCHAR);
    assert_int_equal(vips_copy(plain, &ink, "interpretation", VIPS_INTERPRETATION_CMYK, NULL), 0);
    in_folder(*state, "ink.tif", path, sizeof(path));
    assert_int_equal(vips_tiffsave(ink, path, NULL), 0);
    g_object_unref(ink);
    g_object_unref(plain);
    assert_status(FM_OK, load(path, 0, &f, &err), &err);
    for (int x = 0; x < 6; x++) {
        for (int c = 0; c < 3; c++) {
            assert_in_range(pixel(f, x, 0)[c] + 1, want[x][c], want[x][c] + 2);
        }
    }
    fm_frame_unref(&f);
}

static void a_tiff_gives_its_first_page(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    VipsImage *first = make_image(3, 8, 255), *second = NULL, *both = NULL;
    assert_int_equal(vips_invert(first, &second, NULL), 0);
    assert_int_equal(vips_join(first, second, &both, VIPS_DIRECTION_VERTICAL, NULL), 0);
    vips_image_set_int(both, VIPS_META_PAGE_HEIGHT, H);
    in_folder(*state, "pages.tif", path, sizeof(path));
    assert_int_equal(vips_tiffsave(both, path, NULL), 0);
    assert_status(FM_OK, load(path, 0, &f, &err), &err);
    assert_int_equal(fm_frame_get_view(f)->height, H);
    assert_int_equal(pixel(f, 3, 4)[2], gradient(3, 4, 2));
    fm_frame_unref(&f);
    g_object_unref(first);
    g_object_unref(second);
    g_object_unref(both);
}

static void a_cut_picture_is_an_error(void **state)
{
    static const char *const names[] = {"rgb.png", "rgb.tif", "rgb.jpg", "rgb.webp"};
    char path[600], cut[600];
    fm_error err;
    fm_frame *f = NULL;
    for (int n = 0; n < 4; n++) {
        VipsImage *image = NULL;
        assert_int_equal(vips_gaussnoise(&image, 200, 150, "mean", 128.0, "sigma", 40.0, NULL), 0);
        VipsImage *bytes = NULL;
        assert_int_equal(vips_cast(image, &bytes, VIPS_FORMAT_UCHAR, NULL), 0);
        save(bytes, in_folder(*state, names[n], path, sizeof(path)));
        g_object_unref(image);
        g_object_unref(bytes);
        for (unsigned percent = 20; percent < 100; percent += 20) {
            cut_file(path, in_folder(*state, "cut", cut, sizeof(cut)), percent);
            assert_status(FM_FORMAT, load(cut, 0, &f, &err), &err);
            assert_null(strchr(err.msg, '\n'));
        }
    }
}

typedef struct content_case {
    const char *bytes;
    size_t len;
    fm_status status;
} content_case;

static void only_four_kinds_are_read_whatever_the_name(void **state)
{
    static const content_case cases[] = {
        {"GIF89a\1\0\1\0\0\0\0;", 14, FM_UNSUPPORTED},
        {"<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"file:///etc/passwd\"/></svg>", 77,
            FM_UNSUPPORTED},
        {"P6 1 1 255 abc", 14, FM_UNSUPPORTED},
        {"BM......................", 24, FM_UNSUPPORTED},
        {"\0\0\0\30ftypheic\0\0\0\0mif1heic", 24, FM_UNSUPPORTED},
        {"%PDF-1.4\n", 9, FM_UNSUPPORTED},
        {"push graphic-context\nimage over 0,0 0,0 'x'\n", 44, FM_UNSUPPORTED},
        {"hello", 5, FM_UNSUPPORTED},
        {"", 0, FM_FORMAT},
        {"\xff\xd8\xff", 3, FM_FORMAT},
        {"\x89PNG\r\n\x1a\n", 8, FM_FORMAT},
        {"RIFF\4\0\0\0WEBP", 12, FM_FORMAT},
        {"II*\0\x8\0\0\0\0\0", 10, FM_FORMAT},
    };
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        write_file(in_folder(*state, "x.jpg", path, sizeof(path)), cases[i].bytes, cases[i].len);
        fm_status st = load(path, 0, &f, &err);
        if (st != cases[i].status) {
            fail_msg(
                "case %d: expected %s, got %s", (int)i, fm_status_name(cases[i].status), fm_status_name(st));
        }
    }
    assert_status(FM_NOTFOUND, load(in_folder(*state, "missing.jpg", path, sizeof(path)), 0, &f, &err), &err);
    assert_status(FM_INVAL, load(*state, 0, &f, &err), &err);
    assert_int_equal(mkfifo(in_folder(*state, "fifo.jpg", path, sizeof(path)), 0600), 0);
    assert_status(FM_INVAL, load(path, 0, &f, &err), &err);
}

static void names_are_not_options(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    VipsImage *image = make_image(3, 8, 255);
    in_folder(*state, "a[page=7].png", path, sizeof(path));
    void *data = NULL;
    size_t len = 0;
    assert_int_equal(vips_pngsave_buffer(image, &data, &len, NULL), 0);
    write_file(path, data, len);
    g_free(data);
    g_object_unref(image);
    assert_status(FM_OK, load(path, 0, &f, &err), &err);
    fm_frame_unref(&f);
}

static void sizes_from_one_to_8192_and_no_more_than_allowed(void **state)
{
    static const int sides[] = {1, 2, 63, 8192};
    char path[600];
    fm_error err;
    for (int i = 0; i < 4; i++) {
        VipsImage *black = NULL;
        fm_frame *f = NULL;
        int s = sides[i];
        assert_int_equal(vips_black(&black, s, s, "bands", 3, NULL), 0);
        in_folder(*state, "size.png", path, sizeof(path));
        assert_int_equal(vips_pngsave(black, path, "compression", 1, NULL), 0);
        g_object_unref(black);
        assert_status(FM_OK, load(path, 0, &f, &err), &err);
        assert_int_equal(fm_frame_get_view(f)->width, s);
        assert_int_equal(fm_frame_get_view(f)->height, s);
        assert_int_equal(pixel(f, s - 1, s - 1)[2], 0);
        fm_frame_unref(&f);
        if (s > 1) { // no limit is below one pixel
            assert_status(FM_DENIED, load(path, (int64_t)s * s - 1, &f, &err), &err);
        }
    }
}

static void a_bomb_is_refused_by_its_header(void **state)
{
    // A PNG header that promises 100000 x 100000 pixels, followed by nothing.
    static const uint8_t bomb[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x8\2\0\0\0\x9d\x1f\x8d\x9a";
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    write_file(in_folder(*state, "bomb.png", path, sizeof(path)), bomb, sizeof(bomb) - 1);
    fm_status st = load(path, 0, &f, &err);
    assert_true(st == FM_DENIED || st == FM_FORMAT);
}

static void knows_picture_names(void **state)
{
    (void)state;
    static const char *const yes[] = {"a.jpg", "b.JPEG", "/x/c.png", "d.WebP", "e.tif", "f.TIFF", "g.bmp"};
    static const char *const no[] = {"a.mp4", "jpg", "a.jpg.txt", "", "png/", "a.gif", "a.svg", "a.heic"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
        assert_true(fm__image_is_picture_name(yes[i]));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
        assert_false(fm__image_is_picture_name(no[i]));
    }
}

static int set_up(void **state)
{
    fm_error err;
    *state = temp_folder();
    return fm__image_init(&err) == FM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    fm__image_shutdown();
    remove_folder(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_becomes_right_looking_rgb),
        cmocka_unit_test(exif_orientation_is_applied),
        cmocka_unit_test(palettes_are_expanded),
        cmocka_unit_test(ink_is_read_by_its_profile_or_by_arithmetic),
        cmocka_unit_test(a_tiff_gives_its_first_page),
        cmocka_unit_test(a_cut_picture_is_an_error),
        cmocka_unit_test(only_four_kinds_are_read_whatever_the_name),
        cmocka_unit_test(names_are_not_options),
        cmocka_unit_test(sizes_from_one_to_8192_and_no_more_than_allowed),
        cmocka_unit_test(a_bomb_is_refused_by_its_header),
        cmocka_unit_test(knows_picture_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

int main(void)
{
    fprintf(stderr, "skipped: built without libvips\n");
    return 77;
}

#endif
