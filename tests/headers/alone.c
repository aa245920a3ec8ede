// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Compiled once a public header, which the compiler is told to include first: the header must need nothing else. A header of
// macros alone would leave nothing to translate, hence this one name.

extern int fm_headers_alone;
