// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// See fake_net.h. Requests are a linked list under one lock; the thread takes a random one of it.

#include "fake_net.h"

#include "../testing.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"

struct fake_request {
    fm_request base;
    fm_request_done_fn done;
    void *opaque;
    fake_request *next;
    bool running, will_fail;
    int rows;
    uint64_t *input, *output;
};

static bool by_chance(fake_net *net, int percent)
{
    return rnd_below(&net->seed, 100) < percent;
}

static void compute(fake_request *r)
{
    for (int i = 0; i < r->rows; i++) {
        r->output[i] = r->input[i] * 2 + 1;
    }
}

static fake_request *take_random(fake_net *net)
{
    fake_request **at = &net->running;
    for (int skip = rnd_below(&net->seed, net->running_count); skip > 0; skip--) {
        at = &(*at)->next;
    }
    fake_request *r = *at;
    *at = r->next;
    net->running_count--;
    r->running = false;
    return r;
}

static void *complete_all(void *arg)
{
    fake_net *net = arg;
    pthread_mutex_lock(&net->lock);
    while (!net->quit) {
        if (!net->running || net->shut) {
            pthread_cond_wait(&net->changed, &net->lock);
            continue;
        }
        fake_request *r = take_random(net);
        compute(r);
        fm_request_done_fn done = r->done;
        void *opaque = r->opaque;
        pthread_mutex_unlock(&net->lock);
        done(opaque);
        pthread_mutex_lock(&net->lock);
    }
    pthread_mutex_unlock(&net->lock);
    return NULL;
}

static fm_status request_new(
    fm_net *base, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err)
{
    fake_net *net = (fake_net *)base;
    if (++net->requests == net->refuse_request) {
        return fm__fail(err, FM_BACKEND, "no more requests");
    }
    fake_request *r = calloc(1, sizeof(*r));
    *r = (fake_request){.base = {.net = base}, .done = done, .opaque = opaque};
    r->input = calloc((size_t)base->info.batch, sizeof(*r->input));
    r->output = calloc((size_t)base->info.batch, sizeof(*r->output));
    *out = &r->base;
    return FM_OK;
}

static void request_free(fm_request *base)
{
    fake_request *r = (fake_request *)base;
    fake_net *net = (fake_net *)base->net;
    net->misuses += r->running;
    free(r->input);
    free(r->output);
    free(r);
}

static fm_tensor request_input(fm_request *base)
{
    fm_tensor t = base->net->info.input;
    t.data = ((fake_request *)base)->input;
    return t;
}

// True when it was completed inside.
static bool start_locked(fake_net *net, fake_request *r, int rows)
{
    r->rows = rows;
    r->will_fail = by_chance(net, net->fail_finish);
    bool inside = !net->shut && by_chance(net, net->inside_start);
    if (inside) {
        compute(r);
        return true;
    }
    r->running = true;
    r->next = net->running;
    net->running = r;
    net->running_count++;
    net->most_running = net->running_count > net->most_running ? net->running_count : net->most_running;
    pthread_cond_broadcast(&net->changed);
    return false;
}

static fm_status request_start(fm_request *base, int rows, fm_error *err)
{
    fake_request *r = (fake_request *)base;
    fake_net *net = (fake_net *)base->net;
    pthread_mutex_lock(&net->lock);
    net->starts++;
    net->misuses += r->running;
    bool fails = by_chance(net, net->fail_start);
    net->failed_starts += fails;
    bool inside = !fails && start_locked(net, r, rows);
    pthread_mutex_unlock(&net->lock);
    if (inside) {
        r->done(r->opaque);
    }
    return fails ? fm__fail(err, FM_BACKEND, "the start failed") : FM_OK;
}

static fm_status request_finish(fm_request *base, fm_tensor *outs, fm_error *err)
{
    fake_request *r = (fake_request *)base;
    fake_net *net = (fake_net *)base->net;
    pthread_mutex_lock(&net->lock);
    net->misuses += r->running;
    net->failed_finishes += r->will_fail;
    pthread_mutex_unlock(&net->lock);
    if (r->will_fail) {
        return fm__fail(err, FM_TIMEOUT, "the inference failed");
    }
    outs[0] = base->net->info.outputs[0];
    outs[0].data = r->output;
    outs[0].dims[0] = r->rows;
    return FM_OK;
}

static const fm_backend fake_backend = {
    .name = "fake",
    .request_new = request_new,
    .request_free = request_free,
    .request_input = request_input,
    .request_start = request_start,
    .request_finish = request_finish,
};

void fake_net_open(fake_net *net, int slots, int size_count, const int *sizes, uint64_t seed)
{
    int batch = sizes[size_count - 1];
    fm_tensor rows = {.dtype = FM_DTYPE_I64, .rank = 2, .dims = {batch, 1}};
    *net = (fake_net){
        .base = {.backend = &fake_backend,
            .info = {.slots = slots,
                .batch = batch,
                .size_count = size_count,
                .input = rows,
                .outputs = {rows},
                .output_count = 1}},
        .seed = seed,
    };
    memcpy(net->base.info.sizes, sizes, (size_t)size_count * sizeof(*sizes));
    pthread_mutex_init(&net->lock, NULL);
    fm__cond_init(&net->changed);
    assert_int_equal(fm__thread_start(&net->thread, "fake-net", complete_all, net, NULL), FM_OK);
}

void fake_net_close(fake_net *net)
{
    pthread_mutex_lock(&net->lock);
    net->quit = true;
    pthread_cond_broadcast(&net->changed);
    pthread_mutex_unlock(&net->lock);
    pthread_join(net->thread, NULL);
    pthread_cond_destroy(&net->changed);
    pthread_mutex_destroy(&net->lock);
}

void fake_net_shut(fake_net *net, bool shut)
{
    pthread_mutex_lock(&net->lock);
    net->shut = shut;
    pthread_cond_broadcast(&net->changed);
    pthread_mutex_unlock(&net->lock);
}

bool fake_net_wait_running(fake_net *net, int n)
{
    int64_t deadline = fm__now_ns() + 10 * FM_NS_PER_S;
    pthread_mutex_lock(&net->lock);
    bool in_time = true;
    while (net->running_count < n && in_time) {
        in_time = fm__cond_wait_until(&net->changed, &net->lock, deadline);
    }
    bool reached = net->running_count >= n;
    pthread_mutex_unlock(&net->lock);
    return reached;
}
