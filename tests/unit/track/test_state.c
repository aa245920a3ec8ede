// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Saved trackers: one that was loaded midway goes on exactly as the original; bytes that are cut, changed or
// of another tracker are refused and leave the tracker as it was. Run for every type there is.

#include "../testing.h"
#include "base/alloc.h"
#include "scene.h"

enum { DIM = 12, HEADER = 57, SUM = 8 };

static const char *type;

static fm_tracker_opts make_opts(void)
{
    fm_tracker_opts o;
    assert_int_equal(fm__tracker_opts_init(&o, type, NULL), FM_OK);
    o.dim = fm__tracker_wants_features(type) ? DIM : 0;
    o.budget = 20;
    o.max_age = 10;
    o.reentry_count = 5;
    return o;
}

static fm_tracker *make(const fm_tracker_opts *o)
{
    fm_tracker *t = NULL;
    assert_int_equal(fm__tracker_new(o, &t, NULL), FM_OK);
    return t;
}

static uint8_t *save(const fm_tracker *t, size_t *size)
{
    *size = fm__tracker_save(t, NULL, 0);
    assert_true(*size > HEADER + SUM);
    uint8_t *data = malloc(*size);
    assert_non_null(data);
    memset(data, 0xee, *size);
    assert_int_equal(fm__tracker_save(t, data, *size - 1), *size);
    assert_int_equal(data[0], 0xee); // too small: untouched
    assert_int_equal(fm__tracker_save(t, data, *size), *size);
    return data;
}

static void mend(uint8_t *data, size_t size)
{
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < size - SUM; i++)
        sum = (sum ^ data[i]) * 1099511628211u;
    for (size_t i = 0; i < SUM; i++)
        data[size - SUM + i] = (uint8_t)(sum >> (8 * i));
}

static void assert_state(const fm_tracker *t, const uint8_t *data, size_t size)
{
    size_t now_size;
    uint8_t *now = save(t, &now_size);
    assert_int_equal(now_size, size);
    assert_memory_equal(now, data, size);
    free(now);
}

// A tracker that has seen some life, ended tracks included, and the scene it saw.
static fm_tracker *lived(const fm_tracker_opts *o, scene *s, int frames)
{
    fm_tracker *t = make(o);
    fm_track_mark marks[SCENE_MOST];
    for (int i = 0; i < frames; i++) {
        scene_next(s);
        scene_show(s, t, (uint64_t)i, marks);
    }
    return t;
}

static void test_goes_on(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        fm_tracker_opts o = make_opts();
        o.reid = variant % 2 ? FM_REID_AMBIGUOUS : FM_REID_ALWAYS;
        o.feature_weight = variant / 2 ? 0.9F : 0;
        scene *s = scene_new(20, 15, o.dim > 0 ? o.dim : 1, 60);
        fm_tracker *original = lived(&o, s, 150), *second = make(&o);
        fm_track_mark a[SCENE_MOST], b[SCENE_MOST];
        for (uint64_t frame = 150; frame < 350; frame++) {
            if (frame % 40 == 30) {
                size_t size;
                uint8_t *data = save(original, &size);
                assert_int_equal(fm__tracker_load(second, data, size, NULL), FM_OK);
                assert_state(second, data, size);
                free(data);
            }
            scene_next(s);
            size_t asked = scene_show(s, original, frame, a);
            if (frame < 190)
                continue;
            assert_int_equal(scene_show(s, second, frame, b), asked);
            for (size_t i = 0; i < s->n; i++) {
                assert_int_equal(a[i].id, b[i].id);
                assert_memory_equal(&a[i].filtered, &b[i].filtered, sizeof(fm_box));
            }
        }
        scene_free(s);
        fm__tracker_free(&original);
        fm__tracker_free(&second);
    }
}

static void test_fresh(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    fm_tracker *fresh = make(&o);
    scene *s = scene_new(3, 5, o.dim > 0 ? o.dim : 1, 0);
    fm_tracker *used = lived(&o, s, 20);
    size_t size;
    uint8_t *data = save(fresh, &size);
    assert_int_equal(fm__tracker_load(used, data, size, NULL), FM_OK);
    assert_int_equal(fm__tracker_count(used), 0);
    assert_state(used, data, size);
    fm_track_mark marks[SCENE_MOST];
    scene_show(s, used, 0, marks); // frames count anew
    free(data);
    scene_free(s);
    fm__tracker_free(&fresh);
    fm__tracker_free(&used);
}

