// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Files of a graph: what was saved answers the same again and can be extended; the same bytes for any number
// of threads; cut off or flipped anywhere it is found, and the exact scan answers; files whose sums are right
// and whose links are wrong do no harm.

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "clusters.h"

#include <unistd.h>

enum { PAGE = 4096, HEAD_SUM = 60, SMALL_BLOCKS = 2, NODE_CHECK = 20, NODE_UPPER = 24, NODE_LEVEL = 28 };

typedef struct place {
    char *dir, *index, *graph;
} place;

static place in_folder(void)
{
    place p = {.dir = make_dir()};
    assert_true(asprintf(&p.index, "%s/a", p.dir) > 0 && asprintf(&p.graph, "%s/g", p.dir) > 0);
    return p;
}

static void leave(place *p)
{
    free(p->index);
    free(p->graph);
    drop_dir(p->dir);
}

static fm_status open_graph(fm__index *ix, const place *p, fm__near **out, fm_error *err)
{
    fm__near_opts o = {0};
    return fm__near_open(ix, p->graph, &o, out, err);
}

static char *read_graph(const place *p, size_t *len)
{
    char *data = NULL;
    assert_int_equal(fm__file_read(FM_TAG_SEARCH, p->graph, 1 << 28, &data, len, NULL), FM_OK);
    return data;
}

static void write_graph(const place *p, const void *data, size_t len)
{
    assert_int_equal(fm__file_replace(p->graph, data, len, NULL), FM_OK);
}

// Two blocks, saved.
static fm__index *small(const place *p)
{
    fm__index *ix = index_at(p->index, SMALL_BLOCKS * 1024, FM_METRIC_L2, 2);
    fm__near *near = near_over(ix);
    update(near);
    assert_int_equal(fm__near_save(near, p->graph, NULL), FM_OK);
    fm__near_free(&near);
    return ix;
}

static void test_saved(void **state)
{
    (void)state;
    place p = in_folder();
    fm__near *near = NULL;
    fm_error err = {0};
    fm__index *ix = index_at(p.index, 0, FM_METRIC_L2, 2);
    assert_int_equal(open_graph(ix, &p, &near, &err), FM_NOTFOUND);
    near = near_over(ix);
    update(near);
    assert_int_equal(fm__near_save(near, p.graph, NULL), FM_OK); // empty
    const size_t steps[] = {900, 3 * 1024, 3 * 1024 + 70, N + EXTRA};
    for (size_t s = 0; s < COUNT_OF(steps); s++) {
        size_t had = fm__index_count(ix);
        fm__near_free(&near);
        if (open_graph(ix, &p, &near, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        assert_int_equal(fm__index_append(ix, ids + had, rows + had * DIM, steps[s] - had, NULL), FM_OK);
        assert_int_equal(fm__index_save(ix, NULL), FM_OK);
        update(near);
        assert_int_equal(fm__near_save(near, p.graph, NULL), FM_OK);
        double before = recall(ix, near, NULL, 0, NULL);
        fm__near_free(&near);
        fm__index_close(&ix);
        ix = index_at(p.index, 0, FM_METRIC_L2, 2);
        assert_int_equal(open_graph(ix, &p, &near, NULL), FM_OK);
        assert_int_equal(fm__near_count(near), steps[s] / 1024 * 1024);
        assert_true(recall(ix, near, NULL, 0, NULL) == before && before >= 0.95);
        assert_int_equal(fm__near_verify(near, NULL), FM_OK);
    }
    fm__near_free(&near);
    fm__index_close(&ix);
    leave(&p);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    place p = in_folder();
    char *first = NULL;
    size_t first_len = 0;
    const int threads[] = {1, 2, 5};
    for (size_t t = 0; t < COUNT_OF(threads); t++) {
        fm__index *ix = index_at(NULL, 0, FM_METRIC_L2, threads[t]);
        fm__near *near = near_over(ix);
        for (size_t at = 0; at < N; at += N / 2) {
            assert_int_equal(fm__index_append(ix, ids + at, rows + at * DIM, N / 2, NULL), FM_OK);
            update(near);
        }
        assert_int_equal(fm__near_save(near, p.graph, NULL), FM_OK);
        size_t len;
        char *data = read_graph(&p, &len);
        if (t == 0) {
            first = data;
            first_len = len;
        } else {
            assert_int_equal(len, first_len);
            assert_memory_equal(data, first, len);
            fm__free(data);
        }
        fm__near_free(&near);
        fm__index_close(&ix);
    }
    fm__free(first);
    leave(&p);
}

// Whatever is damaged: the file is refused, or hits are right all the same, and a check finds it.
static void check_damaged(fm__index *ix, const place *p, size_t at)
{
    fm__near *near = NULL;
    fm_error err = {0};
    fm__near_how how;
    fm_status st = open_graph(ix, p, &near, &err);
    if (st != FM_OK) {
        assert_int_equal(st, FM_FORMAT);
        assert_true(err.msg[0] != 0 && strchr(err.msg, '\n') == NULL);
        return;
    }
    double r = recall(ix, near, NULL, 0, &how);
    if (r < (how == FM_NEAR_DAMAGED ? 1 : 0.95)) {
        fail_msg("byte %zu: recall %.4f, in way %d", at, r, how);
    }
    if (fm__near_verify(near, &err) != FM_FORMAT) {
        fail_msg("byte %zu is damaged, and not found", at);
    }
    assert_int_equal(fm__near_update(near, NULL, NULL, NULL, NULL),
        FM_OK); // nothing to link, or made anew where the damage was met
    fm__near_free(&near);
}

static void test_flipped_bytes(void **state)
{
    (void)state;
    place p = in_folder();
    uint64_t rng = 41;
    size_t len;
    fm__index *ix = small(&p);
    char *data = read_graph(&p, &len);
    for (int round = 0; round < 100; round++) {
        // The head, the lists at the end, anywhere. What fills up the head's page and a record's end is
        // covered by a sum (the record) or by nothing (the page).
        size_t at = round < 64   ? (size_t)round
                    : round < 80 ? len - 1 - (size_t)rnd_below(&rng, 600)
                                 : PAGE + (size_t)(rnd(&rng) % (len - PAGE));
        char bit = (char)(1 << rnd_below(&rng, 8));
        data[at] ^= bit;
        write_graph(&p, data, len);
        check_damaged(ix, &p, at);
        data[at] ^= bit;
    }
    fm__free(data);
    fm__index_close(&ix);
    leave(&p);
}

static void test_cut_off(void **state)
{
    (void)state;
    place p = in_folder();
    size_t len;
    fm__near *near = NULL;
    fm__index *ix = small(&p);
    char *data = read_graph(&p, &len);
    const size_t lengths[] = {0, 1, 63, 64, PAGE - 1, PAGE, PAGE + 1, len / 2, len - 1};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        write_graph(&p, data, lengths[i]);
        assert_int_equal(open_graph(ix, &p, &near, NULL), FM_FORMAT);
    }
    write_graph(&p, data, len + 1); // with the zero behind it: longer is not what the head says either
    assert_int_equal(open_graph(ix, &p, &near, NULL), FM_FORMAT);
    fm__free(data);
    fm__index_close(&ix);
    leave(&p);
}

static uint32_t get(const char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof(v));
    return v;
}

