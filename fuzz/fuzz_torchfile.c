// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// infer/torch_file.h: any bytes as a .pt file. A refusal names the file in one line; what is accepted is an
// archive, whole.

#include "fuzz.h"
#include "infer/torch_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    fm_error err = {0};
    int fd = fuzz_file(data, size, path);
    fm_status st = fm__torch_file_check(path, &err);
    close(fd);
    if (st != FM_OK) {
        FUZZ_CHECK(strstr(err.msg, path) != NULL && strchr(err.msg, '\n') == NULL);
    } else {
        FUZZ_CHECK(size > 22 && memcmp(data, "PK\3\4", 4) == 0);
    }
    return 0;
}
