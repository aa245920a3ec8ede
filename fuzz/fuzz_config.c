// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// framemill/config.h: any bytes as a configuration file; what is accepted is applied. The public call takes a
// path, so the bytes go through a file in memory.

#include "fuzz.h"

#include <framemill/config.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[64];
    fm_config *config = NULL;
    fm_error err = {0};
    if (fd < 0)
        fd = memfd_create("config.yaml", 0);
    FUZZ_CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fm_config_load(path, &config, &err) == FM_OK) {
        fm_run_opts opts = FM_RUN_OPTS_INIT;
        fm_config_apply(config, &opts);
    } else {
        FUZZ_CHECK(config == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    }
    fm_config_free(&config);
    return 0;
}
