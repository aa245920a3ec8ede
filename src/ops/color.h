// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Colour correction: white balance, levels, gamma, local contrast (CLAHE), saturation.
 *
 *  In three steps: what a frame looks like (statistics), what should be done about it (parameters), doing it.
 * For video the statistics are averaged over time before parameters come from them, so that nothing flickers;
 * a cut starts afresh. Frames are corrected in YUV, where decoders leave them: white balance, levels and
 * saturation are one affine map, gamma and local contrast one table lookup. Pictures in RGB go to full-range
 * BT.601 and back.
 *
 *  Plans are immutable after init; each thread brings its own scratch, each stream its own state. Pure. */
#ifndef FM_OPS_COLOR_H
#define FM_OPS_COLOR_H

#include "base/cpu.h"
#include "ops/clahe.h"
#include "ops/color_kernels.h"
#include "ops/color_rgb.h"

#include <framemill/frame.h>
#include <framemill/status.h>

#include <stdbool.h>

typedef enum fm__white { // where white balance finds the colour of the light
    FM__WHITE_NONE,
    FM__WHITE_GREY_WORLD, // mean of each channel (Buchsbaum 1980)
    FM__WHITE_SHADES,     // Minkowski mean of order 6 (Finlayson and Trezzi 2004)
} fm__white;

typedef struct fm__color_opts {
    fm__white white;
    float white_strength; // 0..1, how much of the cast goes
    float clip;           // levels: share of pixels that may end black, and white; 0: no levels; below 0.5
    float gamma;          // of luma: 1 none, below 1 brighter, 0 from the picture
    float contrast;       // CLAHE's clip limit; 0: none
    float saturation;     // 1 as it is, 0 grey
} fm__color_opts;

#define FM__COLOR_NONE                                                                                       \
    {                                                                                                        \
        FM__WHITE_NONE, 1, 0, 1, 0, 1                                                                        \
    }
#define FM__COLOR_AUTO                                                                                       \
    {                                                                                                        \
        FM__WHITE_SHADES, 0.7F, 0.002F, 0, 1.5F, 1.05F                                                       \
    }

/** Histograms of samples over the whole frame, each adding up to 1: luma in full range, RGB without samples
 * that are nearly black or clipped. */
typedef struct fm__color_stats {
    float luma[256], rgb[3][256];
} fm__color_stats;

/** What to do: RGB gains, levels and gamma of full-range luma in 0..1. */
typedef struct fm__color_params {
    float gain[3];
    float black, white; // luma that becomes 0 and 1
    float gamma, contrast, saturation;
} fm__color_params;

/** What a stream remembers from frame to frame; zeros to start with. */
typedef struct fm__color_state {
    bool has_stats, has_tiles;
    fm__color_stats stats;
    float tiles[FM__CLAHE_TILES * FM__CLAHE_TILES][256];
} fm__color_state;

typedef struct fm__color_desc {
    int width, height;
    fm_pixfmt format;
    fm_matrix matrix; // of YUV; RGB24 and GRAY8 are full range
    fm_range range;
} fm__color_desc;

typedef struct fm__color_plan fm__color_plan;

fm_status fm__color_check(const fm__color_opts *opts, fm_error *err) FM_MUST_USE;

/** Statistics of a frame of any format. */
void fm__color_stats_of(const fm_frame_view *view, fm__color_stats *out);
/** Moves the state's statistics towards `now` by `share` (0..1), or to it where there are none or the picture
 * is another one: then the state forgets its tiles too. */
void fm__color_smooth(fm__color_state *state, const fm__color_stats *now, float share);
/** Are these of different scenes? */
bool fm__color_is_cut(const fm__color_stats *before, const fm__color_stats *after);
void fm__color_params_of(
    const fm__color_opts *opts, const fm__color_stats *stats, fm_matrix matrix, fm__color_params *out);

fm_status fm__color_plan_new(
    const fm__color_desc *desc, fm_cpu_level level, fm__color_plan **out, fm_error *err) FM_MUST_USE;
void fm__color_plan_free(fm__color_plan **plan);
/** What comes out: NV12 becomes YUV420P, all else stays. */
fm_pixfmt fm__color_out_format(fm_pixfmt in);
size_t fm__color_scratch_size(const fm__color_plan *plan);

/** Corrects one frame of the plan's kind. dst: planes of the output format; they may be the source's own,
 * unless that is NV12. With a state the histograms of local contrast move towards this frame's by `share`;
 * NULL for pictures. */
void fm__color_apply(const fm__color_plan *plan, const fm__color_params *params, const fm_frame_view *src,
    uint8_t *const dst[FM_MAX_PLANES], const int dst_stride[FM_MAX_PLANES], fm__color_state *state,
    float share, void *scratch);

/** The same in parts, for those who have threads: begin, map_rows over all rows, count_tiles over all rows of
 * tiles, finish_tables, curve_rows over all rows. Each part waits for the one before; calls of one part may
 * run at the same time, each with scratch of fm__color_band_size. Nothing depends on how rows are shared. */
typedef struct fm__color_pass {
    const fm__color_plan *plan;
    const fm__color_params *params;
    const fm_frame_view *view;
    uint8_t *out; // of RGB24: where it goes
    ptrdiff_t out_stride;
    // YUV whatever the frame is
    const uint8_t *src[3];
    uint8_t *dst[3];
    ptrdiff_t src_stride[3], dst_stride[3];
    bool has_chroma, is_identity;
    fm__color_row row[3];
    uint8_t before[256], after[256]; // luma to full range with gamma; back from full range
    uint8_t *shared;
} fm__color_pass;

/** Bytes that a frame's pass needs, and that each thread needs, 64-byte aligned. */
size_t fm__color_shared_size(const fm__color_plan *plan);
size_t fm__color_band_size(const fm__color_plan *plan);
/** Arguments as those of apply; all of them live as long as the pass. */
void fm__color_begin(fm__color_pass *pass, const fm__color_plan *plan, const fm__color_params *params,
    const fm_frame_view *src, uint8_t *const dst[FM_MAX_PLANES], const int dst_stride[FM_MAX_PLANES],
    void *shared);
/** Rows y0 to y1 - 1; y0 is even, and so is y1 unless it is the height. */
void fm__color_map_rows(const fm__color_pass *pass, int y0, int y1, void *scratch);
/** How many rows of tiles there are to count; 0 where the contrast stays. */
int fm__color_tile_rows(const fm__color_pass *pass);
void fm__color_count_tiles(const fm__color_pass *pass, int ty0, int ty1);
void fm__color_finish_tables(const fm__color_pass *pass, fm__color_state *state, float share);
void fm__color_curve_rows(const fm__color_pass *pass, int y0, int y1, void *scratch);

#endif
