// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// YAML: the tree and its places, the typed getters, and every way in which a file can be wrong, each with the
// line and column that its message must name.

#include "../testing.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/yaml.h"

#include <stdlib.h>

static fm_yaml *parsed(const char *text)
{
    fm_yaml *doc = NULL;
    fm_error err = {0};
    if (fm__yaml_parse(text, strlen(text), "t.yaml", &doc, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return doc;
}

static void the_tree_knows_its_places(void **state)
{
    (void)state;
    fm_yaml *doc = parsed("# a comment\n"
                          "name: gate\n"
                          "size: [640, 480]\n"
                          "streams:\n"
                          "  - {name: a, url: \"rtsp://x\"}\n"
                          "  - name: b\n");
    assert_string_equal(fm__yaml_name(doc), "t.yaml");
    const fm_yaml_node *root = fm__yaml_root(doc);
    assert_int_equal(root->kind, FM_YAML_MAP);
    assert_int_equal(root->count, 3);
    const fm_yaml_node *name = fm__yaml_get(root, "name");
    assert_string_equal(name->scalar, "gate");
    assert_string_equal(name->key, "name");
    assert_int_equal(name->line, 2);
    assert_int_equal(name->column, 7);
    const fm_yaml_node *size = fm__yaml_get(root, "size");
    assert_int_equal(size->kind, FM_YAML_SEQ);
    assert_int_equal(size->count, 2);
    assert_null(size->child->key);
    assert_string_equal(size->child->next->scalar, "480");
    assert_null(size->child->next->next);
    const fm_yaml_node *second = fm__yaml_get(root, "streams")->child->next;
    assert_string_equal(fm__yaml_get(second, "name")->scalar, "b");
    assert_int_equal(second->line, 6);
    const fm_yaml_node *url = fm__yaml_get(fm__yaml_get(root, "streams")->child, "url");
    assert_true(url->quoted);
    assert_false(name->quoted);
    assert_null(fm__yaml_get(root, "nothing"));
    assert_null(fm__yaml_get(name, "name"));
    assert_null(fm__yaml_get(NULL, "name"));
    fm__yaml_free(&doc);
    assert_null(doc);
    fm__yaml_free(&doc);
    fm__yaml_free(NULL);
}

static void nothing_is_an_empty_map(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        fm_yaml *doc = parsed(texts[i]);
        const fm_yaml_node *root = fm__yaml_root(doc);
        bool empty_scalar = root->kind == FM_YAML_SCALAR && root->scalar[0] == 0; // "---" alone
        assert_true((root->kind == FM_YAML_MAP && root->count == 0) || empty_scalar);
        fm__yaml_free(&doc);
    }
}

static void check_error(const char *text, size_t len, const char *begin, const char *part)
{
    fm_yaml *doc = NULL;
    fm_error err = {0};
    assert_int_equal(fm__yaml_parse(text, len, "t.yaml", &doc, &err), FM_FORMAT);
    assert_int_equal(err.status, FM_FORMAT);
    assert_null(doc);
    if (!fm__str_starts(err.msg, begin) || !strstr(err.msg, part)) {
        fail_msg("'%s' instead of '%s...%s...'", err.msg, begin, part);
    }
}

static void errors_name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begin, *part;
    } cases[] = {
        {"a: 1\nb: [1, 2\nc: 3\n", "t.yaml:3:", ""},
        {"a: 1\n\tb: 2\n", "t.yaml:2:1:", ""},
        {"a: \"open\n", "t.yaml:2:1:", ""},
        {"a: 1\na: 2\n", "t.yaml:2:1:", "'a' stands twice"},
        {"x:\n  k: 1\n  l: 2\n  k: 3\n", "t.yaml:4:3:", "'k' stands twice"},
        {"a: &x 1\nb: *x\n", "t.yaml:2:4:", "aliases"},
        {"a: &x {b: 1}\n<<: *x\n", "t.yaml:2:5:", "aliases"},
        {"[a, b]: 1\n", "t.yaml:1:1:", "key must be plain"},
        {"? {a: 1}\n: 2\n", "t.yaml:1:3:", "key must be plain"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1:", "second document"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4:", "NUL"},
        {"\"k\\0\": 1\n", "t.yaml:1:1:", "NUL"},
        {"a: }\n", "t.yaml:1:4:", ""},
        {"a: b: c\n", "t.yaml:1:5:", ""},
        {"a: @x\n", "t.yaml:1:4:", ""},
        {"%YAML 9.9\n---\na: 1\n", "t.yaml:1:1:", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_error(cases[i].text, strlen(cases[i].text), cases[i].begin, cases[i].part);
    }
}

