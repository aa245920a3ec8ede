// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// TLS over a non-blocking socket. Writing to a socket that its peer has closed raises SIGPIPE, since OpenSSL
// uses write(2): the threads of this library have all signals blocked (base/thread.c), so it ends with the
// thread.

#include "bus/tls.h"

#include "base/alloc.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/epoll.h>

struct fm_tls_context {
    SSL_CTX *ctx;
};

struct fm_tls {
    SSL *ssl;
};

static fm_status fail_ssl(fm_error *err, fm_status st, const char *what)
{
    unsigned long code = ERR_get_error();
    char text[160] = "";
    if (code) {
        ERR_error_string_n(code, text, sizeof(text));
    }
    ERR_clear_error();
    return fm__fail(err, st, "%s%s%s", what, text[0] ? ": " : "", text);
}

fm_status fm__tls_context_new(const char *ca, fm_tls_context **out, fm_error *err)
{
    fm_tls_context *c = fm__calloc(FM_TAG_BUS, sizeof(*c));
    if (!c) {
        return fm__fail_nomem(err, "TLS");
    }
    fm_status st = FM_OK;
    ERR_clear_error();
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (!c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1) {
        st = fail_ssl(err, FM_NET, "TLS cannot be set up");
    } else if (ca ? SSL_CTX_load_verify_file(c->ctx, ca) != 1
                  : SSL_CTX_set_default_verify_paths(c->ctx) != 1) {
        ERR_clear_error();
        st = fm__fail(err, FM_INVAL, "'%s' is no PEM file of certificates; redis_ca names one", ca ? ca : "");
    }
    if (st != FM_OK) {
        fm__tls_context_free(&c);
        return st;
    }
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    *out = c;
    return FM_OK;
}

void fm__tls_context_free(fm_tls_context **context)
{
    if (*context) {
        SSL_CTX_free((*context)->ctx);
        fm__free(*context);
        *context = NULL;
    }
}

static bool is_address(const char *host)
{
    uint8_t raw[16];
    return inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
}

fm_status fm__tls_new(fm_tls_context *context, int fd, const char *host, fm_tls **out, fm_error *err)
{
    fm_tls *t = fm__calloc(FM_TAG_BUS, sizeof(*t));
    if (!t) {
        return fm__fail_nomem(err, "TLS");
    }
    ERR_clear_error();
    t->ssl = SSL_new(context->ctx);
    bool good = t->ssl && SSL_set_fd(t->ssl, fd) == 1;
    if (good && is_address(host)) {
        good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host) == 1;
    } else if (good) {
        good = SSL_set1_host(t->ssl, host) == 1 && SSL_set_tlsext_host_name(t->ssl, host) == 1;
    }
    if (!good) {
        fm_status st = fail_ssl(err, FM_NET, "TLS cannot be set up");
        fm__tls_free(&t);
        return st;
    }
    *out = t;
    return FM_OK;
}

void fm__tls_free(fm_tls **tls)
{
    if (*tls) {
        SSL_free((*tls)->ssl);
        fm__free(*tls);
        *tls = NULL;
    }
}

// What SSL_get_error says of a call that did not succeed.
static fm_status after(fm_tls *t, int rc, uint32_t *events, const char *what, fm_error *err)
{
    int e = errno;
    long verified = SSL_get_verify_result(t->ssl);
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        *events = EPOLLIN;
        return FM_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        *events = EPOLLOUT;
        return FM_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return FM_EOF;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return fm__fail(
            err, FM_NET, "%s: %s", what, e ? strerror(e) : "the other side closed the connection");
    default:
        break;
    }
    if (verified != X509_V_OK) {
        ERR_clear_error();
        return fm__fail(err, FM_DENIED, "the server's certificate is not good: %s",
            X509_verify_cert_error_string(verified));
    }
    return fail_ssl(err, FM_NET, what);
}

fm_status fm__tls_handshake(fm_tls *t, uint32_t *events, fm_error *err)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_connect(t->ssl);
    return rc == 1 ? FM_OK : after(t, rc, events, "TLS", err);
}

fm_status fm__tls_read(fm_tls *t, void *data, size_t len, size_t *done, uint32_t *events, fm_error *err)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_read_ex(t->ssl, data, len, done);
    return rc == 1 ? FM_OK : after(t, rc, events, "TLS cannot read", err);
}

fm_status fm__tls_write(
    fm_tls *t, const void *data, size_t len, size_t *done, uint32_t *events, fm_error *err)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_write_ex(t->ssl, data, len, done);
    return rc == 1 ? FM_OK : after(t, rc, events, "TLS cannot write", err);
}
