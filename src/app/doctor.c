// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What this machine and this build offer, as a list of checks. Each check looks, and says in one line what it
// saw or what to do; a thing that is missing is a result, not a failure. Versions of libraries come from the
// modules that own them.

#include <framemill/doctor.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "fm_config.h"
#include "image/image.h"
#include "infer/infer.h"
#include "media/decode.h"
#include "search/faiss.h"

#include <framemill/version.h>

#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fm_doctor {
    fm_check *checks;
    size_t count, cap;
    bool has_cuda; // a backend named CUDA devices
    bool failed;   // out of memory
};

static void add(fm_doctor *d, fm_check_state state, const char *group, const char *name, const char *fmt, ...)
    FM_PRINTF(5, 6);

static void add(fm_doctor *d, fm_check_state state, const char *group, const char *name, const char *fmt, ...)
{
    fm_str text;
    fm__str_init(&text, FM_TAG_APP);
    va_list ap;
    va_start(ap, fmt);
    fm__str_vprintf(&text, fmt, ap);
    va_end(ap);
    char *line = fm__str_take(&text), *copy = fm__strdup(FM_TAG_APP, name);
    if (!line || !copy ||
        !fm__grow(FM_TAG_APP, (void **)&d->checks, &d->cap, d->count + 1, sizeof(*d->checks))) {
        fm__free(line);
        fm__free(copy);
        d->failed = true;
        return;
    }
    d->checks[d->count++] = (fm_check){.state = state, .group = group, .name = copy, .text = line};
}

// Value of "key: value" in a file of /proc, into buf; "" when there is none.
static void proc_value(const char *path, const char *key, char *buf, size_t size)
{
    char *text = NULL;
    buf[0] = 0;
    if (fm__file_read(FM_TAG_APP, path, 4 << 20, &text, NULL, NULL) != FM_OK) {
        return;
    }
    const char *at = strstr(text, key);
    at = at ? strchr(at, ':') : NULL;
    if (at) {
        at += 1 + strspn(at + 1, " \t");
        snprintf(buf, size, "%.*s", (int)strcspn(at, "\n"), at);
    }
    fm__free(text);
}

static double mem_gib(const char *key)
{
    char text[64];
    double kib = 0;
    proc_value("/proc/meminfo", key, text, sizeof(text));
    text[strcspn(text, " ")] = 0;
    return fm__parse_double(text, &kib) ? kib / (1 << 20) : 0;
}

static void look_at_cpu(fm_doctor *d)
{
    char model[128];
    proc_value("/proc/cpuinfo", "model name", model, sizeof(model));
    fm_cpu_level level = fm__cpu_level();
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int usable = fm__cpu_count();
    add(d, FM_CHECK_OK, "cpu", "model", "%s", model[0] ? model : "not named by the system");
    add(d, level == FM_CPU_SCALAR ? FM_CHECK_NOTE : FM_CHECK_OK, "cpu", "kernels", "%s%s",
        fm__cpu_level_name(level),
        level == FM_CPU_SCALAR ? ": no AVX2 here, preprocessing will be slow" : "");
    add(d, FM_CHECK_OK, "cpu", "cores", "%d usable of %ld", usable, online);
    add(d, FM_CHECK_OK, "cpu", "memory", "%.1f GiB, %.1f GiB of it free to use", mem_gib("MemTotal"),
        mem_gib("MemAvailable"));
}

