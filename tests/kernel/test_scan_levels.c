// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The scan at one level against the scalar twin, to the bit: distances, masks and squares, for all counts of
// queries and panels, dimensions around every width, codes that end where readable memory does. And what the
// bounds promise, against distances in double: never above, never below.

#include "../unit/testing.h"
#include "base/cpu.h"
#include "ops/scan.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PANELS = 11, SLOTS = PANELS * FM_SCAN_PANEL, LONGEST = 100, QUERIES = FM_SCAN_TILE };

static fm__scan_level level;
static fm_cpu_level cpu;

typedef struct scene {
    size_t dim, groups;
    char *map;
    size_t map_size;
    uint8_t *codes;
    float quant[6][SLOTS];
    fm__scan_quant q;
    float rows[SLOTS][LONGEST], asks[QUERIES][LONGEST];
    fm__scan_query queries[QUERIES];
    int8_t query_codes[QUERIES][LONGEST + 4];
} scene;

// Kinds of numbers: spread, all positive, one large among zeros, all the same, tiny, huge, far from zero.
static float number(uint64_t *rng, int kind, size_t i)
{
    float v = (float)(rnd_below(rng, 20001) - 10000) / 10000;
    switch (kind) {
    case 1:
        return fabsf(v);
    case 2:
        return i == 3 ? 7 : 0;
    case 3:
        return 0.25F;
    case 4:
        return v * 1e-20F;
    case 5:
        return v * 1e15F;
    case 6:
        return 1000 + v;
    default:
        return v;
    }
}

static scene *make(uint64_t *rng, size_t dim, int kind)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    scene *s = calloc(1, sizeof(*s));
    s->dim = dim;
    s->groups = fm__scan_groups(dim);
    size_t bytes = PANELS * s->groups * 64;
    s->map_size = (bytes + page - 1) / page * page + page;
    s->map = mmap(NULL, s->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(s->map != MAP_FAILED);
    assert_int_equal(mprotect(s->map + s->map_size - page, page, PROT_NONE), 0);
    s->codes = (uint8_t *)s->map + s->map_size - page - bytes;
    s->q = (fm__scan_quant){s->quant[0], s->quant[1], s->quant[2], s->quant[3], s->quant[4], s->quant[5]};
    for (size_t v = 0; v < SLOTS; v++) {
        for (size_t i = 0; i < dim; i++) {
            s->rows[v][i] = number(rng, kind, i);
        }
        fm__scan_put(
            s->codes + v / FM_SCAN_PANEL * s->groups * 64, v % FM_SCAN_PANEL, s->rows[v], dim, &s->q, v);
    }
    for (size_t j = 0; j < QUERIES; j++) {
        // Some are vectors that are there, so that distances of 0 are among them.
        for (size_t i = 0; i < dim; i++) {
            s->asks[j][i] = j % 3 == 0 ? s->rows[j * 5][i] : number(rng, kind, i);
        }
        fm__scan_query_init(&s->queries[j], s->query_codes[j], s->asks[j], dim);
    }
    return s;
}

static void drop(scene *s)
{
    munmap(s->map, s->map_size);
    free(s);
}

static double distance(const scene *s, size_t j, size_t v)
{
    double sum = 0;
    for (size_t i = 0; i < s->dim; i++) {
        double d = (double)s->asks[j][i] - (double)s->rows[v][i];
        sum += d * d;
    }
    return sqrt(sum);
}

typedef struct answer {
    uint16_t masks[PANELS * QUERIES];
    float near2[PANELS * QUERIES * FM_SCAN_PANEL];
} answer;

static void run_level(const scene *s, size_t panels, size_t count, const uint16_t *live, const float *reach,
    fm__scan_level at, answer *out)
{
    memset(out, 0xff, sizeof(*out));
    fm__scan_run r = {.codes = s->codes + (PANELS - panels) * s->groups * 64,
        .groups = s->groups,
        .panels = panels,
        .quant = &s->q,
        .slot = (PANELS - panels) * FM_SCAN_PANEL,
        .live = live,
        .queries = s->queries,
        .count = count,
        .reach = reach,
        .masks = out->masks,
        .near2 = out->near2};
    fm__scan_codes(&r, at);
}

static void check_same(const answer *a, const answer *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a->masks[i] != b->masks[i]) {
            fail_msg("mask %zu: %x, scalar %x", i, a->masks[i], b->masks[i]);
        }
        for (unsigned l = 0; l < FM_SCAN_PANEL; l++) {
            const float *x = &a->near2[i * FM_SCAN_PANEL + l], *y = &b->near2[i * FM_SCAN_PANEL + l];
            if (a->masks[i] >> l & 1 && memcmp(x, y, sizeof(*x)) != 0) {
                fail_msg("square %zu, %u: %.9g, scalar %.9g", i, l, (double)*x, (double)*y);
            }
        }
    }
}

