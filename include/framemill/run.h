// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A run: streams in, results out. What `framemill run` and the Python package call.
 *
 *  fm_run_new checks everything that can be checked before the first frame (options, models, output folder),
 * fm_run_start starts the threads, fm_run_wait returns when every stream has ended. A stream that fails ends
 * alone: its error stands in the report, the others finish. */
#ifndef FRAMEMILL_RUN_H
#define FRAMEMILL_RUN_H

#include <framemill/api.h>
#include <framemill/backend.h>
#include <framemill/log.h>
#include <framemill/model.h>
#include <framemill/result.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef struct fm_run fm_run;
struct fm_config; // framemill/config.h

/** How frames are made better before any model sees them; sinks get them so, too. The words are those of
 * fm_enhance_opts. */
typedef struct fm_frame_enhance {
    const char *denoise; // "none", "auto", "nlm[:h=H][:hcolor=H]"
    const char *color;   // "none", "auto", "wb=shades,levels=0.002,gamma=0.9,clahe=2,saturation=1.1"
    const char *lut;     // path of a .cube file, or "none"
} fm_frame_enhance;

typedef struct fm_stream_opts {
    const char *url; // INPUT: file, picture, folder, rtsp://, http(s)://, v4l2:///dev/video0, testsrc:WxH@FPS
    const char *name;         // NULL: made from the url; made safe and unique in any case
    fm_frame_enhance enhance; // NULL in it: as the run's
    // The first frame that is looked at; those before are read and thrown away, numbers and times are those
    // of the whole. More than there are: the stream's error. A live source counts from there on. max_frames
    // counts from here.
    uint64_t start_frame;
    // Of a result (fm_result.state): the stream goes on behind it as if nothing had been between, in any run
    // with the same settings. start_frame is then the frame after it, or 0. Copied. A video whose container
    // has an index (MP4, MOV, Matroska, WebM, AVI) is decoded from the keyframe before, others from the
    // start. A live source's times go on by the wall's clock. FORMAT: damaged; UNSUPPORTED: of another
    // version; INVAL: of other settings. What only the opened source tells (another kind, other pictures) is
    // the stream's error.
    const void *state; // [state_bytes], or NULL
    size_t state_bytes;
} fm_stream_opts;

/** Results of every stream, in frame order within a stream, possibly from several threads at once for
 * different streams. */
typedef void (*fm_run_result_fn)(const fm_result *result, void *opaque);

/** Settings of trackers; docs/tracking.md says what they do. Zero means the tracker's own default, a negative
 * number means zero. */
typedef struct fm_track_settings {
    float high;                 // least score that begins a track; default: conf
    float low;                  // least score that may continue one; default 0.1
    float begin_margin;         // what it takes beyond high to begin one; default 0.2
    int n_init;                 // matches in a row until a track is confirmed
    int max_age;                // frames without a match until a track ends
    float max_cosine;           // largest cosine distance of appearance, 0..2
    float max_iou;              // largest 1 - IoU of a match by overlap, 0..1
    float max_iou_low;          // the same for detections below high
    float max_iou_new;          // the same for tracks without an id yet (bytetrack)
    int overlap_age;            // frames unseen after which overlap alone matches no more
    int max_tracks;             // of a stream at a time
    int budget;                 // features kept of a track
    int reentry_count;          // ended tracks that may come back by appearance
    int reentry_age;            // frames for which they may
    float confirm_score;        // a new track with this score is confirmed at once
    float feature_weight;       // of the past in a track's smoothed feature, 0..1
    float gate;                 // largest squared Mahalanobis distance of a match by appearance
    float overlap_weight;       // of overlap beside appearance
    float max_cosine_near;      // largest cosine distance of a pair that overlaps, with it
    float motion_weight;        // of motion beside appearance, without it
    float momentum;             // of the direction of motion beside overlap (ocsort)
    int momentum_frames;        // over which that is taken, 1..7
    int fuse_score;             // 1: overlap counts by score (bytetrack); -1: not
    float clear_iou, rival_iou; // of reid "ambiguous": overlap that settles a pair, and that makes a rival
    int young, stale;           // the same: features a track must have, frames until it is looked at again
    int scale_noise;            // 1: weaker detections count as less exact; -1: not
} fm_track_settings;