static void a_bad_byte_is_found_on_its_line(void **state)
{
    (void)state;
    static const char nul[] = "a: 1\nb: 2\nc: x\0y\n";
    check_error(nul, sizeof(nul) - 1, "t.yaml:3:5:", "control characters");
    static const char bell[] = "a: 1\nbc: \x07\n";
    check_error(bell, sizeof(bell) - 1, "t.yaml:2:5:", "control characters");
    static const char latin1[] = "a: 1\nb: caf\xe9 x\n";
    check_error(latin1, sizeof(latin1) - 1, "t.yaml:2:8:", "UTF-8");
    static const char cut[] = "k: \xc3\xa9\xe2\x82";
    check_error(cut, sizeof(cut) - 1, "t.yaml:1:5:", "UTF-8");
}

static void limits_are_errors(void **state)
{
    (void)state;
    fm_str s;
    fm__str_init(&s, FM_TAG_BASE);
    for (int i = 0; i < 40; i++) {
        fm__str_add(&s, "[");
    }
    check_error(s.data, s.len, "t.yaml:1:34:", "too deep");
    fm__str_reset(&s);
    fm__str_add(&s, "[");
    for (int i = 0; i < 70000; i++) {
        fm__str_add(&s, "1,\n");
    }
    check_error(s.data, s.len, "t.yaml:", "too many values");
    fm__str_reset(&s);
    for (int i = 0; i < 1024 * 1024 / 8 + 1; i++) {
        fm__str_add(&s, "# 345678");
    }
    check_error(s.data, s.len, "t.yaml: ", "1 MiB");
    s.len = 1024 * 1024;
    fm_yaml *doc = NULL;
    assert_int_equal(fm__yaml_parse(s.data, s.len, "t.yaml", &doc, NULL), FM_OK); // exactly 1 MiB is allowed
    fm__yaml_free(&doc);
    fm__str_done(&s);
}

// Looking for a key that stands twice takes time with the square of their number: minutes for a file of 1
// MiB.
static void a_file_of_sixty_thousand_keys_is_refused_at_once(void **state)
{
    (void)state;
    fm_str s;
    fm__str_init(&s, FM_TAG_BASE);
    for (int i = 0; i < 65000; i++) {
        fm__str_printf(&s, "k%05d:\n", i);
    }
    check_error(s.data, s.len, "t.yaml:1025:1:", "too many keys");
    fm__str_done(&s);
}

static void a_megabyte_of_brackets_is_refused_at_once(void **state)
{
    (void)state;
    static const char *const parts[] = {"[", "{", "- ", "? ", "a: [", "{a: ", "!!str ", "&a "};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        fm_str s;
        fm_yaml *doc = NULL;
        fm__str_init(&s, FM_TAG_BASE);
        while (s.len + strlen(parts[i]) <= 1024 * 1024) {
            fm__str_add(&s, parts[i]);
        }
        int64_t begin = fm__now_ns();
        assert_int_equal(fm__yaml_parse(s.data, s.len, "t.yaml", &doc, NULL), FM_FORMAT);
        assert_true(fm__now_ns() - begin < 20 * FM_NS_PER_S);
        fm__str_done(&s);
    }
}

