// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Networks derived from others: a baked batch is freed, a classifier is cut off so that what it classifies
// by becomes the output. Whether a batch needs freeing is seen by reshaping the file; a cut is asked for by
// the description. The work is done by share_dir/tools/derive.py in a process of its own, since rebuilding a
// network needs OpenVINO's C++ or Python interface. Its result lies in <model>/free_batch or <model>/cut,
// named after the digest of the source, so that another source never meets an old result. A batch that stays
// baked fails nothing: without Python, or where the script refuses, the model runs with batch 1, and the log
// says so. Without its cut a model is of no use, so that is an error. The process gets a bare environment, no
// shell and ten minutes.

#include "models/store.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "models/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOMAIN "models"
#define LIMIT_NS (600 * FM_NS_PER_S)
#define EXIT_FREE_ALREADY 3

static bool source_digest(const fm_spec *spec, const fm_spec_variant *variant, char hex[FM_DIGEST_TEXT])
{
    const fm_spec_file *file = &variant->files[0];
    if (file->sha256) {
        memcpy(hex, file->sha256, FM_DIGEST_TEXT);
        return true;
    }
    char *path = fm__spec_path(spec, file->path);
    bool ok = path && fm__digest_recorded(path, hex);
    fm__free(path);
    return ok;
}

static const char *folder_of(const fm_spec_variant *variant)
{
    return variant->cut_classifier ? "cut" : "free_batch";
}

char *fm__derived_path(const fm_spec *spec, const fm_spec_variant *variant)
{
    char hex[FM_DIGEST_TEXT];
    if (!source_digest(spec, variant, hex)) {
        return NULL;
    }
    return fm__asprintf(FM_TAG_MODELS, "%s/%s/%.16s.xml", spec->dir, folder_of(variant), hex);
}

// The IR's second file: same name, other ending. path ends with ".xml".
static char *weights_of(const char *path)
{
    return fm__asprintf(FM_TAG_MODELS, "%.*s.bin", (int)(strlen(path) - strlen(".xml")), path);
}

// Collects what the process says until it closes its end; only the last part is kept.
static bool read_output(int fd, char *buf, size_t size, int64_t deadline)
{
    size_t used = 0;
    for (;;) {
        int64_t left = deadline - fm__now_ns();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)(left / FM_NS_PER_MS) + 1) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return false;
        }
        if (used > size / 2) {
            memmove(buf, buf + used - size / 4, size / 4);
            used = size / 4;
        }
        ssize_t n = read(fd, buf + used, size - used - 1);
        if (n <= 0) {
            break;
        }
        used += (size_t)n;
    }
    buf[used] = '\0';
    return true;
}

static const char *last_line(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        text[--len] = '\0';
    }
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