/** The store that results go to (framemill/store.h, docs/store.md). Zero means the default. */
typedef struct fm_store_settings {
    const char *dir;    // NULL: none
    const char *keep;   // which frames keep their picture: "frames" (default), "events", "crops", "none"
    int every;          // of "frames": each n-th; default 1
    int crops;          // each track's best view; 1 or 0: where there is a tracker; -1: not
    const char *sync;   // "normal" (default), "full"
    double max_age_s;   // older records are deleted; 0: kept
    int64_t max_bytes;  // of a stream, oldest deleted first; 0: no bound
    int64_t free_floor; // bytes that stay free on the disk; default 256 MiB; negative: 0
    int jpeg_quality;   // 1..100; default 85
} fm_store_settings;

/** Redis that results and events go to, and commands come from (docs/redis.md). Zero means the default. */
typedef struct fm_redis_settings {
    const char *url; // redis://[user:password@]host[:port][/db], rediss:// (TLS), unix://; NULL: none
    const char *password_file; // its first line takes the place of the URL's password
    const char *ca;            // PEM file of the authorities to trust; NULL: the system's
    const char *producer;      // who sends; NULL: the machine's name. One process at a time
    const char *spool_dir;     // what waits lies in spool_dir/producer; required beside url
    int64_t spool_bytes;       // bound of it; default 256 MiB, at least 1 MiB
    int64_t max_results;       // entries that a stream of results keeps, about; default 10000
    int64_t max_events;        // the same for the events; default 100000
    double window_s;           // for which a repeated entry is known as one; default 604800, a week
    double timeout_s;          // of connecting and of an answer; default 5
    double flush_s;            // how long the end of a run waits for Redis; default 5; negative: 0
    int results;               // each frame's result; 1 or 0: yes; -1: events only
    bool commands;             // take commands; the run does not end when its streams have
    const char *const
        *allow;         // kinds of input that a command may add: rtsp rtsps http https v4l2 testsrc file;
    size_t allow_count; // none given: rtsp, rtsps, http, https
} fm_redis_settings;

/** Zero means the default unless the comment says otherwise. Strings are copied. Use FM_RUN_OPTS_INIT or
 * fm_run_opts_init. */
