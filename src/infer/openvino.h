// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Shared by the files of the OpenVINO backend and by nobody else: its net, its errors, its model step and
 * its requests. */
#ifndef FM_INFER_OPENVINO_H
#define FM_INFER_OPENVINO_H

#include "infer/infer.h"

// its headers declare functions with empty parameter lists
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <openvino/c/openvino.h>
#pragma GCC diagnostic pop

typedef struct ov_net {
    fm_net base;
    ov_core_t *core;
    ov_compiled_model_t *one;  // batch 1
    ov_compiled_model_t *full; // batch info.batch, NULL when that is 1
} ov_net;

/** Turns the failure of an OpenVINO call into an error: "`what` 'which': cause", the library's text cut to
 * its last, telling part. */
fm_status fm__ov_fail(
    fm_error *err, fm_status status, ov_status_e native, const char *what, const char *which);

/** Reads a model file. NOTFOUND when it is not there, FORMAT when it cannot be read. */
fm_status fm__ov_read(ov_core_t *core, const char *path, ov_model_t **out, fm_error *err) FM_MUST_USE;
/** Fills info's input (size, layout, channels) from the model's one input and desc. */
fm_status fm__ov_input_info(
    const ov_model_t *model, const fm_net_desc *desc, fm_net_info *info, fm_error *err) FM_MUST_USE;
/** Puts the conversion from u8 and mean and scale in front of the model, f32 behind outputs of unusual types.
 */
fm_status fm__ov_preprocess(
    ov_model_t **model, const fm_net_desc *desc, const fm_net_info *info, fm_error *err) FM_MUST_USE;
/** Reshapes to a batch of n. UNSUPPORTED when the file does not stand it or an output does not follow. */
fm_status fm__ov_reshape(
    const ov_model_t *model, const fm_net_info *info, int n, const char *path, fm_error *err) FM_MUST_USE;
/** Output shapes of a model with static shapes. */
fm_status fm__ov_outputs(
    const ov_model_t *model, fm_net_info *info, const char *path, fm_error *err) FM_MUST_USE;
/** "[n,3,416,416]" of u8. */
fm_tensor fm__ov_input_tensor(const fm_net_info *info, int n);

fm_status fm__ov_request_new(
    fm_net *net, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err) FM_MUST_USE;
void fm__ov_request_free(fm_request *req);
fm_tensor fm__ov_request_input(fm_request *req);
fm_status fm__ov_request_start(fm_request *req, int rows, fm_error *err) FM_MUST_USE;
fm_status fm__ov_request_finish(fm_request *req, fm_tensor *outs, fm_error *err) FM_MUST_USE;
fm_status fm__ov_request_layers(fm_request *req, fm_layer_fn fn, void *opaque, fm_error *err) FM_MUST_USE;

#endif