static void look_at_libraries(fm_doctor *d)
{
    char version[128] = "";
    add(d, FM_CHECK_OK, "libraries", "framemill", "%s", fm_version());
    fm__media_version(version, sizeof(version));
    add(d, FM_CHECK_OK, "libraries", "libav", "%s", version);
    fm__image_version(version, sizeof(version));
    add(d, version[0] ? FM_CHECK_OK : FM_CHECK_NOTE, "libraries", "libvips", "%s",
        version[0] ? version : "built without it: of still pictures only BMP is read");
    add(d, FM_HAVE_CURL ? FM_CHECK_OK : FM_CHECK_NOTE, "libraries", "libcurl",
        FM_HAVE_CURL ? "present" : "built without it: models come from the mirror folder only");
    add(d, FM_HAVE_SQLITE ? FM_CHECK_OK : FM_CHECK_NOTE, "libraries", "sqlite",
        FM_HAVE_SQLITE ? "present" : "built without it: there is no store");
    add(d, FM_HAVE_TURBOJPEG ? FM_CHECK_OK : FM_CHECK_NOTE, "libraries", "libturbojpeg",
        FM_HAVE_TURBOJPEG ? "present" : "built without it: a store cannot take in others' JPEGs");
    add(d, FM_HAVE_REDIS ? FM_CHECK_OK : FM_CHECK_NOTE, "libraries", "redis",
        FM_HAVE_REDIS ? "present" : "built without hiredis or OpenSSL: no --redis");
    bool faiss = fm__faiss_version()[0] != 0;
    add(d, faiss ? FM_CHECK_OK : FM_CHECK_NOTE, "libraries", "faiss", "%s",
        faiss ? fm__faiss_version() : "built without it: every search is an exact scan");
    add(d, FM_HAVE_V4L2 ? FM_CHECK_OK : FM_CHECK_NOTE, "libraries", "libavdevice",
        FM_HAVE_V4L2 ? "present" : "built without it: no cameras of this machine");
}

static void look_at_backends(fm_doctor *d)
{
    bool any = false;
    for (const fm_backend *const *b = fm__backends(); *b; b++) {
        char version[64] = "", devices[256] = "";
        fm_error err = {0};
        fm_status st = (*b)->probe(version, sizeof(version), devices, sizeof(devices), &err);
        bool is_ref = strcmp((*b)->name, "ref") == 0; // built-in functions for tests: runs no model file
        any = any || (st == FM_OK && !is_ref);
        d->has_cuda = d->has_cuda || strstr(devices, "cuda:") != NULL;
        if (st == FM_OK) {
            add(d, FM_CHECK_OK, "backends", (*b)->name, "%s%s%s", version, devices[0] ? ", devices: " : "",
                devices);
        } else {
            add(d, FM_CHECK_NOTE, "backends", (*b)->name, "%s", err.msg);
        }
    }
    if (!any) {
        add(d, FM_CHECK_BAD, "backends", "models",
            "no backend runs model files in this build; --detector motion still works; see docs/doctor.md");
    }
}

static void look_at_gpus(fm_doctor *d)
{
    glob_t found;
    size_t count = 0;
    if (glob("/dev/nvidia[0-9]*", 0, NULL, &found) == 0) {
        count = found.gl_pathc;
        globfree(&found);
    }
    if (d->has_cuda) {
        add(d, FM_CHECK_OK, "gpu", "nvidia", "%zu here, used by --device cuda:N", count);
    } else if (count) {
        add(d, FM_CHECK_NOTE, "gpu", "nvidia",
            "%zu here, not used: the torch backend has no CUDA (see backends, and docs/doctor.md)", count);
    } else {
        add(d, FM_CHECK_OK, "gpu", "nvidia", "none");
    }
}

static void look_at_models(fm_doctor *d, const fm_model_store *store)
{
    fm_str installed;
    fm__str_init(&installed, FM_TAG_APP);
    size_t count = fm_model_store_count(store);
    for (size_t i = 0; i < count; i++) {
        fm_model_info m;
        if (fm_model_store_get(store, i, &m) != FM_OK) {
            continue;
        }
        if (m.state == FM_MODEL_INSTALLED) {
            fm__str_printf(&installed, "%s%s", installed.len ? ", " : "", m.name);
        } else if (m.state == FM_MODEL_DAMAGED) {
            add(d, FM_CHECK_BAD, "models", m.name,
                "a file has the wrong size or digest; run: framemill models fetch --force %s", m.name);
        } else if (strcmp(m.name, "yolox-nano") == 0) {
            add(d, FM_CHECK_NOTE, "models", m.name,
                "the default detector is not installed; run: framemill models fetch %s", m.name);
        }
    }
    add(d, FM_CHECK_OK, "models", "installed", "%s", installed.len ? installed.data : "none");
    add(d, FM_CHECK_OK, "models", "known", "%zu; see: framemill models list", count);
    fm__str_done(&installed);
}

