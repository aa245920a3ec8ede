// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The motion of one box: a Kalman filter with constant velocity over (centre x, centre y, aspect, height),
 * aspect being width / height, one step a frame. Values; pure. */
#ifndef FM_TRACK_KALMAN_H
#define FM_TRACK_KALMAN_H

#include <framemill/result.h>

/** 0.95 quantile of the chi-square distribution with 4 degrees of freedom: what a gate lets through. */
#define FM_KALMAN_GATE 9.4877

/** Position x, velocity v and their covariance, by coordinate: var(x), cov(x, v), var(v). */
typedef struct fm__kalman {
    double x[4], v[4];
    double xx[4], xv[4], vv[4];
} fm__kalman;

/** A box as the filter measures it; its sides are > 0. */
void fm__kalman_measure(fm_box box, double z[4]);
/** The box of the state's position; maybe turned inside out when the filter has run away. */
fm_box fm__kalman_box(const fm__kalman *k);

void fm__kalman_init(fm__kalman *k, const double z[4]);
void fm__kalman_predict(fm__kalman *k);
/** @param noise  factor on the measurement's variance; 1: as published; fm__kalman_noise(score). */
void fm__kalman_update(fm__kalman *k, const double z[4], double noise);
/** Noise scaled by how sure the detector is (NSA). */
double fm__kalman_noise(float score);

/** Variance of what would be measured now, as 1 / variance: with it, distances to many boxes cost a few
 * multiplications. */
void fm__kalman_precision(const fm__kalman *k, double precision[4]);
/** Squared Mahalanobis distance of a box to the prediction. */
double fm__kalman_distance(const fm__kalman *k, const double precision[4], const double z[4]);

#endif
