// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A long life in short: births and deaths by the thousand; memory flat after the first fifth of it, and so is
// the number of tracks. bench/track runs the full million frames.

#include "../testing.h"
#include "base/alloc.h"
#include "scene.h"

#include <framemill/memory.h>

enum { FRAMES = 40000, DIM = 16 };

static uint64_t held(void)
{
    fm_memory_stat stats[32];
    size_t n = fm_memory_stats(stats, COUNT_OF(stats));
    for (size_t i = 0; i < n; i++)
        if (strcmp(stats[i].module, "track") == 0)
            return stats[i].current_bytes;
    return 0;
}

static void test_flat(void **state)
{
    (void)state;
    for (const char *const *name = fm__tracker_names(); *name != NULL; name++) {
        fm_tracker_opts o;
        fm_tracker *t = NULL;
        assert_int_equal(fm__tracker_opts_init(&o, *name, NULL), FM_OK);
        o.dim = fm__tracker_wants_features(*name) ? DIM : 0;
        o.reentry_count = 20;
        assert_int_equal(fm__tracker_new(&o, &t, NULL), FM_OK);
        scene *s = scene_new(1, 12, DIM, 60);
        fm_track_mark marks[SCENE_MOST];
        uint64_t early = 0;
        int64_t last = 0;
        for (uint64_t frame = 0; frame < FRAMES; frame++) {
            if (frame == FRAMES / 5)
                early = held();
            scene_next(s);
            scene_show(s, t, frame, marks);
            for (size_t i = 0; i < s->n; i++)
                last = marks[i].id > last ? marks[i].id : last;
            assert_true(fm__tracker_count(t) < 120);
        }
        print_message("%s: %ld births, ids up to %lld, %llu then %llu bytes\n", *name, s->births,
            (long long)last, (unsigned long long)early, (unsigned long long)held());
        assert_true(s->births > 7000 && last > 6000);
        assert_true(held() <= early + early / 10);
        scene_free(s);
        fm__tracker_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flat)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
