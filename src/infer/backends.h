// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The tables of the compiled-in backends; only infer.c puts them into its list. */
#ifndef FM_INFER_BACKENDS_H
#define FM_INFER_BACKENDS_H

#include "infer/infer.h"

extern const fm_backend fm__backend_openvino;
extern const fm_backend fm__backend_own; // not in the list: only a program that brings a table has it
extern const fm_backend fm__backend_ref;
extern const fm_backend fm__backend_torch;

#endif
