// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The store of a run: opened before the first frame, shared by all streams, closed after the last.

#include "app/run_private.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>

static fm_status read_words(fm_run *run, const fm_store_settings *o, fm_store_sync *sync, fm_error *err)
{
    static const char *const keeps[] = {[FM_STORE_KEEP_FRAMES] = "frames",
        [FM_STORE_KEEP_EVENTS] = "events",
        [FM_STORE_KEEP_CROPS] = "crops",
        [FM_STORE_KEEP_NONE] = "none"};
    const char *keep = o->keep ? o->keep : "frames";
    size_t i = 0;
    while (i < sizeof(keeps) / sizeof(*keeps) && strcmp(keeps[i], keep) != 0) {
        i++;
    }
    if (i == sizeof(keeps) / sizeof(*keeps)) {
        return fm__fail(
            err, FM_INVAL, "what the store keeps is '%s'; it is frames, events, crops or none", keep);
    }
    run->store_keep = (fm_store_keep)i;
    if (o->sync && strcmp(o->sync, "normal") != 0 && strcmp(o->sync, "full") != 0) {
        return fm__fail(err, FM_INVAL, "the store's sync is '%s'; it is normal or full", o->sync);
    }
    *sync = o->sync && strcmp(o->sync, "full") == 0 ? FM_STORE_SYNC_FULL : FM_STORE_SYNC_NORMAL;
    return FM_OK;
}

fm_status fm__run_init_store(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    const fm_store_settings *k = &o->keeping;
    if (!k->dir) {
        return FM_OK;
    }
    fm_store_opts so = FM_STORE_OPTS_INIT;
    fm_status st = read_words(run, k, &so.sync, err);
    bool tracks = run->tracker.type && run->store_keep != FM_STORE_KEEP_NONE;
    if (st == FM_OK && !run->tracker.type &&
        (run->store_keep == FM_STORE_KEEP_EVENTS || run->store_keep == FM_STORE_KEEP_CROPS)) {
        return fm__fail(err, FM_INVAL,
            "to keep %s is to keep views of tracks: give a tracker, or keep frames",
            run->store_keep == FM_STORE_KEEP_EVENTS ? "events" : "crops");
    }
    run->store_crops = tracks && k->crops >= 0;
    so.dir = k->dir;
    so.jpeg_quality = k->jpeg_quality;
    so.max_age_s = (int64_t)k->max_age_s;
    so.max_bytes = k->max_bytes;
    so.free_floor = k->free_floor;
    so.log = o->log;
    return st == FM_OK ? fm_store_open(&so, &run->kept, err) : st;
}

fm_status fm__run_store_sink(fm_run *run, size_t stream, fm_sink **out, fm_error *err)
{
    fm_store_sink_opts so = {
        .store = run->kept,
        .stream = run->streams[stream].name,
        .url = run->streams[stream].redacted,
        .keep = run->store_keep,
        .every = run->o.keeping.every,
        .crops = run->store_crops,
        .gone = run->o.track.max_age,
        .feature_model = run->embedder ? run->embedder->name : NULL,
    };
    return fm__sink_store(&so, out, err);
}

void fm__run_done_store(fm_run *run)
{
    fm_error err = {0};
    if (run->kept && fm_store_close(&run->kept, &err) != FM_OK) {
        fm__log(&run->o.log, FM_LOG_ERROR, "store", "%s", err.msg);
    }
}
