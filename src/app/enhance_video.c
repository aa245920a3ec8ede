// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A video enhanced: one thread decodes, the caller's enhances (its rows over all cores), one encodes, a few
// frames between them. Sound, subtitles, tags and times go from file to file as they are. What bears the
// output's name is whole: it grows as OUT.part, which plays as far as it goes when the process is killed. A
// stop ends the video where it is, and that is a whole file, too. What does not decode is left out and
// counted, and so is a file's missing end.

#include "app/enhance_private.h"
#include "app/frame_queue.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "media/encode.h"
#include "stream/source.h"
#include "stream/stream.h"

#include <string.h>
#include <strings.h>

enum { MOST_DECODER_THREADS = 4 };

typedef struct video {
    fm__enhance_job *j;
    fm_decoder *decoder;
    fm__frame_queue read, made, both; // decoded; enhanced; side by side, where they are compared
    atomic_bool stop;
    atomic_bool discard; // what was written is not the video that was asked for
    // of the decoder's thread, then of whoever joined it
    fm_error read_error;
    bool cut; // the input ended before it should
} video;

/** A file that is written by a thread of its own. */
typedef struct output {
    video *v;
    fm__frame_queue *from;
    const char *path;
    bool with_others;
    pthread_t thread;
    bool running;
    fm_error error;
} output;

/* ---- decoding ---- */

static fm_input_kind kind_of(fm_stream_kind kind, const char *url)
{
    if (kind == FM_STREAM_URL) {
        return strncasecmp(url, "rtsp", 4) == 0 ? FM_INPUT_RTSP : FM_INPUT_HTTP;
    }
    return kind == FM_STREAM_DEVICE ? FM_INPUT_DEVICE : FM_INPUT_FILE;
}

static fm_status open_input(video *v, fm_stream_kind kind, fm_error *err)
{
    const fm_enhance_opts *o = v->j->opts;
    int cores = o->threads > 0 ? o->threads : fm__cpu_count();
    fm_decoder_opts dec = {
        .url = kind == FM_STREAM_DEVICE ? fm__device_path(o->input) : o->input,
        .kind = kind_of(kind, o->input),
        .threads = cores < MOST_DECODER_THREADS ? cores : MOST_DECODER_THREADS,
        .max_pixels = o->max_pixels,
        .log = &o->log,
        .cancel = &v->stop,
        .keep_others = true,
    };
    fm_status st = fm__decoder_open(&dec, &v->decoder, err);
    if (st == FM_OK) {
        const fm_decoder_info *info = fm__decoder_info(v->decoder);
        uint64_t n = info->frame_count > 0 ? (uint64_t)info->frame_count : 0;
        v->j->progress.expected = o->max_frames && (n == 0 || n > o->max_frames) ? o->max_frames : n;
        v->j->progress.is_video = true;
    }
    return st;
}

static void *read_main(void *arg)
{
    video *v = arg;
    uint64_t most = v->j->opts->max_frames;
    fm_status st = FM_OK;
    for (uint64_t n = 0; st == FM_OK && (most == 0 || n < most) && !atomic_load(&v->stop); n++) {
        fm_frame *frame = NULL;
        st = fm__decoder_read(v->decoder, &frame, &v->read_error);
        if (st == FM_OK && !fm__frame_queue_put(&v->read, frame)) {
            break;
        }
    }
    v->read_error.status = st == FM_EOF || st == FM_CANCELED ? FM_OK : st;
    fm__frame_queue_end(&v->read);
    return NULL;
}

/* ---- encoding ---- */

