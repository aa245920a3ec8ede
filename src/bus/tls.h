// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** TLS over a non-blocking socket: OpenSSL's only owner beside the digests of models. TLS 1.2 at least; the
 *  certificate must be good for the host's name or address. */
#ifndef FM_BUS_TLS_H
#define FM_BUS_TLS_H

#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct fm_tls_context fm_tls_context;
typedef struct fm_tls fm_tls;

/** ca: PEM file of the authorities to trust; NULL: the system's. */
fm_status fm__tls_context_new(const char *ca, fm_tls_context **out, fm_error *err) FM_MUST_USE;
void fm__tls_context_free(fm_tls_context **context);
/** fd is the caller's. */
fm_status fm__tls_new(
    fm_tls_context *context, int fd, const char *host, fm_tls **out, fm_error *err) FM_MUST_USE;
void fm__tls_free(fm_tls **tls);

/** OK, AGAIN (*events: the epoll events to wait for) or a failure. */
fm_status fm__tls_handshake(fm_tls *tls, uint32_t *events, fm_error *err) FM_MUST_USE;
/** The same, with *done bytes; EOF: the other side has ended it. */
fm_status fm__tls_read(
    fm_tls *tls, void *data, size_t len, size_t *done, uint32_t *events, fm_error *err) FM_MUST_USE;
fm_status fm__tls_write(
    fm_tls *tls, const void *data, size_t len, size_t *done, uint32_t *events, fm_error *err) FM_MUST_USE;

#endif
