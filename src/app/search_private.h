// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Parts of a search: search.c finds, search_image.c makes a picture into a feature, search_json.c tells. */
#ifndef FM_APP_SEARCH_PRIVATE_H
#define FM_APP_SEARCH_PRIVATE_H

#include <framemill/search.h>

struct fm_search {
    fm_search_hit *hits; // strings owned
    size_t count;
    bool exact;
    char *dir; // of the store
};

typedef struct fm__looked_for {
    const char *image;
    const char *detector; // NULL: the default
    const char *embedder;
    const char *label; // of the object to take, or NULL: any
    bool frames;
    int dim; // that the feature must have
    int threads;
    const fm_model_store_opts *models;
    fm_log log;
} fm__looked_for;

/** The feature of a picture's largest object, or of the whole picture. NOTFOUND when there is nothing in it.
 *  @param feature  [dim], freed with fm__free */
fm_status fm__search_image(const fm__looked_for *what, float **feature, fm_error *err) FM_MUST_USE;

#endif