static void test_codes(void **state)
{
    (void)state;
    uint64_t rng = 7;
    static answer got, want;
    for (size_t dim = 1; dim <= LONGEST; dim += dim < 20 ? 1 : 13) {
        for (int kind = 0; kind < 7; kind++) {
            scene *s = make(&rng, dim, kind);
            for (size_t count = 1; count <= QUERIES; count++) {
                size_t panels = 1 + (size_t)rnd_below(&rng, PANELS);
                uint16_t live[PANELS];
                float reach[QUERIES];
                for (size_t p = 0; p < PANELS; p++) {
                    live[p] = (uint16_t)(rnd_below(&rng, 3) ? rnd(&rng) : rnd_below(&rng, 2) ? 0 : 0xffff);
                }
                for (size_t j = 0; j < QUERIES; j++) {
                    reach[j] =
                        rnd_below(&rng, 4) ? (float)distance(s, j, (size_t)rnd_below(&rng, SLOTS)) : INFINITY;
                }
                run_level(s, panels, count, live, reach, level, &got);
                run_level(s, panels, count, live, reach, FM_SCAN_SCALAR, &want);
                check_same(&got, &want, panels * count);
            }
            drop(s);
        }
    }
}

// Every vector that is alive and not farther than the reach is hit, and its bounds hold.
static void test_bounds(void **state)
{
    (void)state;
    uint64_t rng = 8;
    static answer got;
    size_t ruled_out = 0;
    for (size_t dim = 1; dim <= LONGEST; dim += 7) {
        for (int kind = 0; kind < 7; kind++) {
            scene *s = make(&rng, dim, kind);
            uint16_t live[PANELS];
            float reach[QUERIES];
            memset(live, 0xff, sizeof(live));
            for (size_t j = 0; j < QUERIES; j++) {
                reach[j] = nextafterf((float)distance(s, j, (size_t)rnd_below(&rng, SLOTS)), INFINITY);
            }
            run_level(s, PANELS, QUERIES, live, reach, level, &got);
            for (size_t v = 0; v < SLOTS; v++) {
                for (size_t j = 0; j < QUERIES; j++) {
                    size_t at = v / FM_SCAN_PANEL * QUERIES + j;
                    bool hit = got.masks[at] >> v % FM_SCAN_PANEL & 1;
                    double d = distance(s, j, v);
                    ruled_out += !hit;
                    assert_true(hit || d > (double)reach[j]);
                    if (hit) {
                        float near2 = got.near2[at * FM_SCAN_PANEL + v % FM_SCAN_PANEL];
                        double low = (double)fm__scan_lower(&s->queries[j], &s->q, v, near2);
                        double high = (double)fm__scan_upper(&s->queries[j], &s->q, v, near2);
                        if (low > d || high < d) {
                            fail_msg("dim %zu kind %d: %.9g is not in %.9g..%.9g", dim, kind, d, low, high);
                        }
                    }
                }
            }
            drop(s);
        }
    }
    assert_true(ruled_out > 10000); // bounds that hold because they let all through would be no test
}

static void test_distance(void **state)
{
    (void)state;
    uint64_t rng = 9;
    float a[160] = {0}, b[160] = {0};
    for (size_t stride = 0; stride <= 160; stride += 16) {
        for (int round = 0; round < 200; round++) {
            double sum = 0;
            for (size_t i = 0; i < stride; i++) {
                a[i] = number(&rng, 0, i);
                b[i] = number(&rng, 0, i);
                sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
            }
            float got = fm__scan_l2(a, b, stride, cpu), want = fm__scan_l2(a, b, stride, FM_CPU_SCALAR);
            assert_memory_equal(&got, &want, sizeof(got));
            assert_true(fabs((double)got - sum) <= 2e-6 * sum);
        }
    }
}

// Rows that end where readable memory does, at every length; the largest numbers there are.
static void test_dots(void **state)
{
    (void)state;
    enum { ROWS = 7, MOST = 5 * FM_SCAN_ROW };
    uint64_t rng = 10;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    _Alignas(64) int8_t query[MOST];
    for (size_t length = FM_SCAN_ROW; length <= MOST; length += FM_SCAN_ROW) {
        for (int kind = 0; kind < 3; kind++) {
            const uint8_t *rows[ROWS];
            int32_t got[ROWS];
            for (size_t r = 0; r < ROWS; r++) {
                uint8_t *row = (uint8_t *)map + page - (r + 1) * length;
                for (size_t i = 0; i < length; i++) {
                    row[i] = kind == 0 ? (uint8_t)rnd(&rng) : 255;
                }
                rows[r] = row;
            }
            for (size_t i = 0; i < length; i++) {
                query[i] = kind == 0 ? (int8_t)rnd(&rng) : kind == 1 ? 127 : -128;
            }
            for (size_t count = 0; count <= ROWS; count++) {
                memset(got, 0x55, sizeof(got));
                fm__scan_dots(rows, count, query, length, got, level);
                for (size_t r = 0; r < ROWS; r++) {
                    int64_t want = 0;
                    for (size_t i = 0; i < length; i++) {
                        want += (int64_t)rows[r][i] * query[i];
                    }
                    assert_int_equal(got[r], r < count ? want : 0x55555555);
                }
            }
        }
    }
    munmap(map, 2 * page);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"scalar", "avx2", "vnni"};
    static const fm_cpu_level cpus[] = {FM_CPU_SCALAR, FM_CPU_AVX2, FM_CPU_AVX512};
    for (int i = 0; argc > 1 && i < FM_SCAN_LEVEL_COUNT; i++) {
        if (strcmp(argv[1], names[i]) == 0) {
            level = (fm__scan_level)i;
            cpu = cpus[i];
        }
    }
    if (level > fm__scan_best_level()) {
        printf("skipped: this CPU has no %s\n", names[level]);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