static void look_at_store(fm_doctor *d, const fm_model_store_opts *opts)
{
    fm_model_store *store = NULL;
    fm_error err = {0};
    if (fm_model_store_open(opts, &store, &err) != FM_OK) {
        add(d, FM_CHECK_BAD, "models", "store", "%s", err.msg);
        return;
    }
    look_at_models(d, store);
    fm_model_store_close(&store);
}

static void look_at_models_dir(fm_doctor *d, const char *dir)
{
    if (!fm__is_dir(dir)) {
        add(d, FM_CHECK_OK, "paths", "models", "%s (made by the first fetch)", dir);
    } else if (access(dir, W_OK) != 0) {
        add(d, FM_CHECK_NOTE, "paths", "models", "%s cannot be written: no model can be fetched into it",
            dir);
    } else {
        add(d, FM_CHECK_OK, "paths", "models", "%s", dir);
    }
}

static void look_at_paths(fm_doctor *d, const fm_model_store_opts *o)
{
    bool share = o->share_dir && fm__is_dir(o->share_dir);
    add(d, share ? FM_CHECK_OK : FM_CHECK_BAD, "paths", "share", "%s%s",
        o->share_dir ? o->share_dir : "not given", share ? "" : ": no such folder; install framemill again");
    if (o->models_dir) {
        look_at_models_dir(d, o->models_dir);
    }
    if (o->mirror_dir) {
        bool there = fm__is_dir(o->mirror_dir);
        add(d, there ? FM_CHECK_OK : FM_CHECK_NOTE, "paths", "mirror", "%s%s", o->mirror_dir,
            there ? "" : ": no such folder");
    }
    bool python = o->python && access(o->python, X_OK) == 0;
    add(d, python ? FM_CHECK_OK : FM_CHECK_NOTE, "paths", "python", "%s",
        python ? o->python
               : "none with the package openvino: models with a baked batch run one frame at a time");
}

fm_status fm_doctor_new(const fm_model_store_opts *store, fm_doctor **out, fm_error *err)
{
    if (!store || !out) {
        return fm__fail(err, FM_INVAL, "fm_doctor_new: store and out are required");
    }
    fm_doctor *d = fm__calloc(FM_TAG_APP, sizeof(*d));
    if (!d) {
        return fm__fail_nomem(err, "the doctor");
    }
    look_at_cpu(d);
    look_at_libraries(d);
    look_at_backends(d);
    look_at_gpus(d);
    look_at_store(d, store);
    look_at_paths(d, store);
    if (d->failed) {
        fm_doctor_free(&d);
        return fm__fail_nomem(err, "the doctor");
    }
    *out = d;
    return FM_OK;
}

size_t fm_doctor_count(const fm_doctor *d)
{
    return d->count;
}

const fm_check *fm_doctor_get(const fm_doctor *d, size_t index)
{
    return index < d->count ? &d->checks[index] : NULL;
}

void fm_doctor_free(fm_doctor **doctor)
{
    fm_doctor *d = doctor ? *doctor : NULL;
    if (!d) {
        return;
    }
    for (size_t i = 0; i < d->count; i++) {
        fm__free((char *)d->checks[i].name);
        fm__free((char *)d->checks[i].text);
    }
    fm__free(d->checks);
    fm__free(d);
    *doctor = NULL;
}
