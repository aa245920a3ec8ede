// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill eval`: how good tracks are, or with --coco and --voc detections (cmd_eval_ap.c). Two tables,
// rates and counts, one line a sequence and one for all together; or the same as JSON.

#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MIN 8 // "sequence", "combined"
#define NAME_MAX 40

typedef struct column {
    const char *name;
    double (*get)(const fm_eval_metrics *m);
} column;

// One getter a column, so that the tables below are all there is to say.
#define RATE(field)                                                                                          \
    static double get_##field(const fm_eval_metrics *m)                                                      \
    {                                                                                                        \
        return m->field;                                                                                     \
    }
#define COUNT(field)                                                                                         \
    static double get_##field(const fm_eval_metrics *m)                                                      \
    {                                                                                                        \
        return (double)m->field;                                                                             \
    }

RATE(hota)
RATE(deta)
RATE(assa)
RATE(loca)
RATE(mota)
RATE(motp)
RATE(recall)
RATE(precision)
RATE(idf1)
RATE(idp)
RATE(idr)
COUNT(gt_boxes)
COUNT(boxes)
COUNT(gt_tracks)
COUNT(tracks)
COUNT(fp)
COUNT(fn)
COUNT(switches)
COUNT(frag)
COUNT(mt)
COUNT(pt)
COUNT(ml)

static const column rates[] = {{"HOTA", get_hota}, {"DetA", get_deta}, {"AssA", get_assa}, {"LocA", get_loca},
    {"MOTA", get_mota}, {"MOTP", get_motp}, {"recall", get_recall}, {"prec", get_precision},
    {"IDF1", get_idf1}, {"IDP", get_idp}, {"IDR", get_idr}, {NULL, NULL}};
static const column counts[] = {{"GT", get_gt_boxes}, {"boxes", get_boxes}, {"GT ids", get_gt_tracks},
    {"ids", get_tracks}, {"FP", get_fp}, {"FN", get_fn}, {"IDs", get_switches}, {"Frag", get_frag},
    {"MT", get_mt}, {"PT", get_pt}, {"ML", get_ml}, {NULL, NULL}};

static void put_row(
    const char *name, int width, const fm_eval_metrics *m, const column *columns, int decimals)
{
    cli_put_cell(stdout, name, width);
    for (const column *c = columns; c->name; c++) {
        printf(" %7.*f", decimals, c->get(m));
    }
    putchar('\n');
}

static void put_table(const fm_eval *e, int width, const column *columns, int decimals)
{
    cli_put_cell(stdout, "sequence", width);
    for (const column *c = columns; c->name; c++) {
        printf(" %7s", c->name);
    }
    putchar('\n');
    for (size_t i = 0; i < fm_eval_count(e); i++) {
        const fm_eval_sequence *s = fm_eval_get(e, i);
        if (!s->error) {
            put_row(s->name, width, &s->metrics, columns, decimals);
        }
    }
    if (fm_eval_count(e) > 1) {
        put_row("combined", width, fm_eval_combined(e), columns, decimals);
    }
}

static void put_tables(const fm_eval *e)
{
    int width = NAME_MIN;
    for (size_t i = 0; i < fm_eval_count(e); i++) {
        int len = (int)strlen(fm_eval_get(e, i)->name);
        width = len > width ? len : width;
    }
    width = width > NAME_MAX ? NAME_MAX : width;
    put_table(e, width, rates, 3);
    putchar('\n');
    put_table(e, width, counts, 0);
}

static int put_json(const fm_eval *e)
{
    char *text = NULL;
    fm_error err;
    if (fm_eval_json(e, &text, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    fputs(text, stdout);
    fm_free(text);
    return CLI_DONE;
}

static bool is_word(const cli_args *args, const char *flag, const char *word)
{
    const char *text = cli_args_get(args, flag);
    return text && strcmp(text, word) == 0;
}

static fm_eval_opts opts_of(const cli_args *args)
{
    return (fm_eval_opts){
        .struct_size = sizeof(fm_eval_opts),
        .iou = cli_args_number(args, "iou"),
        .rules = is_word(args, "rules", "motmetrics") ? FM_EVAL_MOTMETRICS : FM_EVAL_TRACKEVAL,
        .format = is_word(args, "gt-format", "mot15")   ? FM_EVAL_MOT15
                  : is_word(args, "gt-format", "mot17") ? FM_EVAL_MOT17
                  : is_word(args, "gt-format", "mot20") ? FM_EVAL_MOT20
                                                        : FM_EVAL_AUTO,
    };
}

static int eval_tracks(const cli_args *args)
{
    fm_eval_opts opts = opts_of(args);
    fm_eval *e = NULL;
    fm_error err;
    if (fm_eval_new(args->operands[0], args->operands[1], &opts, &e, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    int code = CLI_DONE;
    if (cli_args_on(args, "json")) {
        code = put_json(e);
    } else {
        put_tables(e);
    }
    for (size_t i = 0; i < fm_eval_count(e); i++) {
        const fm_eval_sequence *s = fm_eval_get(e, i);
        if (s->error) {
            cli_error("%s", s->error);
        }
    }
    code = code == CLI_DONE && fm_eval_failed(e) ? CLI_PARTLY : code;
    fm_eval_free(&e);
    return code;
}

int cli_cmd_eval(const cli_args *args)
{
    static const char *const of_tracks[] = {"iou", "rules", "gt-format"};
    static const char *const of_detections[] = {"at", "min-objects", "labels-map"};
    bool coco = cli_args_on(args, "coco"), voc = cli_args_on(args, "voc");
    if (coco && voc) {
        return cli_usage("--coco and --voc exclude each other");
    }
    for (int i = 0; i < 3; i++) {
        const char *flag = coco || voc ? of_tracks[i] : of_detections[i];
        if (cli_args_get(args, flag)) {
            return cli_usage(
                coco || voc ? "--%s is for tracks, not for --coco and --voc" : "--%s needs --coco or --voc",
                flag);
        }
    }
    return coco || voc ? cli_eval_ap(args) : eval_tracks(args);
}
