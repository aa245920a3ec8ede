// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The words of --denoise, --color and --sr: what they mean, and what is refused.

#include "../testing.h"

#include "enhance/enhance.h"

typedef fm_status (*parse_fn)(const char *text, fm__enhance_spec *spec, fm_error *err);

static void denoise_words(void **state)
{
    fm__enhance_spec s = {.denoise = FM__DENOISE_NLM};
    (void)state;
    assert_int_equal(fm__enhance_parse_denoise(NULL, &s, NULL), FM_OK);
    assert_int_equal(s.denoise, FM__DENOISE_NONE);
    assert_int_equal(fm__enhance_parse_denoise("auto", &s, NULL), FM_OK);
    assert_int_equal(s.denoise, FM__DENOISE_AUTO);
    assert_int_equal(fm__enhance_parse_denoise("nlm", &s, NULL), FM_OK);
    assert_int_equal(s.denoise, FM__DENOISE_NLM);
    assert_true(s.h == 3 && s.h_color == 3);
    assert_int_equal(fm__enhance_parse_denoise("nlm:h=7.5", &s, NULL), FM_OK);
    assert_true(s.h == 7.5F && s.h_color == 7.5F);
    assert_int_equal(fm__enhance_parse_denoise("nlm:hcolor=0:h=7", &s, NULL), FM_OK);
    assert_true(s.h == 7 && s.h_color == 0);
    assert_int_equal(fm__enhance_parse_denoise("nlm-t", &s, NULL), FM_OK);
    assert_int_equal(s.denoise, FM__DENOISE_NLM_T);
    assert_true(s.h == 3 && s.h_color == 3 && s.frames == 3);
    assert_int_equal(fm__enhance_parse_denoise("nlm-t:frames=5:h=9:hcolor=4", &s, NULL), FM_OK);
    assert_true(s.h == 9 && s.h_color == 4 && s.frames == 5);
}

static void color_words(void **state)
{
    const fm__color_opts all = FM__COLOR_AUTO;
    fm__enhance_spec s = {.has_color = true};
    (void)state;
    assert_int_equal(fm__enhance_parse_color("none", &s, NULL), FM_OK);
    assert_false(s.has_color);
    assert_int_equal(fm__enhance_parse_color("auto", &s, NULL), FM_OK);
    assert_true(s.has_color && s.color.white == all.white && s.color.contrast == all.contrast);
    assert_int_equal(fm__enhance_parse_color("auto,saturation=2", &s, NULL), FM_OK);
    assert_true(s.color.white == all.white && s.color.saturation == 2);
    assert_int_equal(fm__enhance_parse_color("wb=grey:gamma=auto,clahe=4,levels=0.01", &s, NULL), FM_OK);
    assert_int_equal(s.color.white, FM__WHITE_GREY_WORLD);
    assert_true(s.color.gamma == 0 && s.color.contrast == 4 && s.color.clip == 0.01F);
    assert_true(s.color.saturation == 1);
}

static void sr_words(void **state)
{
    fm__enhance_spec s = {.scale = 0};
    (void)state;
    assert_int_equal(fm__enhance_parse_sr(NULL, &s, NULL), FM_OK);
    assert_int_equal(s.scale, 1);
    assert_int_equal(fm__enhance_parse_sr("lanczos:4", &s, NULL), FM_OK);
    assert_int_equal(s.scale, 4);
    assert_null(s.model);
    assert_int_equal(fm__enhance_parse_sr("x3", &s, NULL), FM_OK);
    assert_int_equal(s.scale, 3);
    assert_string_equal(s.model, "superres-x2");
    assert_int_equal(fm__enhance_parse_sr("nets/x2.onnx", &s, NULL), FM_OK);
    assert_int_equal(s.scale, 0); // whatever the model does
    assert_string_equal(s.model, "nets/x2.onnx");
    assert_int_equal(fm__enhance_parse_sr("none", &s, NULL), FM_OK);
    assert_int_equal(s.scale, 1);
    assert_null(s.model);
}

static void wrong_words_are_named_and_change_nothing(void **state)
{
    static const struct {
        parse_fn parse;
        const char *text, *says;
    } cases[] = {
        {fm__enhance_parse_denoise, "", "got ''"},
        {fm__enhance_parse_denoise, "bilateral", "got 'bilateral'"},
        {fm__enhance_parse_denoise, "nlm=3", "got 'nlm=3'"},
        {fm__enhance_parse_denoise, "nlm:h", "h="},
        {fm__enhance_parse_denoise, "nlm:h=-1", "from 0 to 200"},
        {fm__enhance_parse_denoise, "nlm:h=1e9", "from 0 to 200"},
        {fm__enhance_parse_denoise, "nlm:H=3", "got 'H'"},
        {fm__enhance_parse_denoise, "nlm:frames=3", "got 'frames'"},
        {fm__enhance_parse_denoise, "nlm-t:frames=4", "3 or 5"},
        {fm__enhance_parse_denoise, "nlm-t:frames=35", "3 or 5"},
        {fm__enhance_parse_denoise, "nlm-t:radius=4", "h, hcolor or frames"},
        {fm__enhance_parse_denoise, "nlm-x", "got 'nlm-x'"},
        {fm__enhance_parse_color, "", "got ''"},
        {fm__enhance_parse_color, "vivid", "got 'vivid'"},
        {fm__enhance_parse_color, "clahe=2,auto", "got 'auto'"},
        {fm__enhance_parse_color, "wb=daylight", "got 'daylight'"},
        {fm__enhance_parse_color, "gamma=0", "from 0.1 to 10"},
        {fm__enhance_parse_color, "saturation=nan", "from 0 to 3"},
        {fm__enhance_parse_sr, "", "got ''"},
        {fm__enhance_parse_sr, "lanczos", "got 'lanczos'"},
        {fm__enhance_parse_sr, "lanczos:5", "got 'lanczos:5'"},
        {fm__enhance_parse_sr, "lanczos:22", "got 'lanczos:22'"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm__enhance_spec s = {.scale = 77, .h = 77}, before = s;
        fm_error err = {.status = FM_OK};
        assert_int_equal(cases[i].parse(cases[i].text, &s, &err), FM_INVAL);
        assert_memory_equal(&s, &before, sizeof(s));
        if (!strstr(err.msg, cases[i].says)) {
            fail_msg("'%s': '%s' does not hold '%s'", cases[i].text, err.msg, cases[i].says);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denoise_words),
        cmocka_unit_test(color_words),
        cmocka_unit_test(sr_words),
        cmocka_unit_test(wrong_words_are_named_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
