// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Where things lie. The library is told; only here are the environment and the place of the executable looked
// at: share files beside it (installed, or in the build folder), weights in $FRAMEMILL_MODELS, else
// $MODEL_PATH, else the XDG data folder, compiled models in the XDG cache folder (XDG Base Directory
// Specification 0.8: relative paths are ignored).

#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && v[0] ? v : NULL;
}

static char *join(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *out = malloc(size);
    if (out) {
        snprintf(out, size, "%s/%s", dir, name);
    }
    return out;
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static bool is_dir(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

// Folder of the running executable, without the last slash; NULL where /proc is not there.
static char *exe_dir(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0) {
        return NULL;
    }
    path[n] = 0;
    char *slash = strrchr(path, '/');
    *slash = 0;
    return strdup(path);
}

static char *find_share(const char *exe)
{
    static const char *const places[] = {"../share/framemill", "../../share/framemill"};
    if (env("FRAMEMILL_SHARE")) {
        return copy(env("FRAMEMILL_SHARE"));
    }
    for (size_t i = 0; exe && i < sizeof(places) / sizeof(places[0]); i++) {
        char *place = join(exe, places[i]);
        char *share = place ? realpath(place, NULL) : NULL;
        char *models = share ? join(share, "models") : NULL;
        bool there = is_dir(models);
        free(place);
        free(models);
        if (there) {
            return share;
        }
        free(share);
    }
    return NULL;
}

// $variable/leaf, else $HOME/fallback/leaf.
static char *xdg(const char *variable, const char *fallback, const char *leaf)
{
    const char *base = env(variable);
    if (base && base[0] == '/') {
        return join(base, leaf);
    }
    const char *home = env("HOME");
    char *root = home ? join(home, fallback) : NULL;
    char *out = root ? join(root, leaf) : NULL;
    free(root);
    return out;
}

static char *find_models(void)
{
    const char *given = env("FRAMEMILL_MODELS") ? env("FRAMEMILL_MODELS") : env("MODEL_PATH");
    return given ? copy(given) : xdg("XDG_DATA_HOME", ".local/share", "framemill/models");
}

static char *find_in_path(const char *name)
{
    char *path = copy(env("PATH")), *save = NULL, *found = NULL;
    for (char *dir = path ? strtok_r(path, ":", &save) : NULL; dir && !found;
         dir = strtok_r(NULL, ":", &save)) {
        char *full = join(dir, name);
        if (full && access(full, X_OK) == 0) {
            found = full;
        } else {
            free(full);
        }
    }
    free(path);
    return found;
}

static char *find_python(const char *exe)
{
    if (env("FRAMEMILL_PYTHON")) {
        return copy(env("FRAMEMILL_PYTHON"));
    }
    char *own = exe ? join(exe, "../../.deps/py/bin/python3") : NULL;
    if (own && access(own, X_OK) == 0) {
        return own;
    }
    free(own);
    return find_in_path("python3");
}

// framemill-export and the Python it runs with: those of ./bootstrap export-deps in the source tree, else an
// installed one, which brings its own Python.
static bool use_exporter_of(const char *root, cli_paths *p)
{
    char *tool = join(root, "python/export/framemill-export");
    char *python = join(root, ".deps/export/bin/python3");
    if (tool && python && access(tool, R_OK) == 0 && access(python, X_OK) == 0) {
        p->exporter = tool;
        p->exporter_python = python;
        return true;
    }
    free(tool);
    free(python);
    return false;
}

static void find_exporter(const char *exe, cli_paths *p)
{
    static const char *const roots[] = {"../..", "../../.."}; // of build/ and of build-test/asan/
    for (size_t i = 0; exe && i < sizeof(roots) / sizeof(roots[0]); i++) {
        char *root = join(exe, roots[i]);
        bool found = root && use_exporter_of(root, p);
        free(root);
        if (found) {
            return;
        }
    }
    p->exporter = find_in_path("framemill-export");
}

bool cli_paths_find(cli_paths *out)
{
    char *exe = exe_dir();
    cli_paths p = {
        .share = find_share(exe),
        .models = find_models(),
        .mirror = copy(env("FRAMEMILL_MODEL_MIRROR")),
        .python = find_python(exe),
        .cache = xdg("XDG_CACHE_HOME", ".cache", "framemill/compiled"),
        .spool = xdg("XDG_STATE_HOME", ".local/state", "framemill/redis"),
        .tuning = xdg("XDG_CONFIG_HOME", ".config", "framemill/tuning.yaml"),
    };
    find_exporter(exe, &p);
    free(exe);
    if (!p.share) {
        cli_error(
            "the folder share/framemill is not where it was installed; set FRAMEMILL_SHARE to its path");
    } else if (!p.models) {
        cli_error("no folder for models: set FRAMEMILL_MODELS, or HOME");
    }
    if (!p.share || !p.models) {
        cli_paths_done(&p);
        return false;
    }
    *out = p;
    return true;
}

void cli_paths_done(cli_paths *p)
{
    free(p->share);
    free(p->models);
    free(p->mirror);
    free(p->python);
    free(p->exporter);
    free(p->exporter_python);
    free(p->cache);
    free(p->spool);
    free(p->tuning);
    memset(p, 0, sizeof(*p));
}

fm_model_store_opts cli_store_opts(const cli_paths *p, fm_log_level level)
{
    return (fm_model_store_opts){
        .struct_size = sizeof(fm_model_store_opts),
        .share_dir = p->share,
        .models_dir = p->models,
        .mirror_dir = p->mirror,
        .python = p->python,
        .exporter = p->exporter,
        .exporter_python = p->exporter_python,
        .log = {.fn = cli_log_line, .level = level},
    };
}
