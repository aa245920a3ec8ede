// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Opening an input so that it can do no more than it should. Whoever hands us a file or a URL may be hostile:
// a playlist named .mp4 can make libav read local files or reach inner hosts and show them to whoever sees
// the result (the FFmpeg HLS findings of 2016, CVE-2016-1897/1898). So: the byte stream is opened by us, with
// the protocols its kind needs and nothing else; local names get "file:" in front, so that no name is ever
// taken for a protocol; the container is found by its bytes and must stand in a list of formats that hold
// their own media (no playlists, no descriptions of sessions, no numbered picture patterns); and every
// further open that a demuxer asks for is refused, whatever the format. Pixel counts are checked before a
// decoder is made.

#include "media/internal.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include <libavutil/avstring.h>
#include <libavutil/dict.h>
#include <libavutil/display.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// Formats that hold their own media. Audio ones stand here for the better error ("no video in it").
static const char containers[] =
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,asf_o,rm,ogg,nut,mxf,gxf,lxf,wtv,dv,dhav,swf,"
    "ivf,obu,av1,h261,h263,h264,hevc,vc1,vc1test,m4v,mjpeg,mjpeg_2000,smjpeg,mpjpeg,ingenient,yuv4mpegpipe,"
    "gif,apng,ivr,nuv,pva,r3d,roq,rl2,smk,bink,film_cpk,flic,4xm,cdxl,vivo,nsv,avs,avs2,avs3,cavsvideo,dirac,"
    "dnxhd,lmlm4,ea,idcin,ipmovie,mtv,mv,mvi,psxstr,rpl,siff,thp,tmv,txd,ty,vmd,wc3movie,wsvqa,xmv,yop,"
    "bethsoftvid,c93,dfa,dxa,jv,paf,filmstrip,frm,gdv,hnm,iv8,mgsts,mlv,moflex,msnwctcp,simbiosis_imx,ifv,"
    "kux,luodat,ipu,dsicin,vividas,cine,ser,"
    "wav,w64,mp3,flac,aac,ac3,eac3,aiff,au,amr,ape,dts,truehd,tta,wv,caf,voc";

// Formats that only point to media elsewhere; refused by name so that the message can say why.
static const char references[] = "hls,dash,concat,sdp,rtsp,rtp,imf,image2,webm_dash_manifest,sap,ffmetadata";

typedef struct kind_rules {
    const char *protocols;
    const char *demuxer; // forced; NULL: found from the bytes
    bool net;
} kind_rules;

static const kind_rules kinds[] = {
    [FM_INPUT_FILE] = {.protocols = "file"},
    [FM_INPUT_HTTP] = {.protocols = "http,https,tls,tcp,httpproxy", .net = true},
    [FM_INPUT_RTSP] = {.protocols = "tcp,udp,rtp,rtsp,tls,srtp", .demuxer = "rtsp", .net = true},
    [FM_INPUT_DEVICE] = {.protocols = "file", .demuxer = "v4l2"},
};

static int refuse_nested(
    AVFormatContext *s, AVIOContext **pb, const char *url, int flags, AVDictionary **options)
{
    (void)pb;
    (void)flags;
    (void)options;
    fm_av_guard *g = s->interrupt_callback.opaque;
    char *shown = fm__redact_url(FM_TAG_MEDIA, url);
    fm__log(
        &g->log, FM_LOG_WARN, "media", "refused to open '%s', which a file points to", shown ? shown : "?");
    fm__free(shown);
    g->refused = true;
    return AVERROR(EACCES);
}

static fm_status check_file(const char *path, const char *shown, fm_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return fm__fail_errno(err, errno, "cannot open", shown);
    }
    if (S_ISDIR(st.st_mode)) {
        return fm__fail(err, FM_INVAL, "'%s' is a folder; give a video file", shown);
    }
    if (!S_ISREG(st.st_mode)) {
        return fm__fail(err, FM_INVAL, "'%s' is not a regular file; give a video file", shown);
    }
    if (st.st_size == 0) {
        return fm__fail(err, FM_FORMAT, "'%s' is empty; copy or record it again", shown);
    }
    return FM_OK;
}

// A format's name may be a list ("mov,mp4,m4a"); its first word stands in our lists.
static bool listed(const AVInputFormat *format, const char *list)
{
    char name[32];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(format->name, ","), format->name);
    return av_match_name(name, list) > 0;
}

