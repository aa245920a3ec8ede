// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// MOT text: what is taken, what is refused and how that is said, order and index of rows.

#include "../testing.h"
#include "track/mot_text.h"

#include "base/alloc.h"

#include <locale.h>

static fm_mot parse(const char *text)
{
    fm_mot m = {0};
    fm_error err = {0};
    if (fm__mot_parse(text, strlen(text), "t.txt", &m, &err) != FM_OK)
        fail_msg("'%s': %s", text, err.msg);
    return m;
}

static void takes_the_three_kinds_of_file(void **state)
{
    (void)state;
    fm_mot m = parse("1,9,499,158.5,31.03,75.17,1,-4.1554,-7.3591,0\n"       // MOT15 ground truth
                     "1,-1,649.441,231.502,44.417,86.13,0.995474,-1,-1,-1\n" // detections
                     "2,7,1.00,2.00,3.00,4.00,0.9100,-1,-1,-1\n");           // ours
    assert_int_equal(m.count, 3);
    assert_int_equal(m.frame_count, 2);
    const fm_mot_row *r = m.rows;
    assert_int_equal(r[0].id, 9);
    assert_true(r[0].x == 499 && r[0].y == 158.5 && r[0].w == 31.03 && r[0].h == 75.17 && r[0].score == 1);
    assert_true(r[0].extra[0] == -4.1554f && r[0].extra[1] == -7.3591f && r[0].extra[2] == 0);
    assert_int_equal(r[1].id, -1);
    assert_true(r[1].x == 649.441 && r[1].score == 0.995474f);
    assert_int_equal(r[2].frame, 2);
    assert_int_equal(r[2].line, 3);
    assert_int_equal(m.min_columns, 10);
    assert_int_equal(m.max_columns, 10);
    fm__mot_done(&m);
    m = parse("3,1,10,20,30,40,1,7,0.25\n"); // MOT17 ground truth
    assert_int_equal(m.max_columns, 9);
    assert_true(m.rows[0].extra[0] == 7 && m.rows[0].extra[1] == 0.25f && m.rows[0].extra[2] == -1);
    fm__mot_done(&m);
}

static void tolerates_how_files_are_written(void **state)
{
    (void)state;
    static const char *const same[] = {
        "1,2,3,4,5,6,7\n",
        "1,2,3,4,5,6,7",
        "1,2,3,4,5,6,7\r\n",
        ("\xef\xbb\xbf"
         "1,2,3,4,5,6,7\n"),
        "\n\r\n  \t\n1,2,3,4,5,6,7\n\n",
        " 1 ,\t2, 3 ,4,5 ,6, 7 \n",
        "1,2,3,4,5,6,7,\n",
        "1.0,2.000,3.,4,+5,6e0,70E-1\n",
        "1,2,3.00000000000000000000,4,5,6,7.0000000000\n",
    };
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        fm_mot m = parse(same[i]);
        assert_int_equal(m.count, 1);
        const fm_mot_row *r = m.rows;
        assert_true(r->frame == 1 && r->id == 2 && r->x == 3 && r->y == 4 && r->w == 5 && r->h == 6);
        assert_true(r->score == 7 && r->columns == 7);
        fm__mot_done(&m);
    }
    static const char *const nothing[] = {"", "\n", "\r\n\r\n", " \t ", "\xef\xbb\xbf"};
    for (size_t i = 0; i < COUNT_OF(nothing); i++) {
        fm_mot m = parse(nothing[i]);
        size_t n = 1;
        assert_int_equal(m.count + m.frame_count, 0);
        assert_null(fm__mot_rows_of(&m, 1, &n));
        assert_int_equal(n, 0);
        fm__mot_done(&m);
    }
}

static void refuses_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"1,2,3,4,5,6", "6 columns"},
        {"hello", "frame is not a number: 'hello'; expected frame,id,x,y,w,h,score"},
        {"1 2 3 4 5 6 7", "frame is not a number"},
        {"1", "1 column; expected at least 7"},
        {"1,2,3,4,5,6,7,8,9,10,11", "more than 10 columns"},
        {"1,2,3,4,5,6,7,8,9,10,,", "more than 10 columns"},
        {"1,2,,4,5,6,7", "x is not a number: ''"},
        {",1,2,3,4,5,6,7", "frame is not a number"},
        {"1,2,nan,4,5,6,7", "x is not a number: 'nan'"},
        {"1,2,3,NaN,5,6,7", "y is not a number"},
        {"1,2,3,4,inf,6,7", "width is not a number"},
        {"1,2,3,4,5,6,-nan", "score is not a number"},
        {"1,2,3,4,5,6,7,x", "column 8 is not a number"},
        {"1,2,3,4,5,6,1e999", "score is not a number"},
        {"1,2,0x10,4,5,6,7", "x is not a number"},
        {"1,2,3 4,4,5,6,7", "x is not a number: '3 4'"},
        {"1,2,-,4,5,6,7", "x is not a number"},
        {"1,2,1.2.3,4,5,6,7", "x is not a number"},
        {"0,2,3,4,5,6,7", "frame 0; expected a whole number from 1"},
        {"-1,2,3,4,5,6,7", "frame -1"},
        {"1.5,2,3,4,5,6,7", "frame 1.5"},
        {"100000001,2,3,4,5,6,7", "frame 1e+08"},
        {"1e300,2,3,4,5,6,7", "frame 1e+300"},
        {"1,2.5,3,4,5,6,7", "id 2.5"},
        {"1,1e16,3,4,5,6,7", "id 1e+16"},
        {"1,2,3,4,-5,6,7", "width is -5; expected 0 or more"},
        {"1,2,3,4,5,-0.01,7", "height is -0.01"},
        {"1,2,1e10,4,5,6,7", "x is 1e+10"},
        {"1,2,3,4,5,6,7,-1e30", "column 8 is -1e+30"},
        {"1,2,\x01,4,5,6,7", "x is not a number: '?'"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[256];
        int n = snprintf(text, sizeof text, "1,1,1,1,1,1,1\n\n%s\n1,x\n", cases[i].line);
        fm_mot m = {.count = 99};
        fm_error err = {0};
        assert_int_equal(fm__mot_parse(text, (size_t)n, "dir/t.txt", &m, &err), FM_FORMAT);
        assert_int_equal(m.count, 99); // outputs are written only on success
        if (!strstr(err.msg, cases[i].says) || strncmp(err.msg, "dir/t.txt:3: ", 13) != 0)
            fail_msg("'%s': %s", cases[i].line, err.msg);
    }
}

