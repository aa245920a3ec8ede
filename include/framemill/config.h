// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Configuration files: YAML with the names of the command's flags. */
#ifndef FRAMEMILL_CONFIG_H
#define FRAMEMILL_CONFIG_H

#include <framemill/api.h>
#include <framemill/run.h>
#include <framemill/status.h>

FM_BEGIN_DECLS

typedef struct fm_config fm_config;

/** Reads a file over the defaults. Unknown keys, wrong types and values out of range are FORMAT errors that
 * name file, line, column and key. */
FM_API fm_status fm_config_load(const char *path, fm_config **out, fm_error *err) FM_MUST_USE;
FM_API void fm_config_free(fm_config **config);
/** Puts what the file sets into opts; strings and arrays are borrowed from config, which must outlive the
 * call that uses opts. */
FM_API void fm_config_apply(const fm_config *config, fm_run_opts *opts);
/** The JSON schema of the file, for editors. Free with fm_free. */
FM_API fm_status fm_config_schema(char **out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
