// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** SHA-256 of files, and files on their way into the models folder. Owns OpenSSL. */
#ifndef FM_MODELS_DIGEST_H
#define FM_MODELS_DIGEST_H

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_DIGEST_TEXT 65 // 64 hex digits and the NUL

fm_status fm__digest_file(const char *path, char hex[FM_DIGEST_TEXT], fm_error *err) FM_MUST_USE;
/** The digest that was recorded beside a file ("PATH.sha256", as sha256sum writes it) when it came. False
 * when there is none. */
bool fm__digest_recorded(const char *path, char hex[FM_DIGEST_TEXT]);

/** A file on its way: written to a temporary file beside its place, hashed meanwhile, checked, then renamed.
 */
typedef struct fm_incoming fm_incoming;

/** cap_bytes: what is written beyond is an error. */
fm_status fm__incoming_open(
    const char *path, uint64_t cap_bytes, fm_incoming **out, fm_error *err) FM_MUST_USE;
/** Empties it for another try. */
fm_status fm__incoming_restart(fm_incoming *in, fm_error *err) FM_MUST_USE;
fm_status fm__incoming_write(fm_incoming *in, const void *data, size_t len, fm_error *err) FM_MUST_USE;
fm_status fm__incoming_copy(fm_incoming *in, const char *from, fm_error *err) FM_MUST_USE;
uint64_t fm__incoming_size(const fm_incoming *in);
/** Ends the writing and compares with what is known: size 0 and sha256 NULL are not. FORMAT names `from`. */
fm_status fm__incoming_check(
    fm_incoming *in, uint64_t size, const char *sha256, const char *from, fm_error *err) FM_MUST_USE;
/** After a successful check: sync, rename into place, record the digest. */
fm_status fm__incoming_commit(fm_incoming *in, fm_error *err) FM_MUST_USE;
/** Removes what was not committed. */
void fm__incoming_close(fm_incoming **in);

#endif
