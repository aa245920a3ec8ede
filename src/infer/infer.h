// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inference backends: one table a backend, one file each (openvino.c, torch.c, ref.c). Nobody
 * outside infer/ sees a backend's types.
 *
 *  A net is a model compiled for a device at the batch sizes it was asked for. A request is one inference in
 * flight with its own input and output memory: fill its input tensor's rows, start it, and when `done` was
 * called (from a foreign thread: it may only post) ask `finish` for the status; then the outputs may be read
 * until the next start. */
#ifndef FM_INFER_INFER_H
#define FM_INFER_INFER_H

#include "frame/tensor.h"
#include "ops/letterbox.h" // fm_layout

#include <framemill/backend.h>
#include <framemill/log.h>
#include <framemill/status.h>

#include <stdbool.h>

typedef struct fm_net fm_net;
typedef struct fm_request fm_request;

#define FM_NET_MAX_OUTPUTS 8
#define FM_NET_MAX_SIZES 8

typedef struct fm_net_desc {
    const char *backend;     // "openvino", "torch", "ref"
    const char *path;        // ONNX, IR .xml, .tflite, .pb; torch: .pt; ref: a built-in function ("shapes")
    const char *device;      // "cpu", "cuda:0"
    const char *precision;   // of the arithmetic: "fp32", "bf16", "fp16"; NULL: fp32. UNSUPPORTED where the
                             // device has not got it
    int batch;               // largest batch wanted; 0: what suits the device
    int slots;               // inferences in flight; 0: what suits the device
    int threads;             // cores to use; 0: all
    fm_layout layout;        // of the model's input; told from the file's shape when input_w is 0
    int input_w, input_h;    // 0: from the model
    int channels;            // of input, where the file leaves them free; 0: 3
    bool fills_in;           // size, layout and channels are for what the file leaves free, not more
    float mean[3], scale[3]; // (v - mean) / scale, in the model's channel order, compiled into the network;
                             // scale 0 means 1
    const char *cache_dir;   // compiled-model cache, or NULL
    const char *ops_library; // torch: shared library with operators that the file uses (torchvision's for
                             // nms and roi_align), by its path; runs as code, so never out of a model's files
    bool counters;           // keep the times of layers, for request_layers; costs a little
    const char *plugin;      // torch: path of its plug-in; NULL: beside the library
    const fm_own_backend *own; // the program's, in place of `backend`; borrowed; NULL: none
    const fm_log *log;
} fm_net_desc;

/** What the net turned out to be. */
typedef struct fm_net_info {
    int slots;                   // requests to make
    int batch;                   // largest batch
    int sizes[FM_NET_MAX_SIZES]; // batch sizes that run at full speed, ascending, the last one is `batch`
    int size_count;
    fm_tensor input; // shape of one batch of size `batch`, U8, data NULL
    fm_layout layout;
    int input_w, input_h, channels;
    fm_tensor outputs[FM_NET_MAX_OUTPUTS]; // shapes at `batch`, dims[0] == batch
    size_t output_count;
    bool batch_baked; // the file has batch 1 baked in: sizes is {1}
    bool on_cpu;      // its inferences share the cores with all else
    bool takes_bytes; // the file's own input is u8: a quantised network, no mean or scale in front of it
} fm_net_info;

/** Memory of a device other than the CPU, as the framework that manages it counts. */
typedef struct fm_device_memory {
    uint64_t allocated_bytes; // in tensors
    uint64_t reserved_bytes;  // taken from the device, with what is kept for later
    uint64_t peak_bytes;      // most that was allocated
} fm_device_memory;

/** What a layer took in one inference. The texts live until the request's next start. */
typedef struct fm_layer_time {
    const char *name, *type, *kernel;
    int64_t ns;
} fm_layer_time;
typedef void (*fm_layer_fn)(const fm_layer_time *layer, void *opaque);

/** Called once for every successful start, from any thread, maybe before start returns. Must not call back
 * into infer. */
typedef void (*fm_request_done_fn)(void *opaque);

typedef struct fm_backend {
    const char *name;
    /** Is it usable here? version into buf ("2026.4.1"), devices as text into dev. */
    fm_status (*probe)(char *version, size_t version_size, char *devices, size_t devices_size, fm_error *err);
    /** Reads the file without compiling it: input size, layout, channels, output shapes at batch 1,
     * whether the batch is baked in. Cheap. */
    fm_status (*describe)(const fm_net_desc *desc, fm_net_info *out, fm_error *err);
    fm_status (*open)(const fm_net_desc *desc, fm_net **out, fm_error *err);
    void (*close)(fm_net *net);
    fm_status (*request_new)(
        fm_net *net, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err);
    void (*request_free)(fm_request *req);       // not while running
    fm_tensor (*request_input)(fm_request *req); // [batch,...], owned by the request, stable for its life
    fm_status (*request_start)(fm_request *req, int rows, fm_error *err); // rows is one of info.sizes
    fm_status (*request_finish)(
        fm_request *req, fm_tensor *outs, fm_error *err); // after done; outs[output_count], dims[0] == rows
    /** Layers of the last inference, those that ran; desc.counters was set. NULL: it cannot tell. */
    fm_status (*request_layers)(fm_request *req, fm_layer_fn fn, void *opaque, fm_error *err);
    /** Of the net's device, all nets on it together. false: it is the CPU. NULL: it cannot tell. Any thread.
     */
    bool (*memory)(const fm_net *net, fm_device_memory *out);
} fm_backend;

/** Every backend starts with these fields in its own structs. */
struct fm_net {
    const fm_backend *backend;
    fm_net_info info;
};
struct fm_request {
    fm_net *net;
};

/** Compiled-in backends, NULL-terminated; by name or NULL. */
const fm_backend *const *fm__backends(void);
const fm_backend *fm__backend_find(const char *name);

/** What a file holds, before it is opened: enough to guess its head and from that its mean and scale. */
fm_status fm__net_describe(const fm_net_desc *desc, fm_net_info *out, fm_error *err) FM_MUST_USE;
fm_status fm__net_open(const fm_net_desc *desc, fm_net **out, fm_error *err) FM_MUST_USE;
void fm__net_close(fm_net **net);
static inline const fm_net_info *fm__net_info(const fm_net *net)
{
    return &net->info;
}
fm_status fm__request_new(
    fm_net *net, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err) FM_MUST_USE;
void fm__request_free(fm_request **req);
fm_tensor fm__request_input(fm_request *req);
fm_status fm__request_start(fm_request *req, int rows, fm_error *err) FM_MUST_USE;
fm_status fm__request_finish(fm_request *req, fm_tensor *outs, fm_error *err) FM_MUST_USE;
/** false where the net is on the CPU, and where the backend cannot tell. */
bool fm__net_memory(const fm_net *net, fm_device_memory *out);
/** UNSUPPORTED where the backend cannot tell. */
fm_status fm__request_layers(fm_request *req, fm_layer_fn fn, void *opaque, fm_error *err) FM_MUST_USE;

#endif
