// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Which file of results belongs to which ground truth: by the name of the sequence, which is that of a file
// without its ending, or of the folder that a gt.txt lies in (MOTChallenge keeps it in SEQ/gt/gt.txt).

#include "app/eval_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const gt_places[] = {"gt/gt.txt", "gt.txt"};
static const char *const result_endings[] = {".mot.txt", ".txt"};

/* ---- names ---- */

// Name of the folder `up` levels above a path, "." and links resolved; "" at the root.
static char *folder_name(const char *path, int up)
{
    char *full = realpath(path, NULL);
    char *cut = full;
    for (int i = 0; cut && i < up; i++) {
        cut = strrchr(full, '/');
        if (cut) {
            *cut = 0;
        }
    }
    char *name = fm__strdup(FM_TAG_APP, full ? fm__path_base(full) : "");
    free(full);
    return name;
}

static char *without_ending(const char *file)
{
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(file), cut = strlen(result_endings[i]);
        if (len > cut && fm__str_ends(file, result_endings[i])) {
            return fm__asprintf(FM_TAG_APP, "%.*s", (int)(len - cut), file);
        }
    }
    return fm__strdup(FM_TAG_APP, file);
}

static char *sequence_name(const char *path)
{
    const char *base = fm__path_base(path);
    if (strcmp(base, "gt.txt") != 0) {
        return without_ending(base);
    }
    char *parent = folder_name(path, 1);
    if (parent && strcmp(parent, "gt") == 0) {
        fm__free(parent);
        parent = folder_name(path, 2);
    }
    if (parent && !parent[0]) {
        fm__free(parent);
        parent = without_ending(base);
    }
    return parent;
}

/* ---- ground truth ---- */

// Takes ownership of name and gt.
static bool add(eval_pairs *p, char *name, char *gt)
{
    if (!name || !gt || !fm__grow(FM_TAG_APP, (void **)&p->items, &p->cap, p->count + 1, sizeof(*p->items))) {
        fm__free(name);
        fm__free(gt);
        return false;
    }
    p->items[p->count++] = (eval_pair){.name = name, .gt = gt};
    return true;
}

// The ground truth in a sequence's folder, or NULL; *failed on no memory.
static char *gt_inside(const char *dir, bool *failed)
{
    for (size_t i = 0; i < 2; i++) {
        char *path = fm__path_join(FM_TAG_APP, dir, gt_places[i]);
        *failed = *failed || !path;
        if (path && fm__is_file(path)) {
            return path;
        }
        fm__free(path);
    }
    return NULL;
}

static bool add_folder(eval_pairs *p, const char *dir, const char *entry)
{
    bool failed = false;
    char *path = fm__path_join(FM_TAG_APP, dir, entry);
    char *gt = path ? gt_inside(path, &failed) : NULL;
    bool ok = path && !failed && (!gt || add(p, fm__strdup(FM_TAG_APP, entry), gt));
    fm__free(path);
    return ok;
}

static bool add_file(eval_pairs *p, const char *dir, const char *entry)
{
    char *path = fm__path_join(FM_TAG_APP, dir, entry);
    if (path && (!fm__str_ends(entry, ".txt") || !fm__is_file(path))) {
        fm__free(path);
        return true;
    }
    return add(p, without_ending(entry), path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const eval_pair *)a)->name, ((const eval_pair *)b)->name);
}

