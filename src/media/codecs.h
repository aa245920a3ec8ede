// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inside media/: which encoder writes what, and how its quality is said. */
#ifndef FM_MEDIA_CODECS_H
#define FM_MEDIA_CODECS_H

#include "media/encode.h"
#include "media/internal.h"

typedef struct fm_codec {
    const char *name;    // "h264"
    const char *encoder; // libav's
    int best, worst;     // quality, as a number that falls; 0, 0: without loss
    int usual;
    const char *presets, *preset; // names apart by commas, the usual one; NULL: there are none
} fm_codec;

/** By name, else what files of this ending usually hold. UNSUPPORTED lists what this libavcodec has. */
fm_status fm__codec_find(const char *name, const char *path, const fm_codec **out, fm_error *err) FM_MUST_USE;
/** INVAL for a quality or preset that the codec has not. */
fm_status fm__codec_check(const fm_codec *codec, int quality, const char *preset, fm_error *err) FM_MUST_USE;
/** What avcodec_open2 is to be told. */
void fm__codec_options(
    const fm_codec *codec, int quality, const char *preset, AVCodecContext *c, AVDictionary **dict);
/** The format that frames are encoded in. */
enum AVPixelFormat fm__codec_format(const fm_codec *codec, fm_pixfmt frames);

#endif