typedef struct fm_run_opts {
    size_t struct_size;
    const fm_stream_opts *streams;
    size_t stream_count;
    int max_streams; // at a time, with those that are added later, up to 4096; default: as many as there are,
                     // or 64 in a run that stays or takes commands
    const char *detector; // name or path of a model, "motion" or "none"; NULL: "yolox-nano"
    const char *head;     // for a bare model file; NULL: guessed from its output shapes
    const char *labels;   // label file for a bare model file, or NULL
    const char *backend;  // NULL: the model's own; "ref" for tests
    const char *device;   // NULL: "cpu"
    const char
        *precision; // "fp32", "bf16", "fp16"; NULL: "fp32". UNSUPPORTED where the device has not got it
    const fm_own_backend *own_backend; // of models named "own:TEXT", outlives the run; NULL: there are none
    const char *torch_ops;             // shared library with operators that TorchScript files use, or NULL
    float conf;                        // 0..1, report scores >= conf; default 0.5; negative: 0
    float iou;                         // 0..1, of NMS; default 0.45
    const char *detections; // MOT text in place of a detector: a file, of a single stream, or a folder with
                            // <stream>.txt; NULL: none
    const char *const *classes; // labels to report, NULL: all
    size_t class_count;

    const char *segmenter;  // name or path of a model, "none"; NULL: "none". One that finds objects detects,
                            // too, unless a detector is named
    const char *classifier; // name or path of a model, "none"; NULL: "none"
    const char *classify;   // "frames", "objects": what the classifier looks at; NULL: "frames"
    int top_k;              // classes that are reported, 1..10; default 5

    fm_frame_enhance enhance; // of all streams that say nothing themselves; NULL in it: "none"

    const char *tracker;  // "deepsort", "bytetrack", "ocsort", "none"; NULL: "none"
    const char *embedder; // model for the appearance of objects; NULL: "osnet-x0.25" where one is needed
    const char *embed;    // "objects", "frames": what the embedder looks at; NULL: "objects"
    const char *reid;     // "always", "ambiguous": which objects' appearance is looked at; NULL: the default
    fm_track_settings track;

    int batch;               // largest batch; 0: auto
    double batch_timeout_ms; // default 20; negative: 0
    double latency_goal_ms;  // batch and wait follow the load to keep it, from a frame's being queued to the
                             // end of its inference; 0: none
    int workers;             // inference slots; 0: auto
    int threads;             // cores to use; 0: all
    int buffer_size;         // ring, frames a stream; default 30
    size_t buffer_bytes;     // ring, bytes a stream; default 64 MiB

    int detect_every; // models look at each n-th frame of a video; negative: as often as it takes; 0: at all
    bool motion_gate; // they do not look at frames in which nothing has changed
    uint64_t max_frames; // a stream; 0: all
    // Each n-th result of a stream (frames n - 1, 2n - 1, ...) carries the state behind it; 0: none. With
    // detect_every or motion_gate and a tracker, the last one before the next look does, up to 16 frames
    // later. It costs a pass over the frame's pixels and copies of what the stream remembers: with "motion"
    // about a megabyte, else some kilobytes and the tracker's features. Not beside denoise and color, which
    // average over time. 0..1000000
    int checkpoint_every;
    bool stays;         // goes on when its streams have ended, until fm_run_stop, and may begin without any
    bool realtime;      // pace files by their clock, and drop when behind as live sources do
    double timeout_s;   // a source that sends nothing for so long has failed; default 10
    int64_t max_pixels; // of a picture or video frame; default 134217728

    const char *out_dir;       // DIR/<stream>.jsonl; made if missing
    bool annotate;             // DIR/<stream>.mp4
    bool maps;                 // DIR/<stream>.maps/NNNNNNNN.png: the class of each pixel as its level
    bool features;             // results carry the feature of each object, or of each frame
    const char *mot_box;       // "detection", "filtered": the box in DIR/<stream>.mot.txt; NULL: "filtered"
    fm_store_settings keeping; // results and pictures into a store
    fm_redis_settings redis;   // results and events to Redis, commands from it
    int jsonl_fd;              // JSONL of all streams to this descriptor, -1: none; used when out_dir is NULL
    fm_run_result_fn on_result; // or NULL
    int queue;     // results that wait for fm_run_next, of all streams; when it is full, the streams wait; 0:
                   // there is none
    bool pictures; // results of on_result, fm_run_next and processors have their frame's picture
    bool trace;    // keep what every thread does, for fm_run_trace_write
    bool profile;  // keep where its time goes, for fm_run_profile_write
    void *opaque;

    const fm_model_store_opts *store; // where models lie; required unless the detector is "motion" or "none"
    const char *cache_dir;            // compiled-model cache, or NULL: none
    const char *tuning; // tuning file of fm_tune_save, for batch auto; or NULL. Not used beside workers or
                        // threads of the caller's own
    fm_log log;
} fm_run_opts;

#define FM_RUN_OPTS_INIT                                                                                     \
    {                                                                                                        \
        .struct_size = sizeof(fm_run_opts), .jsonl_fd = -1                                                   \
    }
FM_API void fm_run_opts_init(fm_run_opts *opts);

FM_API fm_status fm_run_new(const fm_run_opts *opts, fm_run **out, fm_error *err) FM_MUST_USE;
FM_API fm_status fm_run_start(fm_run *run, fm_error *err) FM_MUST_USE;
/** Waits until the run has ended or timeout_ms passed (negative: for ever). AGAIN when it still runs, OK when
 * it ended. */
FM_API fm_status fm_run_wait(fm_run *run, int timeout_ms);
/** Asks for an end: drain true processes what was read, false drops it. Returns at once; may be called again
 * with drain false. Any thread, not from a signal handler. */
