// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The closed form against the textbook's 8 x 8 matrices, written out here as the paper has them: the same
// states over long random walks with misses, and the same distances.

#include "../testing.h"
#include "track/kalman.h"

#include <math.h>

enum { N = 8 };

typedef struct full {
    double mean[N], cov[N][N];
} full;

static void noise_of(
    double height, double position, double velocity, double aspect, double aspect_v, double *q)
{
    for (int i = 0; i < 4; i++) {
        q[i] = i == 2 ? aspect : position * height;
        q[i + 4] = i == 2 ? aspect_v : velocity * height;
    }
    for (int i = 0; i < N; i++)
        q[i] *= q[i];
}

static void full_init(full *f, const double z[4])
{
    memset(f, 0, sizeof *f);
    memcpy(f->mean, z, 4 * sizeof *z);
    double q[N];
    noise_of(z[3], 2.0 / 20, 10.0 / 160, 1e-2, 1e-5, q);
    for (int i = 0; i < N; i++)
        f->cov[i][i] = q[i];
}

static void full_predict(full *f)
{
    double q[N], fp[N][N], next[N][N];
    noise_of(f->mean[3], 1.0 / 20, 1.0 / 160, 1e-2, 1e-5, q);
    for (int i = 0; i < 4; i++)
        f->mean[i] += f->mean[i + 4];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            fp[i][j] = f->cov[i][j] + (i < 4 ? f->cov[i + 4][j] : 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            next[i][j] = fp[i][j] + (j < 4 ? fp[i][j + 4] : 0) + (i == j ? q[i] : 0);
    memcpy(f->cov, next, sizeof next);
}

// Gauss-Jordan on the 4 x 4 innovation covariance.
static void invert(double a[4][4], double inv[4][4])
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            inv[i][j] = i == j;
    for (int p = 0; p < 4; p++) {
        double pivot = a[p][p];
        for (int j = 0; j < 4; j++) {
            a[p][j] /= pivot;
            inv[p][j] /= pivot;
        }
        for (int i = 0; i < 4; i++) {
            double factor = a[i][p];
            for (int j = 0; j < 4 && i != p; j++) {
                a[i][j] -= factor * a[p][j];
                inv[i][j] -= factor * inv[p][j];
            }
        }
    }
}

static void innovation(const full *f, double noise, double s[4][4], double inv[4][4])
{
    double q[N], copy[4][4];
    noise_of(f->mean[3], 1.0 / 20, 0, 1e-1, 0, q);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            copy[i][j] = s[i][j] = f->cov[i][j] + (i == j ? noise * q[i] : 0);
    invert(copy, inv);
}

static double full_distance(const full *f, const double z[4])
{
    double s[4][4], inv[4][4], sum = 0;
    innovation(f, 1, s, inv);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            sum += (z[i] - f->mean[i]) * inv[i][j] * (z[j] - f->mean[j]);
    return sum;
}

static void full_update(full *f, const double z[4], double noise)
{
    double s[4][4], inv[4][4], gain[N][4], y[4];
    innovation(f, noise, s, inv);
    for (int i = 0; i < 4; i++)
        y[i] = z[i] - f->mean[i];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 4; j++) {
            gain[i][j] = 0;
            for (int k = 0; k < 4; k++)
                gain[i][j] += f->cov[i][k] * inv[k][j];
        }
    double gs[N][4];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 4; j++) {
            gs[i][j] = 0;
            for (int k = 0; k < 4; k++)
                gs[i][j] += gain[i][k] * s[k][j];
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 4; j++)
            f->mean[i] += gain[i][j] * y[j];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < 4; k++)
                f->cov[i][j] -= gs[i][k] * gain[j][k];
}

static void assert_close(double got, double want, double scale, const char *what)
{
    if (!(fabs(got - want) <= 1e-9 * scale + 1e-9 * fabs(want)))
        fail_msg("%s: %.17g, by matrices %.17g", what, got, want);
}

static void assert_same(const fm__kalman *k, const full *f)
{
    double scale = fabs(f->mean[3]) + fabs(f->mean[0]);
    for (int i = 0; i < 4; i++) {
        assert_close(k->x[i], f->mean[i], scale, "position");
        assert_close(k->v[i], f->mean[i + 4], scale, "velocity");
        assert_close(k->xx[i], f->cov[i][i], scale * scale, "var(x)");
        assert_close(k->xv[i], f->cov[i][i + 4], scale * scale, "cov(x,v)");
        assert_close(k->vv[i], f->cov[i + 4][i + 4], scale * scale, "var(v)");
    }
}

static void test_matrices(void **state)
{
    (void)state;
    uint64_t rng = 5;
    for (int walk = 0; walk < 200; walk++) {
        fm_box box = {.x0 = (float)rnd_below(&rng, 1000), .y0 = (float)rnd_below(&rng, 1000)};
        box.x1 = box.x0 + 1 + (float)rnd_below(&rng, 200);
        box.y1 = box.y0 + 1 + (float)rnd_below(&rng, 400);
        double z[4], precision[4];
        fm__kalman k;
        full f;
        fm__kalman_measure(box, z);
        fm__kalman_init(&k, z);
        full_init(&f, z);
        for (int step = 0; step < 60; step++) {
            fm__kalman_predict(&k);
            full_predict(&f);
            for (int i = 0; i < 4; i++)
                z[i] += (i == 2 ? 0.01 : 1) * (rnd_below(&rng, 9) - 4) * (i == 3 && z[3] < 10 ? 0 : 1);
            fm__kalman_precision(&k, precision);
            assert_close(fm__kalman_distance(&k, precision, z), full_distance(&f, z), 1, "distance");
            if (rnd_below(&rng, 3) > 0) {
                double noise = rnd_below(&rng, 2) ? 1 : fm__kalman_noise((float)rnd_below(&rng, 101) / 100);
                fm__kalman_update(&k, z, noise);
                full_update(&f, z, noise);
            }
            assert_same(&k, &f);
        }
    }
}

static void test_box(void **state)
{
    (void)state;
    fm_box box = {10, 20, 40, 120}, back;
    double z[4];
    fm__kalman k;
    fm__kalman_measure(box, z);
    assert_true(z[0] == 25 && z[1] == 70 && fabs(z[2] - 0.3) < 1e-12 && z[3] == 100);
    fm__kalman_init(&k, z);
    back = fm__kalman_box(&k);
    assert_true(fabsf(back.x0 - 10) < 1e-4F && fabsf(back.y1 - 120) < 1e-4F && fabsf(back.x1 - 40) < 1e-4F);
}

static void test_noise(void **state)
{
    (void)state;
    assert_true(fm__kalman_noise(0) == 1 && fabs(fm__kalman_noise(0.75F) - 0.25) < 1e-12);
    assert_true(fm__kalman_noise(1) > 0 && fm__kalman_noise(1) == fm__kalman_noise(0.999F));
}

// A filter that lives for a million frames stays finite and symmetric positive.
static void test_long_life(void **state)
{
    (void)state;
    double z[4] = {100, 100, 0.5, 50};
    fm__kalman k;
    fm__kalman_init(&k, z);
    for (int i = 0; i < 1000000; i++) {
        fm__kalman_predict(&k);
        fm__kalman_update(&k, z, 0.05);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(fabs(k.x[i] - z[i]) < 1e-6 && fabs(k.v[i]) < 1e-6);
        assert_true(k.xx[i] > 0 && k.vv[i] > 0 && k.xx[i] * k.vv[i] >= k.xv[i] * k.xv[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_box),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_long_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
