// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The profile's own thread. It looks once a bin, but at most 10 times a second; threads of libraries are
// looked at less often, since each costs a file in /proc. Libraries' threads are those that keep no record of
// their own; what one did between the last look at it and its end is not seen.

#include "pipeline/sampler.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "base/thread.h"
#include "pipeline/private.h"

#include <framemill/memory.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_NS (100 * FM_NS_PER_MS)
#define THREADS_NS FM_NS_PER_S

struct fm_sampler {
    fm_profile *profile;
    pthread_mutex_t lock;
    fm_samples samples; // protected by lock
    // sampling thread only
    int64_t last_ns, last_cpu_ns, first_cpu_ns, next_threads_ns;
};

fm_status fm__sampler_new(fm_sampler **out, fm_error *err)
{
    fm_sampler *s = fm__calloc(FM_TAG_PIPELINE, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "the profile");
    }
    pthread_mutex_init(&s->lock, NULL);
    fm_status st = fm__profile_new(&s->profile, err);
    if (st != FM_OK) {
        fm__sampler_free(&s);
        return st;
    }
    *out = s;
    return FM_OK;
}

void fm__sampler_free(fm_sampler **sampler)
{
    if (!sampler || !*sampler) {
        return;
    }
    fm__profile_free(&(*sampler)->profile);
    pthread_mutex_destroy(&(*sampler)->lock);
    fm__free(*sampler);
    *sampler = NULL;
}

fm_profile *fm__sampler_profile(fm_sampler *s)
{
    return s->profile;
}

fm_act fm__task_inferences(fm_task task)
{
    return task == FM_TASK_SEGMENTATION     ? FM_ACT_SEGMENTS
           : task == FM_TASK_CLASSIFICATION ? FM_ACT_CLASSIFIES
           : task == FM_TASK_FEATURES       ? FM_ACT_EMBEDS
                                            : FM_ACT_INFERS;
}

void fm__sampler_batch(fm_sampler *s, fm_task task, int rows, int64_t at_ns)
{
    if (task < 0 || task >= FM_SAMPLED_TASKS || rows < 1) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    fm__series_add(&s->samples.rows[task], at_ns - fm__profile_origin(s->profile), rows);
    s->samples.sizes[task][rows < FM_SAMPLED_ROWS ? rows : FM_SAMPLED_ROWS]++;
    pthread_mutex_unlock(&s->lock);
}

void fm__sampler_read(fm_sampler *s, fm_samples *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->samples;
    pthread_mutex_unlock(&s->lock);
}

/* ---- threads of libraries ---- */

// "tid (name) state ... utime stime ..." of proc(5); a name may hold anything, so its end is the last
// bracket.
static bool read_thread(const char *tid, fm_other_thread *out)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    text[n] = 0;
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    unsigned long user = 0, kernel = 0;
    if (!open || !close ||
        sscanf(close + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2) {
        return false;
    }
    long hz = sysconf(_SC_CLK_TCK);
    snprintf(out->name, sizeof(out->name), "%.*s", (int)(close - open - 1), open + 1);
    out->cpu_ns = (int64_t)(user + kernel) * (FM_NS_PER_S / (hz > 0 ? hz : 100));
    return true;
}

// Lock held.
static void keep_thread(fm_samples *m, const char *text, bool is_first)
{
    int tid = (int)strtol(text, NULL, 10);
    size_t i = 0;
    while (i < m->other_count && m->others[i].tid != tid) {
        i++;
    }
    if (i == FM_SAMPLED_OTHERS || tid <= 0 || !read_thread(text, &m->others[i])) {
        return;
    }
    fm_other_thread *t = &m->others[i];
    if (i == m->other_count) {
        t->tid = tid;
        t->base_ns = is_first ? t->cpu_ns : 0;
        m->other_count++;
    }
    t->cpu_ns -= t->base_ns;
}

static void look_at_threads(fm_sampler *s)
{
    DIR *dir = opendir("/proc/self/task");
    if (!dir) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        keep_thread(&s->samples, e->d_name, s->next_threads_ns == 0);
    }
    pthread_mutex_unlock(&s->lock);
    closedir(dir);
}

/* ---- looks ---- */

