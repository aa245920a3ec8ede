// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How far two pictures are apart, as measured in the literature on denoising and super-resolution. */
#ifndef FRAMEMILL_QUALITY_H
#define FRAMEMILL_QUALITY_H

#include <framemill/api.h>
#include <framemill/status.h>

FM_BEGIN_DECLS

typedef struct fm_quality {
    int width, height;
    double mse_rgb, mse_y;   // mean squared error in grey levels
    double psnr_rgb, psnr_y; // decibels against 255; infinity where nothing differs
    double ssim_rgb, ssim_y; // mean over channels, and of luma; NaN in pictures smaller than 11 x 11
} fm_quality;

/** Reads two picture files and compares them, alpha over white; with 16 bits a sample where one of them has
 * as many: against a peak of 65535 then, squared errors still in levels of 8 bits. Y is BT.601 luma
 * in 16..235, not rounded, as papers on super-resolution use it. SSIM as in Wang et al. 2004: Gaussian window
 * of sigma 1.5 and 11 pixels, weights that add up to 1, borders of 5 pixels left out (scikit-image with
 * gaussian_weights=True, use_sample_covariance=False, data_range=255).
 *  @return FM_INVAL when their sizes differ; else as reading goes. Any thread. */
FM_API fm_status fm_quality_compare(const char *a, const char *b, fm_quality *out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
