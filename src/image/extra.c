// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a picture has beside its colours: alpha, and the fields that libvips reads and writes for it: EXIF,
// ICC profile, XMP, IPTC, resolution. The fields are kept on a picture of one pixel. What describes how the
// old file was packed stays
// behind, and so does the profile of a colour space that is converted (CMYK, Lab).
// The orientation is applied by then and no field any more; libvips writes EXIF anew from the fields, with
// the new size in it.

#include "image/image.h"

#include "base/alloc.h"
#include "base/error.h"

#include <fm_config.h>

#include <string.h>

#if FM_HAVE_VIPS

#include "image/extra.h"

struct fm_image_extra {
    VipsImage *fields;
    fm_frame *alpha; // NULL: none
};

typedef struct copying {
    VipsImage *to;
    bool profile; // the colours stay in its space
} copying;

static bool starts(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static void *copy_field(VipsImage *image, const char *name, GValue *value, void *opaque)
{
    static const char *const wanted[] = {"exif-", "xmp-data", "iptc-data", "resolution-unit", "png-comment-"};
    copying *c = opaque;
    bool is_profile = strcmp(name, VIPS_META_ICC_NAME) == 0, take = is_profile && c->profile;
    (void)image;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        take = take || starts(name, wanted[i]);
    }
    if (take && strcmp(name, "exif-ifd0-Orientation") != 0) {
        vips_image_set(c->to, name, value);
    }
    return NULL;
}

static bool keeps_space(VipsImage *image)
{
    switch (vips_image_guess_interpretation(image)) {
    case VIPS_INTERPRETATION_sRGB:
    case VIPS_INTERPRETATION_RGB:
    case VIPS_INTERPRETATION_RGB16:
    case VIPS_INTERPRETATION_B_W:
    case VIPS_INTERPRETATION_GREY16:
        return true;
    default:
        return false;
    }
}

static int copy_fields(VipsImage *from, VipsImage *to)
{
    copying c = {.to = to, .profile = keeps_space(from)};
    vips_image_map(from, copy_field, &c);
    return 0;
}

fm_status fm__image_extra_new(VipsImage *image, fm_image_extra **out, fm_error *err)
{
    fm_image_extra *e = fm__calloc(FM_TAG_IMAGE, sizeof(*e));
    VipsImage *one = NULL;
    if (!e || vips_black(&one, 1, 1, NULL) != 0 ||
        vips_copy(one, &e->fields, "xres", vips_image_get_xres(image), "yres", vips_image_get_yres(image),
            NULL) != 0) {
        VIPS_UNREF(one);
        fm__free(e);
        return fm__fail_nomem(err, "what a picture says of itself");
    }
    VIPS_UNREF(one);
    (void)copy_fields(image, e->fields);
    *out = e;
    return FM_OK;
}

void fm__image_extra_set_alpha(fm_image_extra *extra, fm_frame *alpha)
{
    extra->alpha = alpha;
}

int fm__image_extra_put(const fm_image_extra *extra, VipsImage **image)
{
    VipsImage *next = NULL;
    if (vips_copy(*image, &next, "xres", vips_image_get_xres(extra->fields), "yres",
            vips_image_get_yres(extra->fields), NULL) != 0) {
        return -1;
    }
    g_object_unref(*image);
    *image = next;
    (void)copy_fields(extra->fields, next);
    // It was applied. EXIF as a whole still has the old one, and only a field that is there overrides it.
    vips_image_set_int(next, VIPS_META_ORIENTATION, 1);
    if (vips_image_get_typeof(next, VIPS_META_EXIF_NAME) != 0) {
        vips_image_set_string(next, "exif-ifd0-Orientation", "1 (Top-left, Short, 1 components, 2 bytes)");
    }
    return 0;
}

fm_frame *fm__image_alpha(const fm_image_extra *extra)
{
    return extra ? extra->alpha : NULL;
}

void fm__image_extra_free(fm_image_extra **extra)
{
    if (*extra) {
        VIPS_UNREF((*extra)->fields);
        fm_frame_unref(&(*extra)->alpha);
        fm__free(*extra);
        *extra = NULL;
    }
}

#else

fm_frame *fm__image_alpha(const fm_image_extra *extra)
{
    (void)extra;
    return NULL;
}

void fm__image_extra_free(fm_image_extra **extra)
{
    *extra = NULL;
}

#endif
