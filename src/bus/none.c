// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The bus of a build without hiredis or OpenSSL: it cannot be opened, and says what is missing.

#include "bus/bus.h"

#include "base/error.h"

fm_status fm__bus_open(const fm_bus_opts *opts, fm_bus **out, fm_error *err)
{
    (void)opts;
    (void)out;
    return fm__fail(err, FM_UNSUPPORTED,
        "this build has no Redis: install libhiredis-dev and libssl-dev, and build again with "
        "-Dredis=enabled");
}

fm_status fm__bus_start(fm_bus *bus, fm_error *err)
{
    (void)bus;
    return fm__fail(err, FM_UNSUPPORTED, "this build has no Redis");
}

void fm__bus_put(
    fm_bus *bus, fm_bus_kind kind, const char *stream, const char *type, const char *data, size_t len)
{
    (void)bus;
    (void)kind;
    (void)stream;
    (void)type;
    (void)data;
    (void)len;
}

void fm__bus_end(fm_bus *bus, bool now)
{
    (void)bus;
    (void)now;
}

bool fm__bus_wait(fm_bus *bus, int64_t deadline_ns)
{
    (void)bus;
    (void)deadline_ns;
    return true;
}

void fm__bus_stats(fm_bus *bus, fm_bus_stats *out)
{
    (void)bus;
    *out = (fm_bus_stats){0};
}

void fm__bus_close(fm_bus **bus)
{
    (void)bus;
}
