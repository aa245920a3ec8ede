// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Addresses of Redis: redis://[user:password@]host[:port][/db], the same with rediss:// (TLS), and
 *  unix://[user:password@]/path[?db=N]. User and password may be percent-encoded. */
#ifndef FM_BUS_URL_H
#define FM_BUS_URL_H

#include <framemill/status.h>

#include <stdbool.h>

typedef struct fm_bus_url {
    char *host; // NULL: path
    char *path; // of a Unix socket
    char *user; // NULL: none
    char *password;
    char *shown; // for eyes: no user, no password
    int port, db;
    bool tls;
} fm_bus_url;

/** INVAL with a line that shows neither user nor password. */
fm_status fm__bus_url_parse(const char *text, fm_bus_url *out, fm_error *err) FM_MUST_USE;
void fm__bus_url_done(fm_bus_url *url);

#endif
