// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Dot products at one CPU level against the scalar twin, to the bit, over every length to 150, all counts of
// rows around the unrolled four, rows apart from one another, and odd addresses; each vector ends where
// readable memory does. The twin against sums in double.

#include "../unit/testing.h"
#include "base/cpu.h"
#include "ops/dot.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LONGEST = 150, MOST_ROWS = 9 };

static fm_cpu_level level;

// n floats whose end touches a page that cannot be read.
typedef struct guarded {
    char *map;
    size_t size;
    float *data;
} guarded;

static guarded make_guarded(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.size = (n * sizeof(float) + page - 1) / page * page + page};
    g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + g.size - page, page, PROT_NONE), 0);
    g.data = (float *)(void *)(g.map + g.size - page) - n;
    return g;
}

static void fill(uint64_t *rng, float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(rnd_below(rng, 20001) - 10000) / 3000;
}

static void check(const float *rows, size_t count, size_t stride, const float *q, size_t n)
{
    float want = fm__dot_max(rows, count, stride, q, n, FM_CPU_SCALAR);
    float got = fm__dot_max(rows, count, stride, q, n, level);
    if (memcmp(&want, &got, sizeof got) != 0 && !(want == 0 && got == 0))
        fail_msg(
            "%zu rows of %zu, %zu apart: %.9g, scalar %.9g", count, n, stride, (double)got, (double)want);
}

static void test_shapes(void **state)
{
    (void)state;
    uint64_t rng = 4;
    for (size_t n = 0; n <= LONGEST; n++) {
        guarded q = make_guarded(n);
        fill(&rng, q.data, n);
        for (size_t count = 0; count <= MOST_ROWS; count++) {
            for (size_t stride = n; stride < n + 20; stride += 7) {
                size_t floats = count == 0 ? 0 : (count - 1) * stride + n;
                guarded rows = make_guarded(floats);
                fill(&rng, rows.data, floats);
                check(rows.data, count, stride, q.data, n);
                munmap(rows.map, rows.size);
            }
        }
        munmap(q.map, q.size);
    }
}

static void test_values(void **state)
{
    (void)state;
    enum { N = 77 };
    const float odd[] = {NAN, INFINITY, -INFINITY, 3e38F, -3e38F, 1e-42F, 0, -0.0F};
    uint64_t rng = 5;
    float rows[5][N], q[N];
    for (int round = 0; round < 2000; round++) {
        fill(&rng, &rows[0][0], sizeof rows / sizeof(float));
        fill(&rng, q, N);
        for (int k = rnd_below(&rng, 4); k >= 0; k--)
            rows[rnd_below(&rng, 5)][rnd_below(&rng, N)] = odd[rnd_below(&rng, COUNT_OF(odd))];
        check(&rows[0][0], 5, N, q, N);
    }
    for (size_t i = 0; i < N; i++)
        rows[0][i] = NAN;
    assert_true(fm__dot_max(&rows[0][0], 1, N, q, N, level) == -INFINITY);
}

static void test_against_double(void **state)
{
    (void)state;
    uint64_t rng = 6;
    float a[600], b[600];
    for (size_t n = 0; n <= 600; n += 13) {
        double sum = 0, size = 0;
        fill(&rng, a, n);
        fill(&rng, b, n);
        for (size_t i = 0; i < n; i++) {
            sum += (double)a[i] * (double)b[i];
            size += fabs((double)a[i] * (double)b[i]);
        }
        assert_true(fabs((double)fm__dot(a, b, n, level) - sum) <= 1e-6 * size);
    }
}

int main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < FM_CPU_LEVEL_COUNT; i++) {
        if (strcmp(argv[1], fm__cpu_level_name((fm_cpu_level)i)) == 0)
            level = (fm_cpu_level)i;
    }
    if (level > fm__cpu_level()) {
        printf("skipped: this CPU has no %s\n", fm__cpu_level_name(level));
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_against_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
