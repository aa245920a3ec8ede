// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Codecs that videos are written in. Of several encoders of a codec the one is taken that keeps quiet on
// standard error and whose quality is one number. Everything but ffv1 is 4:2:0, which every player shows.

#include "media/codecs.h"

#include "base/error.h"
#include "base/str.h"

#include <libavutil/avstring.h>

#include <stdio.h>
#include <string.h>

static const char x264_presets[] =
    "ultrafast,superfast,veryfast,faster,fast,medium,slow,slower,veryslow,placebo";

static const fm_codec codecs[] = {
    {"h264", "libx264", 1, 51, 23, x264_presets, "veryfast"},
    {"hevc", "libx265", 1, 51, 26, x264_presets, "veryfast"},
    {"av1", "libaom-av1", 1, 63, 32, NULL, NULL},
    {"vp9", "libvpx-vp9", 1, 63, 32, NULL, NULL},
    {"mpeg4", "mpeg4", 1, 31, 4, NULL, NULL},
    {"ffv1", "ffv1", 0, 0, 0, NULL, NULL},
};
enum { CODECS = sizeof(codecs) / sizeof(codecs[0]) };

static const char *usual_for(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && fm__str_ieq(dot, ".webm") ? "vp9" : dot && fm__str_ieq(dot, ".avi") ? "mpeg4" : "h264";
}

static void list(char *buf, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < CODECS && n < size; i++) {
        if (avcodec_find_encoder_by_name(codecs[i].encoder)) {
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", codecs[i].name);
        }
    }
}

fm_status fm__codec_find(const char *name, const char *path, const fm_codec **out, fm_error *err)
{
    char known[128] = "";
    name = name ? name : usual_for(path);
    for (int i = 0; i < CODECS; i++) {
        if (strcmp(codecs[i].name, name) == 0 && avcodec_find_encoder_by_name(codecs[i].encoder)) {
            *out = &codecs[i];
            return FM_OK;
        }
    }
    list(known, sizeof(known));
    return fm__fail(err, FM_UNSUPPORTED, "no encoder for codec '%s' here; there are: %s", name, known);
}

fm_status fm__codec_check(const fm_codec *c, int quality, const char *preset, fm_error *err)
{
    if (preset && !c->presets) {
        return fm__fail(err, FM_INVAL, "codec %s has no presets", c->name);
    }
    // x264 prints to stderr about presets that it does not know, so it is never asked about one.
    if (preset && av_match_name(preset, c->presets) <= 0) {
        return fm__fail(err, FM_INVAL, "'%s' is not an encoder preset; choose one of %s", preset, c->presets);
    }
    if (quality != 0 && c->worst == 0) {
        return fm__fail(err, FM_INVAL, "codec %s loses nothing: leave the quality out", c->name);
    }
    if (quality < 0 || quality > c->worst) {
        return fm__fail(
            err, FM_INVAL, "quality %d: codec %s takes %d (best) to %d", quality, c->name, c->best, c->worst);
    }
    return FM_OK;
}

void fm__codec_options(
    const fm_codec *codec, int quality, const char *preset, AVCodecContext *c, AVDictionary **dict)
{
    int q = quality > 0 ? quality : codec->usual;
    if (codec->presets) {
        av_dict_set(dict, "preset", preset ? preset : codec->preset, 0);
    }
    if (strcmp(codec->name, "mpeg4") == 0) {
        c->flags |= AV_CODEC_FLAG_QSCALE;
        c->global_quality = q * FF_QP2LAMBDA;
    } else if (codec->worst > 0) {
        av_dict_set_int(dict, "crf", q, 0);
    }
    if (strcmp(codec->name, "hevc") == 0) {
        av_dict_set(dict, "x265-params", "log-level=none:bframes=0", 0);
        c->codec_tag = MKTAG('h', 'v', 'c', '1'); // without it some players refuse the file
    }
    if (strcmp(codec->name, "vp9") == 0 || strcmp(codec->name, "av1") == 0) {
        av_dict_set(dict, "row-mt", "1", 0);
        av_dict_set(dict, "cpu-used", strcmp(codec->name, "av1") == 0 ? "8" : "5", 0);
        av_dict_set(dict, "lag-in-frames", "0", 0);
        av_dict_set(dict, "usage", "realtime", 0);
        av_dict_set(dict, "deadline", "realtime", 0);
    }
    if (strcmp(codec->name, "ffv1") == 0) {
        av_dict_set(dict, "level", "3", 0);
        c->slices = 16;
    }
}

enum AVPixelFormat fm__codec_format(const fm_codec *codec, fm_pixfmt frames)
{
    bool keeps = strcmp(codec->name, "ffv1") == 0 &&
                 (frames == FM_PIXFMT_YUV422P || frames == FM_PIXFMT_YUV444P || frames == FM_PIXFMT_GRAY8);
    return keeps ? fm__pixfmt_to_av(frames) : AV_PIX_FMT_YUV420P;
}