static fm_status check_container(const AVInputFormat *format, const char *shown, fm_error *err)
{
    if (!format) {
        return fm__fail(err, FM_FORMAT, "'%s' is not a video: no known container; give a video file", shown);
    }
    if (listed(format, references)) {
        return fm__fail(err, FM_DENIED,
            "'%s' is a list that points to other media (%s), which is refused; give those themselves", shown,
            format->name);
    }
    if (!listed(format, containers)) {
        return fm__fail(
            err, FM_UNSUPPORTED, "'%s' is not a video but %s; give a video file", shown, format->name);
    }
    return FM_OK;
}

// Opens the bytes and finds the container.
static fm_status open_bytes(const fm_decoder_opts *opts, const char *url, const char *shown, fm_av_guard *g,
    fm_input *in, const AVInputFormat **format, fm_error *err)
{
    const kind_rules *rules = &kinds[opts->kind];
    AVDictionary *dict = NULL;
    av_dict_set(&dict, "protocol_whitelist", rules->protocols, 0);
    AVIOInterruptCB cb = fm__av_guard_callback(g);
    int ret = avio_open2(&in->pb, url, AVIO_FLAG_READ, &cb, &dict);
    av_dict_free(&dict);
    if (ret < 0) {
        return fm__av_fail(err, ret, g, rules->net, "cannot open", shown);
    }
    ret = av_probe_input_buffer2(in->pb, format, url, NULL, 0, 0);
    if (ret < 0 && ret != AVERROR_INVALIDDATA && ret != AVERROR_EOF) {
        return fm__av_fail(err, ret, g, rules->net, "cannot read", shown);
    }
    return check_container(*format, shown, err);
}

// The demuxer; *out is NULL when it fails, with libav's code returned.
static int try_format(const fm_decoder_opts *opts, const char *url, fm_av_guard *g, AVIOContext *pb,
    const AVInputFormat *format, int flags, AVFormatContext **out)
{
    AVFormatContext *fmt = avformat_alloc_context();
    if (!fmt) {
        return AVERROR(ENOMEM);
    }
    fmt->interrupt_callback = fm__av_guard_callback(g);
    fmt->pb = pb;
    fmt->io_open = refuse_nested;
    fmt->flags |= flags;
    AVDictionary *dict = NULL;
    av_dict_set(&dict, "protocol_whitelist", kinds[opts->kind].protocols, 0);
    // The demuxer's defaults, said aloud: no references to other files.
    av_dict_set(&dict, "enable_drefs", "0", 0);
    av_dict_set(&dict, "use_absolute_path", "0", 0);
    av_dict_set(&dict, "rtsp_transport", "tcp", 0); // loses nothing and passes firewalls
    av_dict_set(&dict, "allowed_media_types", "video", 0);
    int ret = avformat_open_input(&fmt, url, format, &dict); // frees fmt when it fails
    av_dict_free(&dict);
    *out = ret < 0 ? NULL : fmt;
    return ret;
}

static fm_status open_format(const fm_decoder_opts *opts, const char *url, const char *shown, fm_av_guard *g,
    fm_input *in, const AVInputFormat *format, fm_error *err)
{
    bool local = opts->kind == FM_INPUT_FILE;
    int flags = opts->kind == FM_INPUT_DEVICE ? AVFMT_FLAG_NONBLOCK : 0; // its wait cannot be interrupted
    int ret = try_format(opts, url, g, in->pb, format, flags, &in->fmt);
    if (ret == AVERROR_INVALIDDATA && local && listed(format, "mov") && avio_seek(in->pb, 0, SEEK_SET) == 0) {
        // Reading all fragments' headers at once fails for a file cut in the last of them; one by one it
        // works.
        ret = try_format(opts, url, g, in->pb, format, AVFMT_FLAG_IGNIDX, &in->fmt);
    }
    if (ret == AVERROR_INVALIDDATA && local && !g->refused) {
        return fm__fail_native(err, FM_FORMAT, ret,
            "'%s' is not a video that can be read (as %s); it is damaged, cut short or something else", shown,
            format->name);
    }
    return ret < 0 ? fm__av_fail(err, ret, g, kinds[opts->kind].net, "cannot open", shown) : FM_OK;
}

