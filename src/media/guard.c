// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The guard of a libav context: interruption, silence time-out, log lines, error codes. libav has one log
// callback for the whole process and prints to stderr unless told otherwise. A library must not print, so the
// callback is replaced, once; ours finds out from the context that speaks whose guard it carries and hands
// the line, at debug level, to that guard's log. Contexts are recognised by a function pointer of ours in
// them, so that another user of libav in the same process never has its `opaque` read as a guard. Lines of
// contexts that are not ours, or of none, and everything below a warning are dropped.

#include "media/internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#include <libavutil/pixdesc.h>

#include <fm_config.h>

#if FM_HAVE_V4L2
#include <libavdevice/avdevice.h>
#endif

#include <pthread.h>
#include <string.h>

void fm__av_guard_init(fm_av_guard *g, const fm_log *log, const atomic_bool *cancel, int64_t timeout_ns)
{
    memset(g, 0, sizeof(*g));
    if (log) {
        g->log = *log;
    }
    g->cancel = cancel;
    g->timeout_ns = timeout_ns;
    atomic_init(&g->interrupted, false);
    fm__av_guard_arm(g);
}

void fm__av_guard_arm(fm_av_guard *g)
{
    g->deadline_ns = g->timeout_ns > 0 ? fm__now_ns() + g->timeout_ns : INT64_MAX;
    g->timed_out = false;
}

bool fm__av_guard_stopped(const fm_av_guard *g)
{
    return atomic_load(&g->interrupted) || (g->cancel && atomic_load(g->cancel));
}

// libav asks this while it waits; it is called on the thread that reads.
static int should_stop(void *opaque)
{
    fm_av_guard *g = opaque;
    if (!g->timed_out && fm__now_ns() > g->deadline_ns) {
        g->timed_out = true;
    }
    return fm__av_guard_stopped(g) || g->timed_out;
}

AVIOInterruptCB fm__av_guard_callback(fm_av_guard *g)
{
    return (AVIOInterruptCB){.callback = should_stop, .opaque = g};
}

// Hardware formats come first in the list where a driver is there; frames must be in memory that kernels
// read.
static enum AVPixelFormat software_format(AVCodecContext *avctx, const enum AVPixelFormat *formats)
{
    (void)avctx;
    while (*formats != AV_PIX_FMT_NONE) {
        const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(*formats);
        if (d && !(d->flags & AV_PIX_FMT_FLAG_HWACCEL)) {
            break;
        }
        formats++;
    }
    return *formats;
}

void fm__av_guard_codec(fm_av_guard *g, AVCodecContext *avctx)
{
    avctx->opaque = g;
    avctx->get_format = software_format;
}

static const fm_log *log_of(void *ctx)
{
    const AVClass *class = ctx ? *(const AVClass **)ctx : NULL;
    if (class && class == avformat_get_class()) {
        const AVIOInterruptCB *cb = &((AVFormatContext *)ctx)->interrupt_callback;
        return cb->callback == should_stop ? &((fm_av_guard *)cb->opaque)->log : NULL;
    }
    if (class && class == avcodec_get_class()) {
        AVCodecContext *avctx = ctx;
        return avctx->get_format == software_format ? &((fm_av_guard *)avctx->opaque)->log : NULL;
    }
    return NULL;
}

__attribute__((format(printf, 3, 0))) static void on_log(void *ctx, int level, const char *fmt, va_list ap)
{
    const fm_log *log = level <= AV_LOG_WARNING ? log_of(ctx) : NULL;
    if (!fm__log_on(log, FM_LOG_DEBUG)) {
        return;
    }
    char line[512];
    int prefix = 1;
    av_log_format_line2(ctx, level, fmt, ap, line, sizeof(line), &prefix);
    line[strcspn(line, "\r\n")] = 0;
    char *shown = fm__redact_url(FM_TAG_MEDIA, line); // libav quotes whole URLs
    if (shown && *shown) {
        fm__log(log, FM_LOG_DEBUG, "media", "%s", shown);
    }
    fm__free(shown);
}

static void setup(void)
{
    av_log_set_callback(on_log);
#if FM_HAVE_V4L2
    avdevice_register_all();
#endif
}

void fm__av_setup(void)
{
    // libav's own state is process-wide, so this one is too.
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup);
}

static fm_status status_of(int ret, bool net)
{
    switch (ret) {
    case AVERROR(ENOMEM):
        return FM_NOMEM;
    case AVERROR(ENOENT):
    case AVERROR_HTTP_NOT_FOUND:
        return FM_NOTFOUND;
    case AVERROR_INVALIDDATA:
        return FM_FORMAT;
    case AVERROR_HTTP_UNAUTHORIZED:
    case AVERROR_HTTP_FORBIDDEN:
        return FM_DENIED;
    case AVERROR_PATCHWELCOME:
    case AVERROR(ENOSYS):
        return FM_UNSUPPORTED;
    case AVERROR(ETIMEDOUT):
        return FM_TIMEOUT;
    default:
        return net ? FM_NET : FM_IO;
    }
}

fm_status fm__av_fail(
    fm_error *err, int ret, const fm_av_guard *g, bool net, const char *what, const char *shown)
{
    if (g && fm__av_guard_stopped(g)) {
        return fm__fail(err, FM_CANCELED, "%s '%s': stopped", what, shown);
    }
    if (g && g->timed_out) {
        return fm__fail(err, FM_TIMEOUT, "%s '%s': nothing came for %.1f s; check that the source is up",
            what, shown, (double)g->timeout_ns / (double)FM_NS_PER_S);
    }
    if (g && g->refused) {
        return fm__fail(err, FM_DENIED,
            "%s '%s': it points to other files or addresses, which is refused; give those themselves", what,
            shown);
    }
    char why[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(ret, why, sizeof(why));
    return fm__fail_native(err, status_of(ret, net), ret, "%s '%s': %s", what, shown, why);
}
