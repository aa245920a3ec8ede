// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The muxer. MP4 and MOV are fragmented: a fragment is whole once the next key frame comes, so that the file
// of a killed process plays up to its last one; Matroska is so by its nature. Sound and subtitles of the
// source are copied packet by packet with the times they have; a kind that the file cannot hold is left out,
// and said. The file grows under the name PATH.part where that is asked for: what bears the final name is
// whole.

#include "media/mux.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STREAMS = 64 };

struct fm_muxer {
    fm_av_guard guard;
    char *path, *part; // part: NULL where it is written in place
    AVFormatContext *fmt;
    const fm_decoder *source;
    AVRational video_base;      // of the codec
    int to[MOST_STREAMS];       // stream of the source -> ours, -1: none
    int64_t last[MOST_STREAMS]; // decoding time last written, of ours
    uint64_t left_out;          // copied packets that the file did not take
    bool header_written;
};

static const char *const kinds[][2] = {{".mp4", "mp4"}, {".m4v", "mp4"}, {".mov", "mov"},
    {".mkv", "matroska"}, {".webm", "webm"}, {".avi", "avi"}};

static const char *kind_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (fm__str_ieq(dot, kinds[i][0])) {
            return kinds[i][1];
        }
    }
    return NULL;
}

bool fm__muxer_knows(const char *path)
{
    return kind_of(path) != NULL;
}

static const char *name_of(const fm_muxer *m)
{
    return m->part ? m->part : m->path;
}

static fm_status fail(fm_muxer *m, int ret, const char *what, fm_error *err)
{
    return fm__av_fail(err, ret, NULL, false, what, m->path);
}

/* ---- streams ---- */

static fm_status add_video(fm_muxer *m, const fm_muxer_opts *opts, fm_error *err)
{
    AVStream *s = avformat_new_stream(m->fmt, NULL);
    if (!s || avcodec_parameters_from_context(s->codecpar, opts->avctx) < 0) {
        return fm__fail_nomem(err, "an encoder");
    }
    s->time_base = m->video_base = opts->avctx->time_base;
    s->avg_frame_rate = opts->avctx->framerate;
    s->sample_aspect_ratio = opts->avctx->sample_aspect_ratio;
    return FM_OK;
}

// Text subtitles of one container are another codec in the next; those are left out rather than rewritten.
static bool can_hold(const fm_muxer *m, const AVCodecParameters *par)
{
    return avformat_query_codec(m->fmt->oformat, par->codec_id, FF_COMPLIANCE_NORMAL) == 1;
}

static fm_status add_copy(fm_muxer *m, const AVStream *from, fm_error *err)
{
    const AVCodecParameters *par = from->codecpar;
    if (!can_hold(m, par)) {
        fm__log(&m->guard.log, FM_LOG_WARN, "media",
            "'%s': %s of codec %s is left out: a %s file cannot hold it", m->path,
            par->codec_type == AVMEDIA_TYPE_AUDIO ? "sound" : "a subtitle", avcodec_get_name(par->codec_id),
            m->fmt->oformat->name);
        return FM_OK;
    }
    AVStream *s = avformat_new_stream(m->fmt, NULL);
    if (!s || avcodec_parameters_copy(s->codecpar, par) < 0 ||
        av_dict_copy(&s->metadata, from->metadata, 0) < 0) {
        return fm__fail_nomem(err, "a stream");
    }
    s->codecpar->codec_tag = 0; // each container has its own
    s->time_base = from->time_base;
    s->disposition = from->disposition;
    m->to[from->index] = s->index;
    return FM_OK;
}

static fm_status add_streams(fm_muxer *m, const fm_muxer_opts *opts, fm_error *err)
{
    fm_status st = add_video(m, opts, err);
    for (int i = 0; i < MOST_STREAMS; i++) {
        m->to[i] = -1;
        m->last[i] = INT64_MIN;
    }
    if (!opts->source) {
        return st;
    }
    const fm_input *in = fm__decoder_input(opts->source);
    if (st == FM_OK && av_dict_copy(&m->fmt->metadata, in->fmt->metadata, 0) < 0) {
        st = fm__fail_nomem(err, "tags");
    }
    if (st == FM_OK && av_dict_copy(&m->fmt->streams[0]->metadata, in->video->metadata, 0) < 0) {
        st = fm__fail_nomem(err, "tags");
    }
    for (unsigned i = 0; st == FM_OK && i < in->fmt->nb_streams && i < MOST_STREAMS; i++) {
        const AVStream *from = in->fmt->streams[i];
        if (from != in->video && from->discard != AVDISCARD_ALL && m->fmt->nb_streams < MOST_STREAMS) {
            st = add_copy(m, from, err);
        }
    }
    return st;
}