FM_API void fm_run_stop(fm_run *run, bool drain);
/** The next result of any stream, in frame order within a stream; needs `queue`. The result is the caller's:
 * fm_result_free, before the run is freed.
 *  @param timeout_ms  negative: for ever
 *  @return AGAIN when none came in time, EOF when the run has ended and all were taken, INVAL without a
 * queue, NOMEM when a result was lost. Any thread. */
FM_API fm_status fm_run_next(fm_run *run, int timeout_ms, fm_result **out, fm_error *err) FM_MUST_USE;
/** Adds a stream to a run that has started and has not ended. Where opts->name is that of a stream that is
 * there with the same url, nothing is done. INVAL: the name belongs to another one, its files are there
 * already, or the url is none; BUSY: as many as max_streams are there, or the last stream of this name is
 * still ending. A stream takes the place of one that has ended where there is no other: its report is then
 * gone. Any thread. */
FM_API fm_status fm_run_stream_add(fm_run *run, const fm_stream_opts *opts, fm_error *err) FM_MUST_USE;
/** Ends a stream; what was read of it is processed. NOTFOUND: there is none of this name. Any thread. */
FM_API fm_status fm_run_stream_remove(fm_run *run, const char *name, fm_error *err) FM_MUST_USE;
/** Pauses a stream, or lets it go on: a file is read no further, a live source's frames are passed over.
 * NOTFOUND: there is none of this name, or it has ended. Any thread. */
FM_API fm_status fm_run_stream_pause(fm_run *run, const char *name, bool paused, fm_error *err) FM_MUST_USE;
/** Stops without draining if it still runs, waits, frees. */
FM_API void fm_run_free(fm_run **run);

/** Where a run stands, for a progress line. */
typedef struct fm_run_progress {
    uint64_t frames;   // done, all streams
    uint64_t expected; // of all streams; 0 where one is unknown or endless
    uint64_t dropped;
    uint64_t objects;
    int streams, active, failed;
    double seconds; // since start
    double fps;     // over the last seconds
} fm_run_progress;
FM_API void fm_run_progress_get(fm_run *run, fm_run_progress *out);

/** One stream's outcome; strings live as long as the run, or until a stream is added. */
typedef struct fm_stream_report {
    const char *name;
    const char *url; // redacted
    uint64_t frames, dropped, objects, tracks;
    uint64_t pts_mended, decode_errors, converted, format_changes, skipped;
    uint64_t passed_over; // frames of a live source while it was paused
    uint64_t expected;    // frames there will be; 0: unknown
    int queued;           // frames that wait for a model now
    bool ended;           // its last result was handed to the sinks, and waits for fm_run_next at most
    const char *error;    // NULL, or one line
} fm_stream_report;
FM_API size_t fm_run_stream_count(const fm_run *run);
FM_API fm_status fm_run_stream_report(fm_run *run, size_t index, fm_stream_report *out);
/** Objects reported with this class, summed over the streams, for a summary; label NULL past the end. After
 * the run ended. */
FM_API const char *fm_run_class_count(fm_run *run, size_t class_id, uint64_t *count);
/** Writes a trace of the run, which was asked for in its options, as Chrome and Perfetto read it. After the
 * run ended; *lost (or NULL): events that found no room, all after the last one written. */
FM_API fm_status fm_run_trace_write(fm_run *run, const char *path, uint64_t *lost, fm_error *err) FM_MUST_USE;
/** Writes where the time of a run went, which was asked for in its options, as one HTML page that needs
 * nothing else; whole or not at all, except to what is no regular file. After the run ended. config: what was
 * set, to be shown, or NULL. */
FM_API fm_status fm_run_profile_write(
    fm_run *run, const char *path, const struct fm_config *config, fm_error *err) FM_MUST_USE;
/** The report as JSON (ARCHITECTURE.md "Result", --report). Free with fm_free. After the run ended. */
FM_API fm_status fm_run_report_json(fm_run *run, char **out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
