// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// bus/record.h and bus/url.h: any bytes as a spool's segment, and as an address. Every record that is found
// lies within the bytes and is written again as it stood there; skipping never goes back; an address shows no
// secret.

#include "bus/record.h"
#include "bus/url.h"
#include "fuzz.h"

#include <string.h>

static void check_record(const uint8_t *at, const fm_record *r, size_t size)
{
    uint8_t *again = malloc(size);
    FUZZ_CHECK(again != NULL && fm__record_size(&r->entry) == size);
    fm__record_write(again, &r->entry, r->epoch, r->sequence);
    FUZZ_CHECK(memcmp(again, at, size) == 0);
    free(again);
}

static void read_records(const uint8_t *data, size_t size)
{
    fm_record r;
    size_t used = 0, damaged = 0;
    for (size_t at = 0; at < size; at += used) {
        fm_record_found found = fm__record_next(data + at, size - at, &r, &used, &damaged);
        FUZZ_CHECK(used <= size - at && damaged <= used);
        if (found != FM_RECORD_FOUND) {
            FUZZ_CHECK(found == FM_RECORD_MORE || used == size - at);
            break;
        }
        check_record(data + at + damaged, &r, used - damaged);
    }
}

static void read_url(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    fm_bus_url u;
    fm_error err = {0};
    if (fm__bus_url_parse(text, &u, &err) == FM_OK) {
        FUZZ_CHECK(
            (u.host != NULL) != (u.path != NULL) && u.db >= 0 && (u.path || (u.port > 0 && u.port < 65536)));
        FUZZ_CHECK(!(u.password || u.user) || strstr(u.shown, "://***@"));
        fm__bus_url_done(&u);
    } else {
        FUZZ_CHECK(err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_records(data, size);
    read_url(data, size);
    return 0;
}