static void refuses_a_byte_zero(void **state)
{
    (void)state;
    const char text[] = "1,2,3\0,4,5,6,7";
    fm_mot m;
    fm_error err = {0};
    assert_int_equal(fm__mot_parse(text, sizeof text - 1, "t", &m, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "x is not a number"));
}

static void sorts_by_frame_and_keeps_the_order_within(void **state)
{
    (void)state;
    fm_mot m = parse(
        "7,1,0,0,1,1,1\n3,2,0,0,1,1,1\n7,3,0,0,1,1,1\n100000000,4,0,0,1,1,1\n3,5,0,0,1,1,1\n7,6,0,0,1,1,1\n");
    static const int ids[] = {2, 5, 1, 3, 6, 4}, frames[] = {3, 7, 100000000};
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_equal(m.rows[i].id, ids[i]);
    assert_int_equal(m.frame_count, 3);
    for (size_t i = 0; i < COUNT_OF(frames); i++)
        assert_int_equal(m.frames[i].frame, frames[i]);
    size_t n = 0;
    const fm_mot_row *r = fm__mot_rows_of(&m, 7, &n);
    assert_ptr_equal(r, &m.rows[2]);
    assert_int_equal(n, 3);
    static const int64_t absent[] = {INT64_MIN, -1, 0, 1, 2, 4, 8, 100000001, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(absent); i++) {
        n = 1;
        assert_null(fm__mot_rows_of(&m, absent[i], &n));
        assert_int_equal(n, 0);
    }
    fm__mot_done(&m);
}

static void numbers_are_read_exactly(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        char number[64], text[128];
        double v = ((double)rnd(&seed) / 1.8446744073709552e19 - 0.5) * (i % 3 ? 4000 : 1e9);
        snprintf(number, sizeof number, "%.*f", rnd_below(&seed, 12), v);
        int n = snprintf(text, sizeof text, "1,1,%s,0,0,0,0", number);
        fm_mot m = {0};
        assert_int_equal(fm__mot_parse(text, (size_t)n, "t", &m, NULL), FM_OK);
        if (m.rows[0].x != strtod(number, NULL))
            fail_msg("%s became %.17g", number, m.rows[0].x);
        fm__mot_done(&m);
    }
}

static void locale_plays_no_part(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        return; // the hand-written reader knows no locale, and base's is tested with it
    fm_mot m = parse("1,1,1.5,2.25,1.0000000000000000005,4,0.5\n");
    setlocale(LC_NUMERIC, "C");
    assert_true(m.rows[0].x == 1.5 && m.rows[0].w == 1 && m.rows[0].score == 0.5f);
    fm__mot_done(&m);
}

static void boxes_of_a_frame_are_bounded(void **state)
{
    (void)state;
    char *text = malloc((FM_MOT_MAX_BOXES + 1) * 16), *at = text;
    for (int i = 0; i <= FM_MOT_MAX_BOXES; i++)
        at += sprintf(at, "5,-1,0,0,1,1,1\n");
    fm_mot m = {0};
    fm_error err = {0};
    assert_int_equal(fm__mot_parse(text, (size_t)(at - text), "t", &m, &err), FM_FORMAT);
    assert_string_equal(err.msg, "t:8193: more than 8192 boxes in frame 5");
    assert_int_equal(fm__mot_parse(text, (size_t)(at - text) - 15, "t", &m, &err), FM_OK);
    assert_int_equal(m.frames[0].count, FM_MOT_MAX_BOXES);
    fm__mot_done(&m);
    free(text);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    const char text[] = "2,1,0,0,1,1,1\n1,1,0,0,1,1,1\n";
    for (uint64_t nth = 1;; nth++) {
        fm_mot m = {0};
        fm_error err = {0};
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__mot_parse(text, strlen(text), "t", &m, &err);
        fm__alloc_fail_at(0, false);
        fm__mot_done(&m);
        if (st == FM_OK) {
            assert_true(nth > 2);
            return;
        }
        assert_int_equal(st, FM_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_three_kinds_of_file),
        cmocka_unit_test(tolerates_how_files_are_written),
        cmocka_unit_test(refuses_with_file_and_line),
        cmocka_unit_test(refuses_a_byte_zero),
        cmocka_unit_test(sorts_by_frame_and_keeps_the_order_within),
        cmocka_unit_test(numbers_are_read_exactly),
        cmocka_unit_test(locale_plays_no_part),
        cmocka_unit_test(boxes_of_a_frame_are_bounded),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