// Probing decodes a few frames with decoders of libavformat's own: they get the pixel limit too.
static int probe_streams(AVFormatContext *fmt, int64_t max_pixels)
{
    unsigned n = fmt->nb_streams;
    AVDictionary **dicts = fm__calloc_array(FM_TAG_MEDIA, n ? n : 1, sizeof(*dicts));
    if (!dicts) {
        return AVERROR(ENOMEM);
    }
    for (unsigned i = 0; i < n; i++) {
        av_dict_set_int(&dicts[i], "max_pixels", max_pixels, 0);
    }
    int ret = avformat_find_stream_info(fmt, dicts);
    for (unsigned i = 0; i < n; i++) {
        av_dict_free(&dicts[i]);
    }
    fm__free(dicts);
    return ret;
}

// The default stream first, then the largest picture. Cover art of a song is no video.
static bool better(const AVStream *a, const AVStream *b)
{
    int a_default = a->disposition & AV_DISPOSITION_DEFAULT,
        b_default = b->disposition & AV_DISPOSITION_DEFAULT;
    if (a_default != b_default) {
        return a_default > b_default;
    }
    return (int64_t)a->codecpar->width * a->codecpar->height >
           (int64_t)b->codecpar->width * b->codecpar->height;
}

static fm_status choose_video(fm_input *in, bool keep_others, const char *shown, fm_error *err)
{
    bool has_audio = false;
    for (unsigned i = 0; i < in->fmt->nb_streams; i++) {
        AVStream *st = in->fmt->streams[i];
        bool video = st->codecpar->codec_type == AVMEDIA_TYPE_VIDEO;
        bool picture = st->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS);
        has_audio |= st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
        bool is_kept = keep_others && (st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO ||
                                          st->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE);
        st->discard = is_kept ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
        if (video && !picture && (!in->video || better(st, in->video))) {
            in->video = st;
        }
    }
    if (!in->video) {
        return fm__fail(err, FM_FORMAT, "'%s' has no video stream%s; give a video", shown,
            has_audio ? ", only sound" : "");
    }
    in->video->discard = AVDISCARD_DEFAULT;
    return FM_OK;
}

static int turns_of(const AVStream *st)
{
    size_t size = 0;
    const uint8_t *matrix = av_stream_get_side_data(st, AV_PKT_DATA_DISPLAYMATRIX, &size);
    double degrees =
        matrix && size >= 9 * sizeof(int32_t) ? av_display_rotation_get((const int32_t *)matrix) : 0;
    if (!isfinite(degrees)) {
        return 0;
    }
    int turns = (int)lround(-degrees / 90.0) % 4; // libav counts counterclockwise
    return turns < 0 ? turns + 4 : turns;
}

// Asked before probing, which decodes, of all that the header says, and again of what probing found.
static fm_status check_pixels(
    const AVFormatContext *fmt, int64_t max_pixels, const char *shown, fm_error *err)
{
    for (unsigned i = 0; i < fmt->nb_streams; i++) {
        const AVCodecParameters *par = fmt->streams[i]->codecpar;
        if (par->codec_type == AVMEDIA_TYPE_VIDEO && (int64_t)par->width * par->height > max_pixels) {
            return fm__fail(err, FM_DENIED, "'%s' is %dx%d, more than the limit of %lld pixels", shown,
                par->width, par->height, (long long)max_pixels);
        }
    }
    return FM_OK;
}

static char *libav_url(const fm_decoder_opts *opts)
{
    return fm__asprintf(FM_TAG_MEDIA, "%s%s", opts->kind == FM_INPUT_FILE ? "file:" : "", opts->url);
}

static fm_status open_all(const fm_decoder_opts *opts, const char *url, const char *shown, fm_av_guard *g,
    fm_input *in, fm_error *err)
{
    const kind_rules *rules = &kinds[opts->kind];
    const AVInputFormat *format = rules->demuxer ? av_find_input_format(rules->demuxer) : NULL;
    if (rules->demuxer && !format) {
        return fm__fail(err, FM_UNSUPPORTED, "'%s': this build has no %s input", shown, rules->demuxer);
    }
    fm_status st = format ? FM_OK : open_bytes(opts, url, shown, g, in, &format, err);
    if (st == FM_OK) {
        fm__av_guard_arm(g);
        st = open_format(opts, url, shown, g, in, format, err);
    }
    if (st == FM_OK) {
        st = check_pixels(in->fmt, opts->max_pixels, shown, err);
    }
    if (st != FM_OK) {
        return st;
    }
    fm__av_guard_arm(g);
    int ret = probe_streams(in->fmt, opts->max_pixels);
    if (ret < 0) {
        return fm__av_fail(err, ret, g, rules->net, "cannot read", shown);
    }
    st = check_pixels(in->fmt, opts->max_pixels, shown, err);
    return st == FM_OK ? choose_video(in, opts->keep_others, shown, err) : st;
}

