// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A run's profile: what the pipeline and its threads kept, what was set, and what machine it was, put
// together for the page (src/tune/page.h). Everything of a run's own is read after its end.

#include "app/run_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/thread.h"
#include "image/image.h"
#include "media/decode.h"
#include "tune/file.h"
#include "tune/page.h"

#include <framemill/config.h>

#include <stdio.h>
#include <sys/resource.h>

enum { FACTS = 12, SETTINGS = 256 };

typedef struct gathered {
    fm__page page;
    fm_profile_view threads;
    fm_samples *samples;
    fm__page_model models[RUN_MODELS];
    fm__tune_key keys[RUN_MODELS]; // of each model, or of none in the first
    fm_stream_report streams[FM_PAGE_STREAMS];
    fm__page_fact machine[FACTS], settings[SETTINGS];
    char *texts[SETTINGS]; // of settings
    char cores[64], media[128], image[128], date[32];
} gathered;

static void add_fact(gathered *g, const char *name, const char *text)
{
    if (text[0] && g->page.machine_count < FACTS) {
        g->machine[g->page.machine_count++] = (fm__page_fact){name, text};
    }
}

static fm_status add_model(gathered *g, const fm_run *run, const run_model *m, fm_error *err)
{
    const fm_model *model = m->model;
    fm_executor_stats x;
    fm__pipeline_exec_stats(run->pipeline, m->task, &x);
    const fm_net_info *info = fm__net_info(model->net);
    fm__tune_key *key = &g->keys[g->page.model_count];
    fm_status st =
        fm__tune_key_fill(key, model->name, model->file, model->net->backend->name, run->device, NULL, err);
    g->models[g->page.model_count++] = (fm__page_model){
        .task = m->task,
        .name = model->name,
        .file = fm__path_base(model->file),
        .digest = key->digest[0] ? key->digest : NULL,
        .slots = info->slots,
        .largest = info->batch,
        .batches = x.batches,
        .items = x.items,
        .failed = x.failed_batches,
    };
    return st;
}

static fm_status add_models(gathered *g, const fm_run *run, fm_error *err)
{
    run_model models[RUN_MODELS];
    size_t n = fm__run_models(run, models);
    fm_status st = FM_OK;
    for (size_t i = 0; i < n && st == FM_OK; i++) {
        st = add_model(g, run, &models[i], err);
    }
    return st;
}

static fm_status add_machine(gathered *g, const fm_run *run, fm_error *err)
{
    fm__tune_key *k = &g->keys[0];
    fm_status st = g->page.model_count ? FM_OK : fm__tune_key_fill(k, "", "", "", run->device, NULL, err);
    snprintf(g->cores, sizeof(g->cores), "%d used, kernels for %s", g->page.cores, k->level);
    fm__media_version(g->media, sizeof(g->media));
    fm__image_version(g->image, sizeof(g->image));
    add_fact(g, "processor", k->cpu);
    add_fact(g, "cores", g->cores);
    add_fact(g, "device", run->device);
    if (g->page.model_count) {
        add_fact(g, "networks by", k->backend);
    }
    add_fact(g, "libav", g->media);
    add_fact(g, "libvips", g->image);
    add_fact(g, "detector", run->detector);
    if (run->tracker.type) {
        add_fact(g, "tracker", run->tracker.type);
    }
    return st;
}

// Values may hold URLs, and those credentials.
static fm_status add_settings(gathered *g, const fm_config *config, fm_error *err)
{
    for (size_t i = 0; config && i < fm_option_count(); i++) {
        const fm_option *o = fm_option_get(i);
        const char *name = o->key ? o->key : o->flag;
        const char *text = o->key ? fm_config_get(config, name) : NULL;
        size_t n = g->page.setting_count;
        if (!text || n == SETTINGS) {
            continue;
        }
        g->texts[n] = fm__redact_url(FM_TAG_APP, text);
        if (!g->texts[n]) {
            return fm__fail_nomem(err, "the profile");
        }
        g->settings[n] = (fm__page_fact){name, g->texts[n]};
        g->page.setting_count++;
    }
    return FM_OK;
}

static void add_streams(gathered *g, fm_run *run)
{
    size_t n = run->stream_count < FM_PAGE_STREAMS ? run->stream_count : FM_PAGE_STREAMS;
    for (size_t i = 0; i < n; i++) {
        (void)fm_run_stream_report(run, i, &g->streams[i]); // i is in range
    }
    g->page.stream_count = n;
    g->page.all_streams = run->stream_count;
}

static fm_status gather(gathered *g, fm_run *run, const fm_config *config, fm_error *err)
{
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    fm_run_progress progress;
    fm_run_progress_get(run, &progress);
    fm__format_utc(run->begun_ns, g->date);
    g->page = (fm__page){
        .machine = g->machine,
        .settings = g->settings,
        .date = g->date,
        .seconds = progress.seconds,
        .frames = progress.frames,
        .cores = run->o.threads > 0 ? run->o.threads : fm__cpu_count(),
        .peak_rss_bytes = (uint64_t)ru.ru_maxrss * 1024,
        .metrics = fm__pipeline_metrics(run->pipeline),
        .threads = &g->threads,
        .samples = g->samples,
        .models = g->models,
        .streams = g->streams,
        .device = run->device,
    };
    g->page.has_device = fm__run_device_memory(run, &g->page.device_memory);
    fm__sampler_read(run->sampler, g->samples);
    fm_status st = fm__profile_view(fm__sampler_profile(run->sampler), &g->threads, err);
    add_streams(g, run);
    st = st == FM_OK ? add_models(g, run, err) : st;
    st = st == FM_OK ? add_machine(g, run, err) : st;
    return st == FM_OK ? add_settings(g, config, err) : st;
}

fm_status fm_run_profile_write(fm_run *run, const char *path, const fm_config *config, fm_error *err)
{
    if (!run->sampler) {
        return fm__fail(err, FM_INVAL, "this run kept no profile: set fm_run_opts.profile");
    }
    fm_str page;
    fm__str_init(&page, FM_TAG_APP);
    gathered *g = fm__calloc(FM_TAG_APP, sizeof(*g));
    fm_status st = FM_NOMEM;
    if (g) {
        g->samples = fm__calloc(FM_TAG_APP, sizeof(*g->samples));
    }
    if (g && g->samples) {
        st = gather(g, run, config, err);
    } else {
        st = fm__fail_nomem(err, "the profile");
    }
    if (st == FM_OK) {
        fm__page_html(&page, &g->page);
        st = page.failed ? fm__fail_nomem(err, "the profile") : fm__file_put(path, page.data, page.len, err);
    }
    if (g) {
        for (size_t i = 0; i < g->page.setting_count; i++) {
            fm__free(g->texts[i]);
        }
        fm__profile_view_done(&g->threads);
        fm__free(g->samples);
    }
    fm__free(g);
    fm__str_done(&page);
    return st;
}
