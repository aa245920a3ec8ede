// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Everything at once. */
#ifndef FRAMEMILL_FRAMEMILL_H
#define FRAMEMILL_FRAMEMILL_H

#include <framemill/ap.h>
#include <framemill/api.h>
#include <framemill/backend.h>
#include <framemill/bench.h>
#include <framemill/config.h>
#include <framemill/doctor.h>
#include <framemill/enhance.h>
#include <framemill/eval.h>
#include <framemill/frame.h>
#include <framemill/log.h>
#include <framemill/memory.h>
#include <framemill/model.h>
#include <framemill/processor.h>
#include <framemill/quality.h>
#include <framemill/result.h>
#include <framemill/run.h>
#include <framemill/search.h>
#include <framemill/status.h>
#include <framemill/store.h>
#include <framemill/tune.h>
#include <framemill/version.h>

#endif
