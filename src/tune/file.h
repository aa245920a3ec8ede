// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The tuning file: settings that were found, each with what it holds for. YAML whose entries are JSON
 * objects, one a line. */
#ifndef FM_TUNE_FILE_H
#define FM_TUNE_FILE_H

#include <framemill/status.h>

#include <stdint.h>

enum { FM__TUNE_TEXT = 160 };

/** What a setting holds for. */
typedef struct fm__tune_key {
    char cpu[FM__TUNE_TEXT]; // the processor's name
    int cores;               // that this process may use
    char level[16];          // of SIMD
    char device[32];
    char model[FM__TUNE_TEXT];
    char digest[65]; // SHA-256 of the file that was loaded
    char precision[16];
    char framemill[32];
    char backend[64]; // "openvino 2026.4.1"
} fm__tune_key;

typedef struct fm__tune_entry {
    fm__tune_key key;
    char objective[16];
    int batch, slots, threads;
    double fps, p99_ms;
    int64_t memory_bytes;
    char time[32];
} fm__tune_entry;

/** Fills in what this machine and build say; the digest is that of `file`. Backend by its name. */
fm_status fm__tune_key_fill(fm__tune_key *key, const char *model, const char *file, const char *backend,
    const char *device, const char *precision, fm_error *err) FM_MUST_USE;

/** The entry for this model, device and precision. NOTFOUND when there is no file or no such entry; BUSY when
 * there is one that holds for another machine, file or version: err says which. FORMAT for a file that cannot
 * be read. */
fm_status fm__tune_file_find(
    const char *path, const fm__tune_key *key, fm__tune_entry *out, fm_error *err) FM_MUST_USE;
/** Replaces the entry of the same model, device and precision, and keeps the others. Makes the folder. */
fm_status fm__tune_file_put(const char *path, const fm__tune_entry *entry, fm_error *err) FM_MUST_USE;

#endif
