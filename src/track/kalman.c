// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Kalman filter of N. Wojke, A. Bewley, D. Paulus, "Simple Online and Realtime Tracking with a Deep
// Association Metric", ICIP 2017, section 2.1, with the noise of the authors' program (kalman_filter.py of
// deep_sort): standard deviations in proportion to the height, 1/20 of it for positions, 1/160 for
// velocities, twice and ten times as much at birth; the aspect has fixed ones.
// The filter there is written with 8 x 8 matrices. But initial covariance, process noise and measurement
// noise are all diagonal, and the transition couples a coordinate with its own velocity only. So the
// covariance stays block diagonal for ever: four filters of two states each, solved here in closed form. That
// is the same filter, not an approximation; double precision keeps it within rounding of the original's.
// Measurement noise scaled by score (NSA): Y. Du et al., "GIAOTracker", ICCV Workshops 2021, equation 1:
// R' = (1 - score) R. It is kept above 1/20 of R: a detector that says 1.0 still misses by a pixel.

#include "track/kalman.h"

static const double weight_position = 1.0 / 20, weight_velocity = 1.0 / 160;
static const double least_noise = 0.05;

enum { CX, CY, ASPECT, HEIGHT };

static double square(double a)
{
    return a * a;
}

// Of coordinate i; std in proportion to the height, or the aspect's own.
static double variance(int i, double weight, double height, double aspect)
{
    return square(i == ASPECT ? aspect : weight * height);
}

void fm__kalman_measure(fm_box box, double z[4])
{
    double w = (double)box.x1 - (double)box.x0, h = (double)box.y1 - (double)box.y0;
    z[CX] = (double)box.x0 + w / 2;
    z[CY] = (double)box.y0 + h / 2;
    z[ASPECT] = w / h;
    z[HEIGHT] = h;
}

fm_box fm__kalman_box(const fm__kalman *k)
{
    double h = k->x[HEIGHT], w = k->x[ASPECT] * h;
    return (fm_box){.x0 = (float)(k->x[CX] - w / 2),
        .y0 = (float)(k->x[CY] - h / 2),
        .x1 = (float)(k->x[CX] + w / 2),
        .y1 = (float)(k->x[CY] + h / 2)};
}

void fm__kalman_init(fm__kalman *k, const double z[4])
{
    for (int i = 0; i < 4; i++) {
        k->x[i] = z[i];
        k->v[i] = 0;
        k->xx[i] = variance(i, 2 * weight_position, z[HEIGHT], 1e-2);
        k->xv[i] = 0;
        k->vv[i] = variance(i, 10 * weight_velocity, z[HEIGHT], 1e-5);
    }
}

void fm__kalman_predict(fm__kalman *k)
{
    double height = k->x[HEIGHT];
    for (int i = 0; i < 4; i++) {
        k->x[i] += k->v[i];
        k->xx[i] += 2 * k->xv[i] + k->vv[i] + variance(i, weight_position, height, 1e-2);
        k->xv[i] += k->vv[i];
        k->vv[i] += variance(i, weight_velocity, height, 1e-5);
    }
}

static double measured_variance(const fm__kalman *k, int i, double noise)
{
    return k->xx[i] + noise * variance(i, weight_position, k->x[HEIGHT], 1e-1);
}

void fm__kalman_update(fm__kalman *k, const double z[4], double noise)
{
    double total[4];
    for (int i = 0; i < 4; i++)
        total[i] = measured_variance(k, i, noise); // of the prediction: before the height changes
    for (int i = 0; i < 4; i++) {
        double gain_x = k->xx[i] / total[i], gain_v = k->xv[i] / total[i];
        double surprise = z[i] - k->x[i];
        k->x[i] += gain_x * surprise;
        k->v[i] += gain_v * surprise;
        k->vv[i] -= gain_v * k->xv[i];
        k->xv[i] -= gain_x * k->xv[i];
        k->xx[i] -= gain_x * k->xx[i];
    }
}

double fm__kalman_noise(float score)
{
    double noise = 1 - (double)score;
    return noise > least_noise ? noise : least_noise;
}

void fm__kalman_precision(const fm__kalman *k, double precision[4])
{
    for (int i = 0; i < 4; i++)
        precision[i] = 1 / measured_variance(k, i, 1);
}

double fm__kalman_distance(const fm__kalman *k, const double precision[4], const double z[4])
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += square(z[i] - k->x[i]) * precision[i];
    return sum;
}
