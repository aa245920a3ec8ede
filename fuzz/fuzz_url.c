// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// stream/stream.h, stream/testsrc.h: any text as an input of `run`. Only the kinds that are listed get
// through, and a stream's name is safe.

#include "base/alloc.h"
#include "fuzz.h"
#include "stream/stream.h"
#include "stream/testsrc.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    fm_stream_kind kind;
    fm_error err = {0};
    if (fm__stream_classify(text, &kind, &err) != FM_OK)
        FUZZ_CHECK(err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    char *name = fm__stream_name(text);
    FUZZ_CHECK(name != NULL && name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL);
    fm__free(name);
    fm_testsrc src;
    if (fm__testsrc_parse(text, &src, &err) == FM_OK) {
        fm_det dets[64];
        FUZZ_CHECK(src.width > 0 && src.height > 0 && src.fps > 0 && src.shapes <= 64);
        FUZZ_CHECK(fm__testsrc_truth(&src, 7, dets) <= 64);
    }
    free(text);
    return 0;
}
