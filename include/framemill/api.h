// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Linkage of public symbols. Everything without FM_API stays inside the library. */
#ifndef FRAMEMILL_API_H
#define FRAMEMILL_API_H

#ifdef __cplusplus
#define FM_BEGIN_DECLS extern "C" {
#define FM_END_DECLS }
#else
#define FM_BEGIN_DECLS
#define FM_END_DECLS
#endif

#if defined(__GNUC__)
#define FM_API __attribute__((visibility("default")))
#define FM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define FM_MUST_USE __attribute__((warn_unused_result))
#else
#define FM_API
#define FM_PRINTF(fmt, args)
#define FM_MUST_USE
#endif

#endif
