// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The style sheet of a profile's page. */
#ifndef FM_TUNE_PAGE_STYLE_H
#define FM_TUNE_PAGE_STYLE_H

extern const char fm__page_style[];

#endif