/* ---- the file ---- */

static int open_bytes(fm_muxer *m)
{
    char *url = fm__asprintf(FM_TAG_MEDIA, "file:%s", name_of(m)); // no path is ever taken for a protocol
    if (!url) {
        return AVERROR(ENOMEM);
    }
    AVDictionary *dict = NULL;
    av_dict_set(&dict, "protocol_whitelist", "file", 0);
    int ret = avio_open2(&m->fmt->pb, url, AVIO_FLAG_WRITE, &m->fmt->interrupt_callback, &dict);
    av_dict_free(&dict);
    fm__free(url);
    return ret;
}

// With copied sound the header waits for the first packets, which some codecs' description comes with.
static int write_header(fm_muxer *m)
{
    AVDictionary *dict = NULL;
    bool copies = m->fmt->nb_streams > 1;
    if (strcmp(m->fmt->oformat->name, "mp4") == 0 || strcmp(m->fmt->oformat->name, "mov") == 0) {
        av_dict_set(&dict, "movflags",
            copies ? "frag_keyframe+delay_moov+default_base_moof"
                   : "frag_keyframe+empty_moov+default_base_moof",
            0);
    }
    int ret = avformat_write_header(m->fmt, &dict);
    av_dict_free(&dict);
    m->header_written = ret >= 0;
    if (ret >= 0) {
        avio_flush(m->fmt->pb);
        ret = m->fmt->pb->error;
    }
    return ret;
}

static fm_status open_all(fm_muxer *m, const fm_muxer_opts *opts, fm_error *err)
{
    m->path = fm__strdup(FM_TAG_MEDIA, opts->path);
    m->part = opts->part ? fm__asprintf(FM_TAG_MEDIA, "%s.part", opts->path) : NULL;
    if (!m->path || (opts->part && !m->part)) {
        return fm__fail_nomem(err, "a name");
    }
    const char *kind = kind_of(m->path);
    int ret = avformat_alloc_output_context2(&m->fmt, NULL, kind ? kind : "mp4", NULL);
    if (ret < 0) {
        return fail(m, ret, "cannot write", err);
    }
    m->fmt->interrupt_callback = fm__av_guard_callback(&m->guard);
    m->fmt->flags |= AVFMT_FLAG_FLUSH_PACKETS; // a fragment is in the file once it is made
    fm_status st = add_streams(m, opts, err);
    if (st != FM_OK) {
        return st;
    }
    ret = open_bytes(m);
    ret = ret < 0 ? ret : write_header(m);
    return ret < 0 ? fail(m, ret, "cannot write", err) : FM_OK;
}

static void free_all(fm_muxer *m)
{
    if (m->fmt) {
        avio_closep(&m->fmt->pb);
        avformat_free_context(m->fmt);
    }
    fm__free(m->path);
    fm__free(m->part);
    fm__free(m);
}

fm_status fm__muxer_open(const fm_muxer_opts *opts, fm_muxer **out, fm_error *err)
{
    fm_muxer *m = fm__calloc(FM_TAG_MEDIA, sizeof(*m));
    if (!m) {
        return fm__fail_nomem(err, "a file");
    }
    m->source = opts->source;
    fm__av_guard_init(&m->guard, opts->log, NULL, 0);
    fm_status st = open_all(m, opts, err);
    if (st != FM_OK) {
        bool began = m->fmt && m->fmt->pb;
        if (began && m->part) {
            (void)unlink(m->part); // nothing in it
        }
        free_all(m);
        return st;
    }
    *out = m;
    return FM_OK;
}

/* ---- packets ---- */

