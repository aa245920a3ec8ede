// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What a .pt file is, told before libtorch sees it. */
#ifndef FM_INFER_TORCH_FILE_H
#define FM_INFER_TORCH_FILE_H

#include <framemill/status.h>

/** OK for a whole TorchScript archive. NOTFOUND; UNSUPPORTED for a Python pickle, naming the command that
 * exports it; FORMAT for another kind of file or a damaged one. */
fm_status fm__torch_file_check(const char *path, fm_error *err) FM_MUST_USE;

#endif