static void test_refused(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    scene *s = scene_new(5, 4, o.dim > 0 ? o.dim : 1, 40);
    fm_tracker *t = lived(&o, s, 60);
    size_t size, kept_size;
    uint8_t *data = save(t, &size), *kept = save(t, &kept_size), *cut = malloc(size);
    fm_error err;
    assert_non_null(cut);
    for (size_t len = 0; len < size; len++) { // cut, as it is and with its sum put right
        memcpy(cut, data, len);
        assert_int_equal(fm__tracker_load(t, cut, len, &err), FM_FORMAT);
        if (len < HEADER + SUM)
            continue;
        mend(cut, len);
        assert_int_equal(fm__tracker_load(t, cut, len, &err), FM_FORMAT);
    }
    for (size_t at = 0; at < size; at++) { // a byte changed: the sum sees it
        data[at] ^= 0x40;
        fm_status status = fm__tracker_load(t, data, size, &err);
        if (status != FM_FORMAT && !(status == FM_UNSUPPORTED && at >= 8 && at < 12))
            fail_msg("byte %zu changed: status %d", at, (int)status);
        data[at] ^= 0x40;
    }
    assert_state(t, kept, kept_size);
    free(data);
    free(kept);
    free(cut);
    scene_free(s);
    fm__tracker_free(&t);
}

// The sum put right after every change: what is accepted must save as the same bytes and run on.
static void test_forged(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    scene *s = scene_new(6, 4, o.dim > 0 ? o.dim : 1, 40);
    fm_tracker *t = lived(&o, s, 60);
    size_t size, accepted = 0;
    uint8_t *data = save(t, &size);
    uint64_t rng = 17;
    for (int i = 0; i < 4000; i++) {
        size_t at = 8 + (size_t)rnd_below(&rng, (int)(size - SUM - 8));
        if (i % 2 && size > HEADER + 300)
            at = HEADER + (size_t)rnd_below(&rng, 300); // counts and filters
        uint8_t old = data[at];
        data[at] = (uint8_t)(rnd_below(&rng, 3) == 0 ? 0xff : rnd_below(&rng, 256));
        mend(data, size);
        fm_tracker *other = make(&o);
        fm_error err = {0};
        if (fm__tracker_load(other, data, size, &err) == FM_OK) {
            fm_track_mark marks[SCENE_MOST];
            assert_state(other, data, size);
            uint64_t last = 0;
            memcpy(&last, data + 33, 8); // little-endian machines run the tests
            for (uint64_t k = 1; k <= 2 && last < UINT64_MAX - 2; k++)
                scene_show(s, other, last + k, marks);
            accepted++;
        } else {
            assert_true(err.msg[0] != '\0');
            assert_int_equal(fm__tracker_count(other), 0);
        }
        fm__tracker_free(&other);
        data[at] = old;
    }
    assert_true(accepted > 100);
    free(data);
    scene_free(s);
    fm__tracker_free(&t);
}

static void test_other_settings(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts(), other = make_opts();
    scene *s = scene_new(5, 10, o.dim > 0 ? o.dim : 1, 40);
    fm_tracker *t = lived(&o, s, 60);
    size_t size;
    uint8_t *data = save(t, &size);
    fm_error err = {0};
    other.dim = o.dim > 0 ? o.dim + 1 : 0;
    fm_tracker *second = make(&other);
    if (o.dim > 0)
        assert_int_equal(fm__tracker_load(second, data, size, &err), FM_INVAL);
    fm__tracker_free(&second);
    other = make_opts();
    other.max_tracks = 2;
    second = make(&other);
    fm_status status = fm__tracker_load(second, data, size, &err);
    assert_true(status == FM_INVAL || status == FM_FORMAT); // a type may not tell more tracks from damage
    assert_int_equal(fm__tracker_count(second), 0);
    fm__tracker_free(&second);
    uint8_t *renamed = malloc(size);
    assert_non_null(renamed);
    memcpy(renamed, data, size);
    memcpy(renamed + 12, "elsewhere\0\0\0\0\0\0\0", 16);
    mend(renamed, size);
    assert_int_equal(fm__tracker_load(t, renamed, size, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "elsewhere"));
    free(renamed);
    free(data);
    scene_free(s);
    fm__tracker_free(&t);
}

static void test_no_memory(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    scene *s = scene_new(5, 10, o.dim > 0 ? o.dim : 1, 40);
    fm_tracker *t = lived(&o, s, 60), *fresh = make(&o);
    size_t size, fresh_size;
    uint8_t *data = save(t, &size), *before = save(fresh, &fresh_size);
    uint64_t nth = 1;
    for (;; nth++) {
        fm__alloc_fail_at(nth, false);
        fm_status status = fm__tracker_load(fresh, data, size, NULL);
        fm__alloc_fail_at(0, false);
        if (status == FM_OK)
            break;
        assert_int_equal(status, FM_NOMEM);
        assert_state(fresh, before, fresh_size);
    }
    assert_true(nth > 2);
    assert_state(fresh, data, size);
    free(data);
    free(before);
    scene_free(s);
    fm__tracker_free(&t);
    fm__tracker_free(&fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_other_settings),
        cmocka_unit_test(test_no_memory),
    };
    int failed = 0;
    for (const char *const *name = fm__tracker_names(); *name != NULL; name++) {
        type = *name;
        printf("type %s\n", type);
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