// With copies beside it a packet waits for its turn, and an error may be another one's, which is out of the
// queue then: a damaged packet of sound is left out and ends nothing. What the file itself says, ends it.
static int judge(fm_muxer *m, int ret)
{
    if (m->fmt->pb->error < 0) {
        return m->fmt->pb->error;
    }
    bool a_copy = ret < 0 && ret != AVERROR(ENOMEM) && m->fmt->nb_streams > 1;
    m->left_out += a_copy;
    return a_copy ? 0 : ret;
}

static int put(fm_muxer *m, AVPacket *packet)
{
    int ret =
        m->fmt->nb_streams > 1 ? av_interleaved_write_frame(m->fmt, packet) : av_write_frame(m->fmt, packet);
    av_packet_unref(packet);
    return judge(m, ret);
}

// Times that stand still or go back are the source's fault, and no file takes them.
static int put_copy(fm_muxer *m, AVPacket *packet)
{
    const fm_input *in = fm__decoder_input(m->source);
    int index = packet->stream_index < MOST_STREAMS ? m->to[packet->stream_index] : -1;
    if (index < 0) {
        return 0;
    }
    AVStream *to = m->fmt->streams[index];
    av_packet_rescale_ts(packet, in->fmt->streams[packet->stream_index]->time_base, to->time_base);
    packet->stream_index = index;
    packet->pos = -1;
    bool backwards = packet->dts != AV_NOPTS_VALUE && packet->dts <= m->last[index];
    if (backwards || (packet->dts == AV_NOPTS_VALUE && packet->pts == AV_NOPTS_VALUE)) {
        m->left_out++;
        return 0;
    }
    m->last[index] = packet->dts != AV_NOPTS_VALUE ? packet->dts : m->last[index];
    return put(m, packet);
}

static int put_kept(fm_muxer *m)
{
    fm_others *others = m->source ? fm__decoder_others(m->source) : NULL;
    int ret = 0;
    while (others && ret >= 0) {
        AVPacket *packet = fm__others_take(others);
        if (!packet) {
            break;
        }
        ret = put_copy(m, packet);
        av_packet_free(&packet);
    }
    return ret;
}

fm_status fm__muxer_write(fm_muxer *m, AVPacket *packet, fm_error *err)
{
    packet->stream_index = 0;
    av_packet_rescale_ts(packet, m->video_base, m->fmt->streams[0]->time_base);
    int ret = put_kept(m);
    ret = ret < 0 ? ret : put(m, packet);
    av_packet_unref(packet);
    return ret < 0 ? fail(m, ret, "cannot write", err) : FM_OK;
}

// What waits for its turn; each damaged packet ends one try.
static int flush(fm_muxer *m)
{
    int ret = 0;
    for (uint64_t before = UINT64_MAX; ret >= 0 && m->fmt->nb_streams > 1 && before != m->left_out;) {
        before = m->left_out;
        ret = judge(m, av_interleaved_write_frame(m->fmt, NULL));
    }
    return ret;
}

static fm_status finish(fm_muxer *m, fm_error *err)
{
    int ret = put_kept(m);
    ret = ret < 0 ? ret : flush(m);
    ret = ret < 0 ? ret : av_write_trailer(m->fmt);
    ret = ret < 0 ? ret : avio_closep(&m->fmt->pb);
    if (ret < 0) {
        return fail(m, ret, "cannot finish", err);
    }
    if (m->part && rename(m->part, m->path) != 0) {
        return fm__fail_errno(err, errno, "cannot put in place", m->path);
    }
    uint64_t lost =
        m->left_out +
        (m->source && fm__decoder_others(m->source) ? fm__others_lost(fm__decoder_others(m->source)) : 0);
    if (lost) {
        fm__log(&m->guard.log, FM_LOG_WARN, "media",
            "'%s': %llu packets of sound or subtitles were left out: they are damaged, or their times out of "
            "order",
            m->path, (unsigned long long)lost);
    }
    return FM_OK;
}

fm_status fm__muxer_close(fm_muxer **muxer, bool keep, fm_error *err)
{
    fm_muxer *m = *muxer;
    if (!m) {
        return FM_OK;
    }
    *muxer = NULL;
    fm_status st = keep ? finish(m, err) : FM_OK;
    if (m->part && (!keep || st != FM_OK)) {
        (void)unlink(m->part); // half a file is worth nothing to whom a whole one was promised
    }
    free_all(m);
    return st;
}
