// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Time mending, case by case, against what a person would write down.

#include "clip.h"

#include "media/internal.h"

#define MS INT64_C(1000000)
#define NONE INT64_MIN
#define MAX 10

typedef struct pts_case {
    const char *name;
    int64_t end_ms;      // what the header says, 0 nothing
    int64_t duration_ms; // of every frame, 0 unknown
    int64_t in[MAX];     // ms, NONE; -1 ends the list unless first
    int64_t out[MAX];    // ms
    int count;
    uint64_t mended;
} pts_case;

// The step is 40 ms in all of them.
static const pts_case cases[] = {
    {"regular", 0, 0, {0, 40, 80, 120}, {0, 40, 80, 120}, 4, 0},
    {"starts late", 0, 0, {5000, 5040, 5080}, {0, 40, 80}, 3, 0},
    {"starts negative", 0, 0, {-80, -40, 0}, {0, 40, 80}, 3, 0},
    {"none at all", 0, 0, {NONE, NONE, NONE}, {0, 40, 80}, 3, 3},
    {"one missing", 0, 0, {0, 40, NONE, 120}, {0, 40, 80, 120}, 4, 1},
    {"first missing", 0, 0, {NONE, 1040, 1080}, {0, 40, 80}, 3, 1},
    {"a repeated time", 0, 0, {0, 40, 40, 80}, {0, 40, 60, 80}, 4, 1},
    {"one time back", 0, 0, {0, 40, 80, 20, 160}, {0, 40, 80, 120, 160}, 5, 1},
    {"clock set back", 0, 0, {5000, 5040, 0, 40, 80}, {0, 40, 80, 120, 160}, 5, 1},
    {"clock set ahead", 0, 0, {0, 40, 100000, 100040, 100080}, {0, 40, 80, 120, 160}, 5, 1},
    {"one wild time", 0, 0, {0, 40, 100000, 120, 160}, {0, 40, 80, 120, 160}, 5, 1},
    {"variable rate", 0, 0, {0, 40, 1040, 9040, 9050}, {0, 40, 1040, 9040, 9050}, 5, 0},
    {"long gap that the header knows", 70000, 0, {0, 40, 60000, 60040}, {0, 40, 60000, 60040}, 4, 0},
    {"long gap that the duration knows", 0, 30000, {0, 30000, 60000}, {0, 30000, 60000}, 3, 0},
    {"gap of ten seconds", 0, 0, {0, 10000}, {0, 10000}, 2, 0},
    {"gap above ten seconds", 0, 0, {0, 10001, 10041}, {0, 40, 80}, 3, 1},
    {"back twice", 0, 0, {9000, 9040, 500, 540, 100, 140}, {0, 40, 80, 120, 160, 200}, 6, 2},
};

static void follows_the_table(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        const pts_case *k = &cases[c];
        fm_pts_mender m = {.step_ns = 40 * MS, .end_ns = k->end_ms * MS};
        for (int i = 0; i < k->count; i++) {
            int64_t in = k->in[i] == NONE ? FM_PTS_NONE : k->in[i] * MS;
            int64_t got = fm__pts_mend(&m, in, k->duration_ms * MS, FM_PTS_NONE);
            if (got != k->out[i] * MS) {
                fail_msg("%s: frame %d: expected %lld ms, got %lld ns", k->name, i, (long long)k->out[i],
                    (long long)got);
            }
        }
        if (m.mended != k->mended) {
            fail_msg("%s: expected %d mended, got %d", k->name, (int)k->mended, (int)m.mended);
        }
    }
}

// Whatever comes in, time only goes forward.
static void is_strictly_monotonic_for_any_input(void **state)
{
    (void)state;
    static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, INT64_MAX / 2,
        -INT64_MAX / 2, 0, 1, -1, 1000000000000000000};
    uint64_t seed = 42;
    fm_pts_mender m = {.step_ns = 1, .end_ns = INT64_MAX / 4};
    int64_t last = -1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t r = seed >> 20;
        int64_t in = r % 3 == 0 ? edges[(r >> 8) % 10] : r % 3 == 1 ? (int64_t)(r % 100000) : (int64_t)seed;
        int64_t out = fm__pts_mend(&m, in, (int64_t)(seed >> (seed & 63)), FM_PTS_NONE);
        assert_true(out > last);
        last = out;
    }
}

static void believes_a_live_gap_that_passed_here_too(void **state)
{
    (void)state;
    fm_pts_mender m = {.step_ns = 40 * MS};
    assert_int_equal(fm__pts_mend(&m, 0, 0, 1000 * MS), 0);
    assert_int_equal(fm__pts_mend(&m, 60000 * MS, 0, 61000 * MS), 60000 * MS);
    // A jump without waiting is the camera's clock: what passed here counts.
    assert_int_equal(fm__pts_mend(&m, 9000000 * MS, 0, 61100 * MS), 60100 * MS);
    assert_int_equal(fm__pts_mend(&m, 9000040 * MS, 0, 61140 * MS), 60140 * MS);
    assert_int_equal(m.mended, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_table),
        cmocka_unit_test(is_strictly_monotonic_for_any_input),
        cmocka_unit_test(believes_a_live_gap_that_passed_here_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
