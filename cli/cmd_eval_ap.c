// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill eval --coco|--voc`: how good detections are. A table with a line for each class, the means,
// COCO's twelve figures, and what did not fit together: labels without a class, classes without a label,
// pictures without a result.

#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MIN 12
#define NAME_MAX 40
#define SHOWN 20 // names of a list

// "-" where there is nothing to find.
static void put_figure(double v)
{
    if (v < 0) {
        printf(" %6s", "-");
    } else {
        printf(" %6.3f", v);
    }
}

static void put_row(const char *name, int width, const fm_ap_class *c, bool voc)
{
    cli_put_cell(stdout, name, width);
    printf(" %8lld", (long long)c->objects);
    if (voc) {
        put_figure(c->voc_ap);
    }
    put_figure(c->coco.ap50);
    put_figure(c->coco.ap75);
    put_figure(c->coco.ap);
    put_figure(c->coco.ar100);
    const double point[] = {c->point.conf, c->point.precision, c->point.recall, c->point.f1};
    for (int i = 0; i < 4; i++) {
        put_figure(c->objects > 0 ? point[i] : -1);
    }
    putchar('\n');
}

static void put_table(const fm_ap *ap, bool voc, long long min_objects)
{
    char large_name[48] = "";
    size_t large = 0;
    int width = NAME_MIN;
    const fm_ap_class *c = fm_ap_large(ap, &large);
    snprintf(large_name, sizeof(large_name), "all, >= %lld", min_objects);
    for (size_t i = 0; i < fm_ap_count(ap); i++) {
        int len = (int)strlen(fm_ap_get(ap, i)->name);
        width = len > width ? len : width;
    }
    width = min_objects > 0 && (int)strlen(large_name) > width ? (int)strlen(large_name) : width;
    width = width > NAME_MAX ? NAME_MAX : width;
    cli_put_cell(stdout, "class", width);
    printf(" %8s%s %6s %6s %6s %6s %6s %6s %6s %6s\n", "objects", voc ? " VOC AP" : "", "AP50", "AP75", "AP",
        "AR", "conf", "prec", "recall", "F1");
    for (size_t i = 0; i < fm_ap_count(ap); i++) {
        put_row(fm_ap_get(ap, i)->name, width, fm_ap_get(ap, i), voc);
    }
    put_row("all", width, fm_ap_all(ap), voc);
    if (min_objects > 0) {
        put_row(large_name, width, c, voc);
        printf("(%zu of %zu classes have at least %lld objects)\n", large, fm_ap_count(ap), min_objects);
    }
}

static void put_summary(const fm_ap_figures *f)
{
    const struct {
        const char *name;
        double a, b, c;
        const char *names[3];
    } rows[] = {{"AP", f->ap, f->ap50, f->ap75, {"0.50:0.95", "0.50", "0.75"}},
        {"AP by area", f->ap_small, f->ap_medium, f->ap_large, {"small", "medium", "large"}},
        {"AR by detections", f->ar1, f->ar10, f->ar100, {"1", "10", "100"}},
        {"AR by area", f->ar_small, f->ar_medium, f->ar_large, {"small", "medium", "large"}}};
    putchar('\n');
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const double values[3] = {rows[i].a, rows[i].b, rows[i].c};
        printf("%-18s", rows[i].name);
        for (int k = 0; k < 3; k++) {
            printf(" %10s", rows[i].names[k]);
            put_figure(values[k]);
        }
        putchar('\n');
    }
}

// "label (12)" after "label (12)", at most SHOWN.
static void put_name(size_t *shown, const char *head, const char *name, long long count)
{
    if (*shown == 0) {
        printf("%s", head);
    }
    if (*shown < SHOWN) {
        printf("%s ", *shown > 0 ? "," : "");
        cli_put_text(stdout, name);
        if (count > 0) {
            printf(" (%lld)", count);
        }
    }
    ++*shown;
}

static void end_names(size_t shown)
{
    if (shown > SHOWN) {
        printf(" and %zu more", shown - SHOWN);
    }
    if (shown > 0) {
        putchar('\n');
    }
}

static void put_notes(const fm_ap *ap)
{
    size_t missing = 0, pictures = fm_ap_pictures(ap, &missing), shown = 0;
    const fm_ap_label *l;
    putchar('\n');
    printf("%zu pictures, %zu of them without a result\n", pictures, missing);
    for (size_t i = 0; i < fm_ap_count(ap); i++) {
        if (fm_ap_get(ap, i)->labelled) {
            put_name(
                &shown, "labels that are classes:", fm_ap_get(ap, i)->name, fm_ap_get(ap, i)->detections);
        }
    }
    end_names(shown);
    shown = 0;
    for (size_t i = 0; (l = fm_ap_unknown(ap, i)); i++) {
        put_name(&shown, "labels without a class, not counted:", l->name, l->detections);
    }
    end_names(shown);
    shown = 0;
    for (size_t i = 0; i < fm_ap_count(ap); i++) {
        if (!fm_ap_get(ap, i)->labelled && fm_ap_get(ap, i)->objects > 0) {
            put_name(&shown, "classes that no detection bears:", fm_ap_get(ap, i)->name, 0);
        }
    }
    end_names(shown);
}

static int put_json(const fm_ap *ap)
{
    char *text = NULL;
    fm_error err;
    if (fm_ap_json(ap, &text, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    fputs(text, stdout);
    fm_free(text);
    return CLI_DONE;
}

int cli_eval_ap(const cli_args *args)
{
    fm_ap_opts opts = FM_AP_OPTS_INIT;
    fm_ap *ap = NULL;
    fm_error err;
    int code = CLI_DONE;
    opts.format = cli_args_on(args, "voc") ? FM_AP_VOC : FM_AP_COCO;
    opts.min_objects = (int64_t)cli_args_number(args, "min-objects");
    opts.at = cli_args_get(args, "at") ? cli_args_number(args, "at") : -1;
    opts.labels_map = cli_args_get(args, "labels-map");
    if (fm_ap_new(args->operands[0], args->operands[1], &opts, &ap, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    if (cli_args_on(args, "json")) {
        code = put_json(ap);
    } else {
        put_table(ap, opts.format == FM_AP_VOC, (long long)opts.min_objects);
        put_summary(&fm_ap_all(ap)->coco);
        put_notes(ap);
    }
    fm_ap_free(&ap);
    return code;
}