static fm_status open_encoder(const output *o, const fm_frame *first, fm_encoder **out, fm_error *err)
{
    const fm_enhance_opts *opts = o->v->j->opts;
    const fm_frame_view *view = &first->view;
    fm_encoder_opts eo = {
        .path = o->path,
        .codec = opts->codec,
        .part = true,
        .source = o->with_others ? o->v->decoder : NULL,
        .format = view->format,
        .width = view->width,
        .height = view->height,
        .matrix = view->matrix,
        .range = view->range,
        .fps = fm__decoder_info(o->v->decoder)->fps,
        .crf = opts->quality,
        .preset = opts->preset,
        .threads = opts->threads > 0 ? opts->threads : fm__cpu_count(),
        .log = &opts->log,
    };
    return fm__encoder_open(&eo, out, err);
}

static fm_status write_all(output *o, fm_error *err)
{
    fm_encoder *encoder = NULL;
    fm_status st = FM_OK;
    for (fm_frame *f = fm__frame_queue_take(o->from); f; f = fm__frame_queue_take(o->from)) {
        st = encoder ? st : open_encoder(o, f, &encoder, err);
        st = st == FM_OK ? fm__encoder_write(encoder, f, err) : st;
        fm_frame_unref(&f);
        if (st != FM_OK) {
            fm__frame_queue_close(o->from);
            break;
        }
    }
    if (st != FM_OK || atomic_load(&o->v->discard)) {
        fm__encoder_abort(&encoder);
        return st;
    }
    return fm__encoder_close(&encoder, err);
}

static void *write_main(void *arg)
{
    output *o = arg;
    o->error.status = write_all(o, &o->error);
    return NULL;
}

/* ---- in between ---- */

// False: an output takes no more.
static bool pass_on(video *v, fm_frame *after, fm_frame *both)
{
    bool taken = fm__frame_queue_put(&v->made, after);
    if (!both) {
        return taken;
    }
    return fm__frame_queue_put(&v->both, both) && taken;
}

// The next frame out of an enhancer; in is NULL once the video has ended.
static fm_status next(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    return in ? fm__enhancer_push(e, in, out, err) : fm__enhancer_flush(e, out, err);
}

// AGAIN where the next frame waits for those after it, EOF where none is left.
static fm_status make(video *v, fm_frame *in, fm_frame **after, fm_frame **both, fm_error *err)
{
    fm__enhance_job *j = v->j;
    fm_frame *before = NULL;
    fm_status st = next(j->enhancer, in, after, err);
    if (st >= 0 && j->opts->compare) {
        fm_status plain = next(j->plain, in, &before, err); // waits as long as the other
        st = plain == FM_OK ? st : plain;
    }
    if (st == FM_OK && j->opts->compare) {
        st = fm__enhance_side_by_side(j->pool, before, *after, both, err);
    }
    fm_frame_unref(&before);
    if (st != FM_OK) {
        fm_frame_unref(after);
    }
    return st;
}

// EOF: that was the last one.
static fm_status one_frame(video *v, fm_error *err)
{
    fm_frame *in = fm__frame_queue_take(&v->read), *after = NULL, *both = NULL;
    fm_status st = make(v, in, &after, &both, err);
    fm_frame_unref(&in);
    if (st == FM_OK && !pass_on(v, after, both)) {
        atomic_store(&v->discard, true);
        return FM_EOF; // the output says why
    }
    v->j->progress.done += st == FM_OK;
    return st == FM_AGAIN ? FM_OK : st;
}

static fm_status enhance_all(video *v, fm_error *err)
{
    fm_status st = FM_OK;
    bool goes_on = fm__enhance_tell(v->j);
    while (st == FM_OK && goes_on) {
        st = one_frame(v, err);
        goes_on = fm__enhance_tell(v->j);
    }
    if (st == FM_EOF) {
        return FM_OK;
    }
    return st == FM_OK ? fm__fail(err, FM_CANCELED, "stopped") : st;
}

/* ---- all of it ---- */

static fm_status start(output *o, const char *name, fm_error *err)
{
    fm_status st = fm__thread_start(&o->thread, name, write_main, o, err);
    o->running = st == FM_OK;
    return st;
}

