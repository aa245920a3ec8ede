// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A processor: frames of the program's own through models and trackers, without files or sources.
 *
 *  It is a run (framemill/run.h) whose streams have no input: the program hands frames in, and what comes
 * back of a frame is what `framemill run` says of the same pixels. Frames of all streams and of all threads
 * form batches together. Frames of one stream are numbered in the order in which they are handed in, and a
 * tracker follows each stream for itself. Pixels are never copied.
 *
 *  Any thread may call, except from a callback of the same processor. */
#ifndef FRAMEMILL_PROCESSOR_H
#define FRAMEMILL_PROCESSOR_H

#include <framemill/frame.h>
#include <framemill/run.h>

FM_BEGIN_DECLS

typedef struct fm_processor fm_processor;

/** @param opts  as of a run, but that streams have no url: stream_count 0 is one stream named "frames". INVAL
 *  for what needs a source or a clock: detections, detect_every, motion_gate, max_frames, realtime, annotate,
 *  queue, checkpoint_every, a stream's start_frame and state. Results also go to out_dir, the store and
 * on_result, where those are set. */
FM_API fm_status fm_processor_new(const fm_run_opts *opts, fm_processor **out, fm_error *err) FM_MUST_USE;
/** Finishes what was handed in, frees. No call may be under way. Accepts NULL and a pointer to NULL. */
FM_API void fm_processor_free(fm_processor **processor);
/** Drops what is not finished: calls that wait end with CANCELED, as do all calls from now on. */
FM_API void fm_processor_stop(fm_processor *processor);

/** Frames of a stream, and waits for their results.
 *  @param frames  [n] pixels, borrowed for the call; in batches of what the settings say
 *  @param results  [n] new results in the order of the frames, each to be freed with fm_result_free, before
 *  the processor is. A frame whose inference failed has `error` set. On failure none is written.
 *  @return INVAL names the frame that cannot be read, DENIED one past max_pixels, CANCELED after a stop. */
FM_API fm_status fm_processor_run(fm_processor *processor, size_t stream, const fm_frame_view *frames,
    size_t n, fm_result **results, fm_error *err) FM_MUST_USE;

/** What became of a frame: a result, borrowed for the call, or NULL and why (status CANCELED: stopped). From
 * a thread of the processor's, one call at a time for a stream, in the order of its frames. */
typedef void (*fm_processor_fn)(fm_status status, const fm_result *result, const fm_error *err, void *opaque);

/** One frame of a stream, without waiting for its result; waits only while buffer_size frames of the stream
 * stand in line. The frame is referenced as long as its pixels are needed. `fn` is called exactly once where
 * this returns OK, and not otherwise. */
FM_API fm_status fm_processor_submit(fm_processor *processor, size_t stream, fm_frame *frame,
    fm_processor_fn fn, void *opaque, fm_error *err) FM_MUST_USE;

/** Number of the stream of this name, or fm_processor_stream_count where there is none. */
FM_API size_t fm_processor_find_stream(const fm_processor *processor, const char *name);
FM_API size_t fm_processor_stream_count(const fm_processor *processor);
/** Labels of the objects, [*count], by class_id; they live as long as the processor. */
FM_API const char *const *fm_processor_labels(const fm_processor *processor, size_t *count);

/** What a stream remembers (its frames' count, tracker, motion detector), so that it can be taken up by
 * another processor with the same settings, on another machine too: bytes, versioned and checked on load.
 * Both wait until the stream's frames are finished. Free *data with fm_free. */
FM_API fm_status fm_processor_state_save(
    fm_processor *processor, size_t stream, void **data, size_t *size, fm_error *err) FM_MUST_USE;
/** FORMAT for damage, UNSUPPORTED for another version, INVAL for other settings: the stream is as it was. */
FM_API fm_status fm_processor_state_load(
    fm_processor *processor, size_t stream, const void *data, size_t size, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