static int spawn_to(int fd, char *const argv[], pid_t *pid)
{
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", locale[] = "LC_ALL=C.UTF-8";
    char *const envp[] = {path, locale, NULL};
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        return rc;
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    posix_spawn_file_actions_adddup2(&actions, fd, 2);
    rc = posix_spawn(pid, argv[0], &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

// Runs a program to its end; its last line of output in `said`. Returns the exit code, -1 when it did not run
// or end well.
static int run_program(char *const argv[], char *said, size_t size)
{
    int fds[2] = {-1, -1}, status = 0;
    pid_t pid = 0;
    char text[4096];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        snprintf(said, size, "%s", strerror(errno));
        return -1;
    }
    int rc = spawn_to(fds[1], argv, &pid);
    close(fds[1]);
    if (rc != 0) {
        snprintf(said, size, "cannot run '%s': %s", argv[0], strerror(rc));
        close(fds[0]);
        return -1;
    }
    bool ended = read_output(fds[0], text, sizeof(text), fm__now_ns() + LIMIT_NS);
    close(fds[0]);
    if (!ended) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    snprintf(said, size, "%s", ended ? last_line(text) : "it took too long");
    return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static fm_status put_in_place(const char *tmp, const char *path, fm_error *err)
{
    fm_status st = FM_OK;
    char *tmp_bin = weights_of(tmp), *bin = weights_of(path);
    if (!tmp_bin || !bin) {
        st = fm__fail_nomem(err, "a path");
    } else if (rename(tmp_bin, bin) != 0 ||
               rename(tmp, path) != 0) { // the .xml last: with it the pair counts
        st = fm__fail_errno(err, errno, "cannot put in place", path);
    }
    fm__free(tmp_bin);
    fm__free(bin);
    return st;
}

// Runs the script on `source`; the result appears at `path` whole or not at all.
static fm_status derive(
    const fm_model_store *store, bool cut_classifier, const char *source, const char *path, fm_error *err)
{
    char said[400] = "";
    char isolated[] = "-I", free_batch[] = "free-batch", cut[] = "cut-classifier";
    char *tmp = fm__asprintf(FM_TAG_MODELS, "%s.part.%ld.xml", path, (long)getpid());
    char *script = fm__path_join(FM_TAG_MODELS, store->share_dir, "tools/derive.py");
    char *from = fm__strdup(FM_TAG_MODELS, source);
    fm_status st = tmp && script && from ? FM_OK : fm__fail_nomem(err, "a path");
    if (st == FM_OK) {
        char *const argv[] = {
            store->python, isolated, script, cut_classifier ? cut : free_batch, from, tmp, NULL};
        int rc = run_program(argv, said, sizeof(said));
        if (rc == 0) {
            st = put_in_place(tmp, path, err);
        } else if (rc != EXIT_FREE_ALREADY) {
            st = fm__fail(err, FM_UNSUPPORTED, "%s", said);
        }
    }
    fm__free(tmp);
    fm__free(script);
    fm__free(from);
    return st;
}

static bool is_baked(const fm_spec_variant *variant, const char *source)
{
    fm_net_info info;
    fm_net_desc desc = {.backend = variant->backend,
        .path = source,
        .layout = variant->input.layout,
        .input_w = variant->input.width,
        .input_h = variant->input.height};
    return strcmp(variant->backend, "openvino") == 0 && fm__net_describe(&desc, &info, NULL) == FM_OK &&
           info.batch_baked;
}

static fm_status prepare(
    const fm_model_store *store, const fm_spec *spec, const fm_spec_variant *variant, fm_error *err)
{
    if (!store->python) {
        return fm__fail(
            err, FM_UNSUPPORTED, "that needs Python with the package openvino, which ./bootstrap brings");
    }
    char *dir = fm__spec_path(spec, folder_of(variant));
    fm_status st = dir ? fm__mkdir_all(dir, err) : fm__fail_nomem(err, "a path");
    fm__free(dir);
    return st;
}

// What is to be said of a batch that was to be freed.
static void log_freed(const fm_model_store *store, const fm_spec *spec, fm_status st, const fm_error *why)
{
    if (st == FM_OK) {
        fm__log(&store->log, FM_LOG_INFO, DOMAIN, "model '%s': its baked batch was freed", spec->name);
    } else {
        fm__log(&store->log, FM_LOG_WARN, DOMAIN,
            "model '%s' runs with batch 1: its batch is baked in and was not freed (%s)", spec->name,
            why->msg);
    }
}

fm_status fm__derive(
    const fm_model_store *store, const fm_spec *spec, const fm_spec_variant *variant, fm_error *err)
{
    fm_error why = {0};
    fm_status st = FM_OK;
    bool cut = variant->cut_classifier;
    char *source = fm__spec_path(spec, variant->files[0].path), *path = fm__derived_path(spec, variant);
    if (source && path && !fm__is_file(path) && (cut || is_baked(variant, source))) {
        st = prepare(store, spec, variant, &why);
        if (st == FM_OK) {
            st = derive(store, cut, source, path, &why);
        }
        if (!cut) {
            log_freed(store, spec, st, &why);
            st = FM_OK;
        } else if (st != FM_OK) {
            st = fm__fail(err, st, "model '%s': its classifier was not cut off (%s)", spec->name, why.msg);
        }
    }
    fm__free(source);
    fm__free(path);
    return st;
}
