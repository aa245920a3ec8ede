// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill quality`: how far two pictures are apart, as a small table or as JSON.

#include "cli.h"

#include <math.h>

#define SSIM_DECIMALS 5
#define PSNR_DECIMALS 3

static void put_number(double v, int decimals)
{
    if (isfinite(v)) {
        printf("%9.*f", decimals, v);
    } else {
        printf("%9s", isnan(v) ? "-" : "equal");
    }
}

static void put_text(const fm_quality *q)
{
    printf("         PSNR dB     SSIM\nRGB    ");
    put_number(q->psnr_rgb, PSNR_DECIMALS);
    put_number(q->ssim_rgb, SSIM_DECIMALS);
    printf("\nY      ");
    put_number(q->psnr_y, PSNR_DECIMALS);
    put_number(q->ssim_y, SSIM_DECIMALS);
    putchar('\n');
}

// JSON has no infinity: null, and mse tells that it is 0.
static void put_field(const char *name, double v)
{
    if (isfinite(v)) {
        printf(",\"%s\":%.9f", name, v);
    } else {
        printf(",\"%s\":null", name);
    }
}

static void put_json(const cli_args *args, const fm_quality *q)
{
    fputs("{\"a\":", stdout);
    cli_put_json(stdout, args->operands[0]);
    fputs(",\"b\":", stdout);
    cli_put_json(stdout, args->operands[1]);
    printf(",\"width\":%d,\"height\":%d", q->width, q->height);
    put_field("mse_rgb", q->mse_rgb);
    put_field("mse_y", q->mse_y);
    put_field("psnr_rgb", q->psnr_rgb);
    put_field("psnr_y", q->psnr_y);
    put_field("ssim_rgb", q->ssim_rgb);
    put_field("ssim_y", q->ssim_y);
    fputs("}\n", stdout);
}

int cli_cmd_quality(const cli_args *args)
{
    fm_quality q;
    fm_error err;
    if (fm_quality_compare(args->operands[0], args->operands[1], &q, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    if (cli_args_on(args, "json")) {
        put_json(args, &q);
    } else {
        put_text(&q);
    }
    return CLI_DONE;
}