static double device_bytes(const fm_pipeline *p)
{
    uint64_t most = 0;
    for (int i = 0; i < p->frame_stage_count + CROP_STAGES; i++) {
        const stage *s =
            i < p->frame_stage_count ? &p->frame_stages[i] : &p->crop_stages[i - p->frame_stage_count];
        fm_device_memory m;
        if (s->model && fm__net_memory(s->model->net, &m)) { // of the device, whichever net is asked
            most = m.allocated_bytes > most ? m.allocated_bytes : most;
        }
    }
    return (double)most;
}

static void look_at_memory(fm_samples *m, int64_t at)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, FM_TAG_COUNT);
    for (size_t i = 0; i < n; i++) {
        fm__series_add(&m->memory[fm__tag_find(stats[i].module)], at, (double)stats[i].current_bytes);
    }
    fm__series_add(&m->rss, at, (double)fm__process_resident_bytes());
}

static void look_at_queues(const fm_pipeline *p, fm_samples *m, int64_t at)
{
    int rest = 0;
    for (size_t i = 0; i < p->o.stream_count; i++) {
        int depth = fm__executor_depth(p->frame_stages[0].exec, (int)i);
        if (i < FM_SAMPLED_STREAMS) {
            fm__series_add(&m->queued[i], at, depth);
        } else {
            rest += depth;
        }
    }
    if (p->o.stream_count > FM_SAMPLED_STREAMS) {
        fm__series_add(&m->queued_rest, at, rest);
    }
}

static void look(fm_pipeline *p, fm_sampler *s)
{
    int64_t now = fm__now_ns(), cpu = fm__clock_ns(CLOCK_PROCESS_CPUTIME_ID),
            at = now - fm__profile_origin(s->profile);
    pthread_mutex_lock(&s->lock);
    if (s->last_ns && now > s->last_ns) {
        fm__series_add(&s->samples.cores, at, (double)(cpu - s->last_cpu_ns) / (double)(now - s->last_ns));
    } else {
        s->first_cpu_ns = cpu;
    }
    s->samples.cpu_ns = cpu - s->first_cpu_ns;
    look_at_memory(&s->samples, at);
    look_at_queues(p, &s->samples, at);
    double device = device_bytes(p);
    if (device > 0) {
        fm__series_add(&s->samples.device, at, device);
    }
    pthread_mutex_unlock(&s->lock);
    s->last_ns = now;
    s->last_cpu_ns = cpu;
    if (now >= s->next_threads_ns) {
        look_at_threads(s);
        s->next_threads_ns = now + THREADS_NS;
    }
    fm__profile_add(s->profile, FM_ACT_SAMPLE, now, fm__now_ns());
}

static int64_t interval(const fm_sampler *s)
{
    int64_t width = s->samples.rss.width_ns;
    return width > LOOK_NS ? width : LOOK_NS;
}

// A look at the begin, at the end, and at times between.
static void *sampling(void *arg)
{
    fm_pipeline *p = arg;
    fm_sampler *s = p->o.sampler;
    fm__profile_begin(s->profile);
    for (bool more = true; more;) {
        look(p, s);
        int64_t next = s->last_ns + interval(s);
        fm__profile_wait(s->profile, FM_ACT_PACE);
        pthread_mutex_lock(&p->lock);
        while (p->open_lanes > 0 && !p->sampling_quit && fm__cond_wait_until(&p->changed, &p->lock, next)) {
        }
        more = p->open_lanes > 0 && !p->sampling_quit;
        pthread_mutex_unlock(&p->lock);
        fm__profile_woke(s->profile);
    }
    s->next_threads_ns = 1; // whenever it was, now again
    look(p, s);
    fm__profile_end(s->profile);
    return NULL;
}

fm_status fm__sampling_start(fm_pipeline *p, fm_error *err)
{
    if (!p->o.sampler) {
        return FM_OK;
    }
    fm__profile_start(p->profile, p->start_ns);
    fm_status st = fm__thread_start(&p->sampling, "fm-profile", sampling, p, err);
    p->is_sampling = st == FM_OK;
    return st;
}

void fm__sampling_stop(fm_pipeline *p)
{
    if (!p->is_sampling) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->sampling_quit = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->sampling, NULL);
    p->is_sampling = false;
}
