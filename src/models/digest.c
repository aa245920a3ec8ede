// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Digests through OpenSSL's EVP interface, and the one way by which a file gets into the models folder: a
// temporary file beside its place, hashed while it is written, compared in size and digest, synced, renamed.
// So a file with the right name is whole, whatever was interrupted. The digest of what came is kept in
// "NAME.sha256" in the format of sha256sum: `models verify` compares with it, and where the model file knows
// no digest, the first use decides.

#include "models/digest.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#define CHUNK (256U << 10)

struct fm_incoming {
    char *path, *tmp;
    int fd;
    EVP_MD_CTX *md;
    uint64_t size, cap;
    char hex[FM_DIGEST_TEXT]; // after check
};

static void to_hex(const unsigned char *bytes, size_t n, char *hex)
{
    for (size_t i = 0; i < n; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
}

static fm_status finish_digest(EVP_MD_CTX *md, char hex[FM_DIGEST_TEXT], fm_error *err)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(md, bytes, &n) != 1 || n != 32) {
        return fm__fail(err, FM_INTERNAL, "cannot compute a SHA-256");
    }
    to_hex(bytes, n, hex);
    return FM_OK;
}

typedef fm_status (*chunk_fn)(void *opaque, const void *data, size_t len, fm_error *err);

static fm_status each_chunk(const char *path, chunk_fn fn, void *opaque, fm_error *err)
{
    fm_status st = FM_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fm__fail_errno(err, errno, "cannot open", path);
    }
    char *buf = fm__calloc(FM_TAG_MODELS, CHUNK);
    if (!buf) {
        st = fm__fail_nomem(err, "a file buffer");
    }
    for (ssize_t n = 1; st == FM_OK && n > 0;) {
        do {
            n = read(fd, buf, CHUNK);
        } while (n < 0 && errno == EINTR);
        if (n < 0) {
            st = fm__fail_errno(err, errno, "cannot read", path);
        } else if (n > 0) {
            st = fn(opaque, buf, (size_t)n, err);
        }
    }
    fm__free(buf);
    close(fd);
    return st;
}

static fm_status hash_chunk(void *opaque, const void *data, size_t len, fm_error *err)
{
    if (EVP_DigestUpdate(opaque, data, len) != 1) {
        return fm__fail(err, FM_INTERNAL, "cannot compute a SHA-256");
    }
    return FM_OK;
}

static EVP_MD_CTX *new_digest(fm_error *err)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        md = NULL;
    }
    if (!md) {
        fm__fail(err, FM_NOMEM, "cannot start a SHA-256");
    }
    return md;
}

fm_status fm__digest_file(const char *path, char hex[FM_DIGEST_TEXT], fm_error *err)
{
    EVP_MD_CTX *md = new_digest(err);
    if (!md) {
        return FM_NOMEM;
    }
    fm_status st = each_chunk(path, hash_chunk, md, err);
    if (st == FM_OK) {
        st = finish_digest(md, hex, err);
    }
    EVP_MD_CTX_free(md);
    return st;
}

bool fm__digest_recorded(const char *path, char hex[FM_DIGEST_TEXT])
{
    char *side = fm__asprintf(FM_TAG_MODELS, "%s.sha256", path), *text = NULL;
    size_t len = 0;
    bool ok = side && fm__file_read(FM_TAG_MODELS, side, 4096, &text, &len, NULL) == FM_OK &&
              strspn(text, "0123456789abcdef") == 64;
    if (ok) {
        memcpy(hex, text, 64);
        hex[64] = '\0';
    }
    fm__free(text);
    fm__free(side);
    return ok;
}

static fm_status record(const char *path, const char *hex, fm_error *err)
{
    char *side = fm__asprintf(FM_TAG_MODELS, "%s.sha256", path);
    char *line = fm__asprintf(FM_TAG_MODELS, "%s  %s\n", hex, fm__path_base(path));
    fm_status st =
        side && line ? fm__file_replace(side, line, strlen(line), err) : fm__fail_nomem(err, "a path");
    fm__free(side);
    fm__free(line);
    return st;
}

