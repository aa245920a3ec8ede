// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// models/spec.h: any bytes as a model file. File names that are accepted must be plain, addresses https.

#include "fuzz.h"
#include "models/spec.h"

#include <string.h>

static void check_variant(const fm_spec_variant *v)
{
    FUZZ_CHECK(v->file_count >= 1 && v->file_count <= FM_SPEC_MAX_FILES);
    FUZZ_CHECK(v->input.width >= 1 && v->input.height >= 1);
    for (size_t i = 0; i < v->file_count; i++) {
        const fm_spec_file *f = &v->files[i];
        FUZZ_CHECK(f->path[0] != '\0' && f->path[0] != '.' && strchr(f->path, '/') == NULL);
        FUZZ_CHECK(f->sha256 == NULL || strspn(f->sha256, "0123456789abcdef") == 64);
        for (const fm_yaml_node *u = f->urls ? f->urls->child : NULL; u != NULL; u = u->next)
            FUZZ_CHECK(strncmp(u->scalar, "https://", 8) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fm_spec *spec = NULL;
    fm_error err = {0};
    if (fm__spec_parse((const char *)data, size, "fuzz", NULL, &spec, &err) == FM_OK) {
        FUZZ_CHECK(fm__model_name_ok(spec->name));
        FUZZ_CHECK(spec->variant_count >= 1 && spec->variant_count <= FM_SPEC_MAX_VARIANTS);
        for (size_t i = 0; i < spec->variant_count; i++)
            check_variant(&spec->variants[i]);
    } else {
        FUZZ_CHECK(spec == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    }
    fm__spec_free(&spec);
    return 0;
}
