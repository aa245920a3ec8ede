// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// ops/lut3d.h: any bytes as a .cube file; a table that is accepted is laid over pixels, the same at every CPU
// level.

#include "fuzz.h"

#include "ops/lut3d.h"

#include <string.h>

enum { PIXELS = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fm__lut3d *lut = NULL;
    fm_error err = {0};
    if (fm__lut3d_parse((const char *)data, size, "fuzz", &lut, &err) == FM_OK) {
        uint8_t in[3 * PIXELS], a[3 * PIXELS], b[3 * PIXELS];
        for (int i = 0; i < 3 * PIXELS; i++) {
            in[i] = (uint8_t)(i * 89 >> (i & 3));
        }
        fm__lut3d_row(lut, a, in, PIXELS, FM_CPU_SCALAR);
        fm__lut3d_row(lut, b, in, PIXELS, fm__cpu_level());
        FUZZ_CHECK(memcmp(a, b, sizeof(a)) == 0);
    } else {
        FUZZ_CHECK(lut == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    }
    fm__lut3d_free(&lut);
    return 0;
}