fm_status fm__incoming_open(const char *path, uint64_t cap_bytes, fm_incoming **out, fm_error *err)
{
    fm_status st = FM_OK;
    fm_incoming *in = fm__calloc(FM_TAG_MODELS, sizeof(*in));
    if (!in) {
        return fm__fail_nomem(err, "a download");
    }
    in->fd = -1;
    in->cap = cap_bytes;
    in->path = fm__strdup(FM_TAG_MODELS, path);
    in->tmp = fm__asprintf(FM_TAG_MODELS, "%s.part.%ld", path, (long)getpid());
    in->md = new_digest(err);
    if (!in->path || !in->tmp || !in->md) {
        st = fm__fail_nomem(err, "a download");
    } else if ((in->fd = open(in->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644)) < 0) {
        st = fm__fail_errno(err, errno, "cannot write", in->tmp);
    }
    if (st != FM_OK) {
        fm__incoming_close(&in);
        return st;
    }
    *out = in;
    return FM_OK;
}

fm_status fm__incoming_restart(fm_incoming *in, fm_error *err)
{
    in->size = 0;
    if (ftruncate(in->fd, 0) != 0 || lseek(in->fd, 0, SEEK_SET) != 0) {
        return fm__fail_errno(err, errno, "cannot rewind", in->tmp);
    }
    return EVP_DigestInit_ex(in->md, EVP_sha256(), NULL) == 1
               ? FM_OK
               : fm__fail(err, FM_INTERNAL, "cannot start a SHA-256");
}

fm_status fm__incoming_write(fm_incoming *in, const void *data, size_t len, fm_error *err)
{
    if (len > in->cap - in->size) {
        return fm__fail(err, FM_FORMAT, "'%s' is larger than the expected %llu bytes",
            fm__path_base(in->path), (unsigned long long)in->cap);
    }
    fm_status st = fm__fd_write_all(in->fd, data, len, in->tmp, err);
    if (st == FM_OK) {
        in->size += len;
        st = hash_chunk(in->md, data, len, err);
    }
    return st;
}

static fm_status write_chunk(void *opaque, const void *data, size_t len, fm_error *err)
{
    return fm__incoming_write(opaque, data, len, err);
}

fm_status fm__incoming_copy(fm_incoming *in, const char *from, fm_error *err)
{
    return each_chunk(from, write_chunk, in, err);
}

uint64_t fm__incoming_size(const fm_incoming *in)
{
    return in->size;
}

fm_status fm__incoming_check(
    fm_incoming *in, uint64_t size, const char *sha256, const char *from, fm_error *err)
{
    if (size && in->size != size) {
        return fm__fail(err, FM_FORMAT, "'%s' has %llu bytes, expected %llu", from,
            (unsigned long long)in->size, (unsigned long long)size);
    }
    fm_status st = finish_digest(in->md, in->hex, err);
    if (st == FM_OK && sha256 && strcmp(sha256, in->hex) != 0) {
        st = fm__fail(err, FM_FORMAT, "'%s' has SHA-256 %s, expected %s", from, in->hex, sha256);
    }
    return st;
}

fm_status fm__incoming_commit(fm_incoming *in, fm_error *err)
{
    if (fsync(in->fd) != 0) {
        return fm__fail_errno(err, errno, "cannot sync", in->tmp);
    }
    if (rename(in->tmp, in->path) != 0) {
        return fm__fail_errno(err, errno, "cannot put in place", in->path);
    }
    fm__free(in->tmp);
    in->tmp = NULL;
    return record(in->path, in->hex, err);
}

void fm__incoming_close(fm_incoming **in)
{
    if (!in || !*in) {
        return;
    }
    if ((*in)->fd >= 0) {
        close((*in)->fd);
        if ((*in)->tmp) {
            unlink((*in)->tmp);
        }
    }
    EVP_MD_CTX_free((*in)->md);
    fm__free((*in)->path);
    fm__free((*in)->tmp);
    fm__free(*in);
    *in = NULL;
}