static void put(char *at, uint32_t v)
{
    memcpy(at, &v, sizeof(v));
}

enum { CODES = 64, LIST = CODES + 32 }; // of a record over 40 numbers

// Makes all nodes wrong in one way, with the right sums.
static void spoil(char *data, int way)
{
    size_t record = get(data + 24);
    for (uint32_t v = 0; v < SMALL_BLOCKS * 1024; v++) {
        char *r = data + PAGE + v * record;
        const uint32_t wrong[][2] = {{LIST, 1000000}, {LIST, 65}, {LIST + 4, UINT32_MAX},
            {LIST + 4, SMALL_BLOCKS * 1024}, {LIST + 4, v}, {LIST + 4, get(r + LIST + 8)},
            {CODES + NODE_LEVEL, 200}, {CODES + NODE_UPPER, UINT32_MAX}};
        put(r + wrong[way][0], wrong[way][1]);
        char *check = r + CODES + NODE_CHECK;
        put(check,
            fm__crc32c(fm__crc32c(0, r, CODES + NODE_CHECK), check + 4, record - CODES - NODE_CHECK - 4));
    }
}

static void test_wrong_with_right_sums(void **state)
{
    (void)state;
    // Of links to itself and links named twice a walk takes no notice, nor of levels that it does not come
    // to.
    const fm__near_how expected[] = {FM_NEAR_DAMAGED, FM_NEAR_DAMAGED, FM_NEAR_DAMAGED, FM_NEAR_DAMAGED,
        FM_NEAR_GRAPH, FM_NEAR_GRAPH, FM_NEAR_GRAPH, FM_NEAR_DAMAGED};
    place p = in_folder();
    size_t len;
    fm__index *ix = small(&p);
    char *good = read_graph(&p, &len), *data = malloc(len);
    for (int way = 0; way < 8; way++) {
        fm__near *near = NULL;
        memcpy(data, good, len);
        spoil(data, way);
        write_graph(&p, data, len);
        assert_int_equal(open_graph(ix, &p, &near, NULL), FM_OK);
        check_recall(ix, near, NULL, 0, expected[way] == FM_NEAR_DAMAGED ? 1 : 0.9, expected[way]);
        assert_int_equal(fm__near_verify(near, NULL), FM_FORMAT);
        fm__near_free(&near);
    }
    // Numbers of the head that are out of range, its sum being right.
    const uint32_t heads[][2] = {{8, 2}, {12, DIM + 1}, {12, 0}, {16, 0}, {16, 65}, {16, 16}, {20, 0},
        {24, 64}, {28, SMALL_BLOCKS * 1024}, {32, 17}, {32, 0}, {40, 3}, {40, UINT32_MAX}, {44, 1}, {48, 1},
        {52, 1}};
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        fm__near *near = NULL;
        memcpy(data, good, len);
        put(data + heads[i][0], heads[i][1]);
        put(data + HEAD_SUM, fm__crc32c(0, data, HEAD_SUM));
        write_graph(&p, data, len);
        if (open_graph(ix, &p, &near, NULL) != FM_FORMAT) {
            fail_msg("%u at byte %u of the head is taken", heads[i][1], heads[i][0]);
        }
    }
    free(data);
    fm__free(good);
    fm__index_close(&ix);
    leave(&p);
}