fm_status fm__input_open(
    const fm_decoder_opts *opts, const char *shown, fm_av_guard *g, fm_input *in, fm_error *err)
{
    memset(in, 0, sizeof(*in));
    fm_status st = opts->kind == FM_INPUT_FILE ? check_file(opts->url, shown, err) : FM_OK;
    if (st != FM_OK) {
        return st;
    }
    char *url = libav_url(opts);
    if (!url) {
        return fm__fail_nomem(err, "a name");
    }
    st = open_all(opts, url, shown, g, in, err);
    fm__free(url);
    if (st != FM_OK) {
        fm__input_close(in);
        return st;
    }
    in->turns = turns_of(in->video);
    // A web camera's endless answer has no length; a file on a server has.
    in->live = opts->kind == FM_INPUT_RTSP || opts->kind == FM_INPUT_DEVICE ||
               (opts->kind == FM_INPUT_HTTP && avio_size(in->pb) < 0);
    return FM_OK;
}

void fm__input_close(fm_input *in)
{
    avformat_close_input(&in->fmt); // leaves pb alone: it is ours
    avio_closep(&in->pb);
    in->video = NULL;
}

// Those with an index of their own; a transport stream, say, is searched for a time that looks right.
bool fm__input_seeks(const fm_input *in)
{
    const AVInputFormat *f = in->fmt->iformat;
    return in->pb && !in->live && (listed(f, "mov") || listed(f, "matroska") || listed(f, "avi"));
}

// An index that points behind the file's end.
static bool index_is_cut(const fm_input *in)
{
    int64_t size = avio_size(in->pb);
    int n = avformat_index_get_entries_count(in->video);
    for (int i = 0; size > 0 && i < n; i++) {
        const AVIndexEntry *e = avformat_index_get_entry(in->video, i);
        if (e->pos > 0 && e->pos + e->size > size) {
            return true;
        }
    }
    return false;
}

// MP4 and MOV: a box of media or of its index that is longer than the rest of the file.
static bool box_is_cut(const fm_input *in)
{
    int64_t size = listed(in->fmt->iformat, "mov") ? avio_size(in->pb) : 0;
    for (int64_t at = 0; at >= 0 && at + 8 < size;) {
        if (avio_seek(in->pb, at, SEEK_SET) < 0) {
            return false;
        }
        int64_t len = avio_rb32(in->pb);
        uint32_t type = avio_rl32(in->pb);
        len = len == 1 ? (int64_t)avio_rb64(in->pb) : len;
        if (len < 8) { // 0: up to the end; others are no boxes
            return false;
        }
        if (len > size - at) {
            return type == MKTAG('m', 'o', 'o', 'f') || type == MKTAG('m', 'd', 'a', 't') ||
                   type == MKTAG('m', 'o', 'o', 'v');
        }
        at += len;
    }
    return false;
}

// How long the header says the video is, where it can be trusted: AVI counts frames, Matroska knows the
// file's length, which is sure to be the video's where it is alone.
static int64_t promised_ns(const fm_input *in)
{
    const AVStream *st = in->video;
    if (listed(in->fmt->iformat, "avi") && st->nb_frames > 0) {
        return av_rescale_q(st->nb_frames, st->time_base, (AVRational){1, 1000000000});
    }
    bool alone = listed(in->fmt->iformat, "matroska") && in->fmt->nb_streams == 1;
    return alone && in->fmt->duration > 0 && in->fmt->duration < INT64_MAX / 1000 ? in->fmt->duration * 1000
                                                                                  : 0;
}

// 2 % and five frames of slack for writers that count badly.
static bool time_is_cut(const fm_input *in, int64_t last_end_ns, int64_t step_ns)
{
    int64_t promised = promised_ns(in);
    return promised > 0 && last_end_ns < promised - promised / 50 - 5 * step_ns;
}

bool fm__input_is_cut(const fm_input *in, int64_t last_end_ns, int64_t step_ns)
{
    return index_is_cut(in) || box_is_cut(in) || time_is_cut(in, last_end_ns, step_ns);
}
