// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// base/yaml.h: any bytes as a document; what is accepted is walked and read as every type.

#include "base/yaml.h"
#include "fuzz.h"

#include <string.h>

static void walk(const fm_yaml *doc, const fm_yaml_node *node, int depth)
{
    FUZZ_CHECK(depth <= 33);
    size_t count = 0;
    for (const fm_yaml_node *n = node->child; n != NULL; n = n->next, count++) {
        int64_t whole;
        double number;
        bool flag;
        const char *text;
        FUZZ_CHECK(n->line >= 1 && n->column >= 1);
        FUZZ_CHECK((n->key != NULL) == (node->kind == FM_YAML_MAP));
        (void)fm__yaml_int(doc, n, -5, 5000, &whole, NULL);
        (void)fm__yaml_double(doc, n, -1e9, 1e9, &number, NULL);
        (void)fm__yaml_bool(doc, n, &flag, NULL);
        (void)fm__yaml_string(doc, n, &text, NULL);
        if (n->key != NULL)
            FUZZ_CHECK(fm__yaml_get(node, n->key) == n); // keys are unique
        walk(doc, n, depth + 1);
    }
    FUZZ_CHECK(count == node->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fm_yaml *doc = NULL;
    fm_error err = {0};
    if (fm__yaml_parse((const char *)data, size, "fuzz", &doc, &err) == FM_OK) {
        if (fm__yaml_root(doc) != NULL)
            walk(doc, fm__yaml_root(doc), 0);
    } else {
        FUZZ_CHECK(doc == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    }
    fm__yaml_free(&doc);
    return 0;
}