// All of a folder's entries; folders first, files only where no folder holds ground truth, since such a
// folder also has its read-me.
static fm_status scan(eval_pairs *p, const char *dir, fm_error *err)
{
    static bool (*const adders[])(eval_pairs *, const char *, const char *) = {add_folder, add_file};
    for (size_t i = 0; i < 2 && p->count == 0; i++) {
        DIR *d = opendir(dir);
        if (!d) {
            return fm__fail_errno(err, errno, "cannot read", dir);
        }
        bool ok = true;
        for (const struct dirent *e; ok && (e = readdir(d));) {
            ok = e->d_name[0] == '.' || adders[i](p, dir, e->d_name);
        }
        closedir(d);
        if (!ok) {
            return fm__fail_nomem(err, dir);
        }
    }
    if (p->count == 0) {
        return fm__fail(err, FM_NOTFOUND,
            "'%s' holds no ground truth: expected gt.txt, SEQUENCE/gt/gt.txt, SEQUENCE/gt.txt or "
            "SEQUENCE.txt",
            dir);
    }
    qsort(p->items, p->count, sizeof(*p->items), by_name);
    return FM_OK;
}

static fm_status find_gt(eval_pairs *p, const char *gt, fm_error *err)
{
    if (access(gt, F_OK) != 0) {
        return fm__fail_errno(err, errno, "cannot open", gt);
    }
    if (!fm__is_dir(gt)) {
        return add(p, sequence_name(gt), fm__strdup(FM_TAG_APP, gt)) ? FM_OK : fm__fail_nomem(err, gt);
    }
    bool failed = false;
    char *inside = gt_inside(gt, &failed);
    if (inside) {
        failed = !add(p, folder_name(gt, 0), inside);
    }
    if (failed) {
        return fm__fail_nomem(err, gt);
    }
    return inside ? FM_OK : scan(p, gt, err);
}

/* ---- results ---- */

static fm_status find_in_folder(eval_pairs *p, const char *dir, fm_error *err)
{
    for (size_t i = 0; i < p->count; i++) {
        eval_pair *item = &p->items[i];
        for (size_t k = 0; k < 2 && !item->result; k++) {
            char *file = fm__asprintf(FM_TAG_APP, "%s%s", item->name, result_endings[k]);
            char *path = file ? fm__path_join(FM_TAG_APP, dir, file) : NULL;
            fm__free(file);
            if (!path) {
                return fm__fail_nomem(err, dir);
            }
            if (fm__is_file(path)) {
                item->result = path;
            } else {
                fm__free(path);
            }
        }
    }
    return FM_OK;
}

// Leaves only the sequence of that name.
static fm_status keep_only(eval_pairs *p, const char *file, fm_error *err)
{
    char *name = sequence_name(file);
    if (!name) {
        return fm__fail_nomem(err, file);
    }
    size_t kept = 0;
    for (size_t i = 0; i < p->count; i++) {
        eval_pair item = p->items[i];
        if (strcmp(item.name, name) == 0 && kept == 0) {
            p->items[kept++] = item;
        } else {
            fm__free(item.name);
            fm__free(item.gt);
        }
    }
    p->count = kept;
    fm_status st = kept
                       ? FM_OK
                       : fm__fail(err, FM_INVAL,
                             "'%s' is one file, and no sequence of the ground truth is named '%s'; give that "
                             "sequence's ground truth, or a folder of results",
                             file, name);
    fm__free(name);
    return st;
}

fm_status fm__eval_pairs_find(eval_pairs *p, const char *gt, const char *result, fm_error *err)
{
    fm_status st = find_gt(p, gt, err);
    if (st != FM_OK) {
        return st;
    }
    if (access(result, F_OK) != 0) {
        return fm__fail_errno(err, errno, "cannot open", result);
    }
    if (fm__is_dir(result)) {
        return find_in_folder(p, result, err);
    }
    st = p->count > 1 ? keep_only(p, result, err) : FM_OK;
    if (st == FM_OK) {
        p->items[0].result = fm__strdup(FM_TAG_APP, result);
        st = p->items[0].result ? FM_OK : fm__fail_nomem(err, result);
    }
    return st;
}

void fm__eval_pairs_done(eval_pairs *p)
{
    for (size_t i = 0; i < p->count; i++) {
        fm__free(p->items[i].name);
        fm__free(p->items[i].gt);
        fm__free(p->items[i].result);
    }
    fm__free(p->items);
    *p = (eval_pairs){0};
}
