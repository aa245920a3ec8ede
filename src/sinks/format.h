// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Parts of a line of JSON that events share with results. */
#ifndef FM_SINKS_FORMAT_H
#define FM_SINKS_FORMAT_H

#include "base/json.h"

#include <framemill/result.h>

/** "box": [x, y, w, h] */
void fm__json_box(fm_json *j, fm_box box);
/** "label" where there is one, and "class_id". */
void fm__json_class(fm_json *j, int32_t class_id, const char *const *labels, size_t label_count);
/** "pts_ms" and "time", each where it is known. */
void fm__json_times(fm_json *j, int64_t pts_ns, int64_t wall_ns);

#endif