static void typed_getters(void **state)
{
    (void)state;
    fm_yaml *doc = parsed("i: 42\nneg: -7\nbig: 99999999999999999999\nd: 0.5\nq: \"42\"\nt: Yes\nf: off\n"
                          "s: text\ne:\nm: {a: 1}\nl: [1, x]\nqe: ''\n");
    const fm_yaml_node *root = fm__yaml_root(doc);
#define NODE(key) fm__yaml_get(root, key)
    int64_t i = 0;
    double d = 0;
    bool b = false;
    const char *text = NULL;
    fm_error err;
    assert_int_equal(fm__yaml_int(doc, NODE("i"), 0, 100, &i, &err), FM_OK);
    assert_int_equal(i, 42);
    assert_int_equal(fm__yaml_int(doc, NODE("neg"), -7, -7, &i, &err), FM_OK);
    assert_int_equal(i, -7);
    assert_int_equal(fm__yaml_int(doc, NODE("i"), 0, 41, &i, &err), FM_FORMAT);
    assert_string_equal(err.msg, "t.yaml:1:4: key 'i': 42 is out of range, 0 to 41 is allowed");
    assert_int_equal(i, -7);
    static const char *const no_int[] = {"big", "d", "q", "t", "s", "e", "m", "l"};
    for (size_t k = 0; k < COUNT_OF(no_int); k++) {
        assert_int_equal(fm__yaml_int(doc, NODE(no_int[k]), INT64_MIN, INT64_MAX, &i, &err), FM_FORMAT);
        assert_non_null(strstr(err.msg, "expected a whole number"));
    }
    assert_int_equal(fm__yaml_double(doc, NODE("d"), 0, 1, &d, &err), FM_OK);
    assert_true(d == 0.5);
    assert_int_equal(fm__yaml_double(doc, NODE("i"), 0, 100, &d, &err), FM_OK);
    assert_int_equal(fm__yaml_double(doc, NODE("i"), 0, 1, &d, &err), FM_FORMAT);
    assert_string_equal(err.msg, "t.yaml:1:4: key 'i': 42 is out of range, 0 to 1 is allowed");
    assert_int_equal(fm__yaml_double(doc, NODE("q"), 0, 100, &d, &err), FM_FORMAT);
    assert_string_equal(err.msg, "t.yaml:5:4: key 'q': expected a number, got '42'");
    assert_int_equal(fm__yaml_bool(doc, NODE("t"), &b, &err), FM_OK);
    assert_true(b);
    assert_int_equal(fm__yaml_bool(doc, NODE("f"), &b, &err), FM_OK);
    assert_false(b);
    assert_int_equal(fm__yaml_bool(doc, NODE("i"), &b, &err), FM_FORMAT);
    assert_int_equal(fm__yaml_bool(doc, NODE("m"), &b, &err), FM_FORMAT);
    assert_string_equal(err.msg, "t.yaml:10:4: key 'm': expected true or false, got 'a map'");
    assert_int_equal(fm__yaml_string(doc, NODE("q"), &text, &err), FM_OK);
    assert_string_equal(text, "42");
    assert_int_equal(fm__yaml_string(doc, NODE("qe"), &text, &err), FM_OK);
    assert_string_equal(text, "");
    assert_int_equal(fm__yaml_string(doc, NODE("e"), &text, &err), FM_FORMAT);
    assert_int_equal(fm__yaml_string(doc, NODE("l"), &text, &err), FM_FORMAT);
    assert_string_equal(err.msg, "t.yaml:11:4: key 'l': expected text, got 'a list'");
    assert_int_equal(fm__yaml_int(doc, NODE("l")->child->next, 0, 9, &i, &err), FM_FORMAT);
    assert_string_equal(err.msg, "t.yaml:11:8: key '(list item)': expected a whole number, got 'x'");
    assert_int_equal(fm__yaml_fail(doc, NODE("m"), &err, "no %s", "maps"), FM_FORMAT);
    assert_string_equal(err.msg, "t.yaml:10:4: no maps");
#undef NODE
    fm__yaml_free(&doc);
}

static void files(void **state)
{
    (void)state;
    char *dir = make_dir();
    char *path = fm__path_join(FM_TAG_BASE, dir, "c.yaml");
    fm_yaml *doc = NULL;
    fm_error err;
    assert_int_equal(fm__yaml_load(path, &doc, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, path));
    FILE *f = fopen(path, "w");
    fputs("a: 1\n", f);
    fclose(f);
    assert_int_equal(fm__yaml_load(path, &doc, &err), FM_OK);
    assert_string_equal(fm__yaml_name(doc), path);
    fm__yaml_free(&doc);
    fm__free(path);
    drop_dir(dir);
}

static void any_bytes_end_in_a_tree_or_an_error(void **state)
{
    (void)state;
    static const char lures[] = "a:b -[]{}?,\"'\n\n  #&*!|>%@`\\0\t1.";
    uint64_t seed = 41;
    for (int round = 0; round < 20000; round++) {
        char text[80];
        int len = rnd_below(&seed, (int)sizeof(text));
        for (int i = 0; i < len; i++) {
            bool lure = rnd_below(&seed, 20);
            text[i] = lure ? lures[rnd_below(&seed, (int)sizeof(lures) - 1)] : (char)rnd_below(&seed, 256);
        }
        fm_yaml *doc = NULL;
        fm_error err = {0};
        fm_status st = fm__yaml_parse(text, (size_t)len, "t", &doc, &err);
        assert_true(st == FM_OK ? doc != NULL : st == FM_FORMAT && !doc && err.msg[0]);
        if (st != FM_OK) {
            int line = 0, column = 0;
            assert_int_equal(sscanf(err.msg, "t:%d:%d: ", &line, &column), 2);
            assert_true(line >= 1 && line <= len + 2 && column >= 1 && column <= len + 2);
        }
        fm__yaml_free(&doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_knows_its_places),
        cmocka_unit_test(nothing_is_an_empty_map),
        cmocka_unit_test(errors_name_line_and_column),
        cmocka_unit_test(a_bad_byte_is_found_on_its_line),
        cmocka_unit_test(limits_are_errors),
        cmocka_unit_test(a_file_of_sixty_thousand_keys_is_refused_at_once),
        cmocka_unit_test(a_megabyte_of_brackets_is_refused_at_once),
        cmocka_unit_test(typed_getters),
        cmocka_unit_test(files),
        cmocka_unit_test(any_bytes_end_in_a_tree_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