// A damaged graph is not extended: what was met or not is looked at first.
static void test_damage_is_not_extended(void **state)
{
    (void)state;
    place p = in_folder();
    size_t len;
    fm__near *near = NULL;
    fm_error err = {0};
    fm__index *ix = small(&p);
    char *data = read_graph(&p, &len);
    data[len / 2] ^= 1;
    write_graph(&p, data, len);
    assert_int_equal(open_graph(ix, &p, &near, NULL), FM_OK);
    size_t had = SMALL_BLOCKS * 1024;
    assert_int_equal(fm__index_append(ix, ids + had, rows + had * DIM, N - had, NULL), FM_OK);
    assert_int_equal(fm__near_update(near, NULL, NULL, NULL, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "make it anew"));
    assert_int_equal(fm__near_count(near), 0); // and made anew it is
    update(near);
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
    fm__near_free(&near);
    fm__free(data);
    fm__index_close(&ix);
    leave(&p);
}

static void test_not_of_this_index(void **state)
{
    (void)state;
    place p = in_folder();
    fm__near *near = NULL;
    fm_error err = {0};
    fm__index *ix = small(&p);
    fm__index_close(&ix);
    ix = index_at(NULL, 1024, FM_METRIC_L2, 1); // shorter
    assert_int_equal(open_graph(ix, &p, &near, &err), FM_FORMAT);
    fm__index_close(&ix);
    ix = index_at(NULL, 0, FM_METRIC_L2, 1); // the same vectors under other ids
    for (size_t v = 0; v < SMALL_BLOCKS * 1024; v++) {
        int64_t id = ids[v] + 1;
        assert_int_equal(fm__index_append(ix, &id, rows + v * DIM, 1, NULL), FM_OK);
    }
    assert_int_equal(open_graph(ix, &p, &near, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "not of the index"));
    fm__index_close(&ix);
    leave(&p);
}

static void test_cannot_be_written(void **state)
{
    (void)state;
    place p = in_folder();
    fm_error err = {0};
    fm__index *ix = index_at(NULL, 1024, FM_METRIC_L2, 1);
    fm__near *near = near_over(ix);
    update(near);
    char *nowhere = NULL;
    assert_true(asprintf(&nowhere, "%s/no/g", p.dir) > 0);
    assert_int_equal(fm__near_save(near, nowhere, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, nowhere));
    for (uint64_t nth = 1;; nth++) {
        fm__near *again = NULL;
        assert_int_equal(fm__near_save(near, p.graph, NULL), FM_OK);
        fm__alloc_fail_at(nth, false);
        fm_status st = open_graph(ix, &p, &again, NULL);
        fm__alloc_fail_at(0, false);
        fm__near_free(&again);
        if (st == FM_OK) {
            assert_true(nth > 5);
            break;
        }
        assert_int_equal(st, FM_NOMEM);
    }
    free(nowhere);
    fm__near_free(&near);
    fm__index_close(&ix);
    leave(&p);
}

int main(void)
{
    fill(40, 0.5F);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_wrong_with_right_sums),
        cmocka_unit_test(test_damage_is_not_extended),
        cmocka_unit_test(test_not_of_this_index),
        cmocka_unit_test(test_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