// The worst that befell an output, or OK. The one that was asked for tells before the comparison.
static fm_status join(output *outputs, int n, fm_error *err)
{
    fm_status st = FM_OK;
    for (int i = 0; i < n; i++) {
        if (!outputs[i].running) {
            continue;
        }
        pthread_join(outputs[i].thread, NULL);
        if (st == FM_OK && outputs[i].error.status != FM_OK) {
            st = outputs[i].error.status;
            *err = outputs[i].error;
        }
    }
    return st;
}

// Decoder and encoders around the caller's thread.
static fm_status run(video *v, fm_error *err)
{
    const fm_enhance_opts *o = v->j->opts;
    output outputs[2] = {{.v = v, .from = &v->made, .path = o->output, .with_others = true},
        {.v = v, .from = &v->both, .path = o->compare}};
    pthread_t reader;
    fm_error why = {0};
    fm_status st = fm__thread_start(&reader, "fm-read", read_main, v, err);
    if (st != FM_OK) {
        return st;
    }
    st = start(&outputs[0], "fm-write", err);
    st = st == FM_OK && o->compare ? start(&outputs[1], "fm-compare", err) : st;
    st = st == FM_OK ? enhance_all(v, err) : st;
    atomic_store(&v->stop, true);
    fm__decoder_interrupt(v->decoder);
    fm__frame_queue_close(&v->read);
    pthread_join(reader, NULL);
    bool failed = st != FM_OK && st != FM_CANCELED;
    if (failed) {
        atomic_store(&v->discard, true);
    }
    fm__frame_queue_end(&v->made);
    fm__frame_queue_end(&v->both);
    fm_status written = join(outputs, 2, &why);
    if (written != FM_OK && !failed) {
        *err = why;
        return written;
    }
    return st;
}

// The decoder's own end: what it could not read is said, and counts as something that failed.
static fm_status judge(video *v, fm_status st, fm_error *err)
{
    fm__enhance_job *j = v->j;
    fm_decoder_stats stats;
    fm__decoder_stats(v->decoder, &stats);
    if (st != FM_OK) {
        return st;
    }
    if (v->read_error.status != FM_OK && j->progress.done == 0) {
        *err = v->read_error;
        return v->read_error.status;
    }
    if (v->read_error.status != FM_OK) {
        fm__log(&j->opts->log, FM_LOG_WARN, "enhance", "%s", v->read_error.msg);
        j->progress.failed++;
    } else if (stats.decode_errors > 0) {
        fm__log(&j->opts->log, FM_LOG_WARN, "enhance", "%llu damaged parts of the video were left out",
            (unsigned long long)stats.decode_errors);
        j->progress.failed++;
    }
    return FM_OK;
}

fm_status fm__enhance_check_video(const fm_enhance_opts *o, fm_error *err)
{
    const char *const paths[] = {o->output, o->compare};
    for (int i = 0; i < 2; i++) {
        fm_encoder_opts eo = {.path = paths[i], .codec = o->codec, .crf = o->quality, .preset = o->preset};
        if (!paths[i]) {
            continue;
        }
        if (!fm__encoder_knows(paths[i])) {
            return fm__fail(err, FM_INVAL,
                "cannot write a video to '%s': give a name that ends in .mp4, .mov, .mkv, .webm or .avi",
                paths[i]);
        }
        fm_status st = fm__encoder_check(&eo, err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

fm_status fm__enhance_video(fm__enhance_job *j, fm_stream_kind kind, fm_error *err)
{
    video v = {.j = j};
    fm_status st = open_input(&v, kind, err);
    if (st != FM_OK) {
        return st;
    }
    fm__frame_queue_init(&v.read);
    fm__frame_queue_init(&v.made);
    fm__frame_queue_init(&v.both);
    st = judge(&v, run(&v, err), err);
    fm__frame_queue_done(&v.both);
    fm__frame_queue_done(&v.made);
    fm__frame_queue_done(&v.read);
    fm__decoder_close(&v.decoder);
    return st;
}
