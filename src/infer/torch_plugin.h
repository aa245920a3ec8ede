// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the TorchScript backend (torch.c) and its plug-in (torch.cpp) say to each other. The plug-in is a
 * shared module that links libtorch and is opened at run time, so that neither the library nor the command
 * depends on libtorch. It exports one function, `fm_torch_plugin_table`, that returns this table. Everything
 * here is C; no exception crosses it. The plug-in computes in the caller's thread; threads and queues are
 * torch.c's. */
#ifndef FM_INFER_TORCH_PLUGIN_H
#define FM_INFER_TORCH_PLUGIN_H

#include "frame/tensor.h"

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Raised with every change of this file. */
#define FM_TORCH_ABI 3
#define FM_TORCH_SYMBOL "fm_torch_plugin_table"

typedef struct fm_torch_net fm_torch_net;
typedef struct fm_torch_slot fm_torch_slot;

typedef struct fm_torch_desc {
    const char *path;        // a TorchScript file
    const char *device;      // "cpu", "cuda", "cuda:1"
    const char *precision;   // "fp32", "bf16", "fp16"
    const char *ops_library; // shared library with operators that the file uses, or NULL
    bool is_nchw;            // layout of the input
    int width, height;       // 0: from the file, where it says
    int channels;            // of the input: 3 or 1
    float mean[3], scale[3]; // (v - mean) / scale
} fm_torch_desc;

typedef struct fm_torch_plugin {
    unsigned abi;
    /** "1.13.0" and "cpu cuda:0". */
    fm_status (*probe)(char *version, size_t version_size, char *devices, size_t devices_size, fm_error *err);
    /** Loads and optimises. FORMAT: not readable; INVAL, UNSUPPORTED: device, precision or size; NOMEM: the
     * device's memory too. */
    fm_status (*open)(const fm_torch_desc *desc, fm_torch_net **out, fm_error *err);
    /** After all its slots. */
    void (*close)(fm_torch_net *net);
    /** [rows,c,h,w] or [rows,h,w,c] of u8, data NULL. */
    fm_tensor (*input_shape)(const fm_torch_net *net, int rows);
    bool (*is_cuda)(const fm_torch_net *net);
    /** Bytes of the net's GPU in tensors, taken from the device, and the most that was in tensors, by
     * libtorch's caching allocator. false: it is the CPU, or was built without CUDA's headers. Any thread. */
    bool (*memory)(const fm_torch_net *net, uint64_t *allocated, uint64_t *reserved, uint64_t *peak);
    /** Memory for an input of `rows` rows, pinned for a GPU, zero at first, and a stream. */
    fm_status (*slot_new)(fm_torch_net *net, int rows, fm_torch_slot **out, fm_error *err);
    void (*slot_free)(fm_torch_slot *slot);
    void *(*slot_input)(fm_torch_slot *slot);
    /** Cores that the calling thread may use inside one run. */
    void (*set_threads)(int count);
    /** One inference, in the calling thread. The outputs are dense and stay until the slot's next run;
     * tuples, lists and dictionaries of them are laid out flat. */
    fm_status (*run)(
        fm_torch_slot *slot, int rows, fm_tensor *outs, size_t outs_cap, size_t *count, fm_error *err);
} fm_torch_plugin;

typedef const fm_torch_plugin *(*fm_torch_plugin_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
