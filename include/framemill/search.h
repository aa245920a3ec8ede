// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Finding what a store has seen: by picture, by track, by feature, or by label; with filters.
 *
 *  The answer is exact, unless asked for otherwise: the nearest among those that match, however few match.
 * SQL narrows to what matches, and the exact scan of the vector index runs over that. docs/search.md. */
#ifndef FRAMEMILL_SEARCH_H
#define FRAMEMILL_SEARCH_H

#include <framemill/api.h>
#include <framemill/log.h>
#include <framemill/model.h>
#include <framemill/result.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

/** What may be found. All that is set must hold. */
typedef struct fm_search_filter {
    const char *label;          // of the object, or NULL
    const char *const *streams; // names, any of them
    size_t stream_count;
    int64_t from_ns, to_ns;   // since 1970, from <= time < to; both 0: any time
    const char *zone;         // or NULL
    double min_score;         // of the object; 0: any
    const char *const *where; // [where_count] "KEY=VALUE" of JSON metadata: of the object, else of its frame,
                              // else of its stream; dots go into objects: "camera.site=north"
    size_t where_count;
} fm_search_filter;

typedef struct fm_search_opts {
    size_t struct_size;
    // What is looked for: exactly one of these, or none and a filter with a label.
    const char *image;   // a picture: its largest object, or the whole of it when features are of frames
    const char *stream;  // a track: the stream's name ...
    int64_t track;       // ... and its number there
    const float *vector; // [dim] a feature of the store's model
    int dim;

    fm_search_filter filter;
    size_t top;                        // hits; default 10, at most 65536
    const char *model;                 // whose features; NULL: the one that the store has most of
    const char *detector;              // for image; NULL: the store's, else that of runs
    bool frames;                       // features of whole frames rather than of objects
    const fm_model_store_opts *models; // where models lie; required with image
    int threads;                       // 0: as many as there are cores
    fm_log log;
    bool approx; // nearly always the nearest (recall 0.95 and more), sooner where there are many: through the
                 // graph that fm_store_index made; without one, and where a filter leaves few, exact
} fm_search_opts;
#define FM_SEARCH_OPTS_INIT                                                                                  \
    {                                                                                                        \
        .struct_size = sizeof(fm_search_opts)                                                                \
    }

/** One thing found. Strings live as long as the search. */
typedef struct fm_search_hit {
    double distance; // cosine distance, 0..2; negative: not found by nearness
    const char *stream;
    int64_t frame_id;  // row of frames
    uint64_t frame;    // number in its run
    int64_t time_ns;   // since 1970
    int64_t pts_ns;    // FM_PTS_NONE where not known
    const char *file;  // of a picture, or NULL
    int width, height; // of the frame
    bool is_object;    // the rest is there
    const char *label;
    double score;
    fm_box box;
    int64_t track;        // number in its run, 0: none
    int64_t picture;      // row of the frame's picture, 0: none was kept
    int64_t best_picture; // row of the track's best view, 0: none
} fm_search_hit;

typedef struct fm_search fm_search;

/** Searches a store's folder; a process that writes into it meanwhile is not disturbed, and what it adds is
 * seen from the next search on. INVAL: nothing or too much to look for, a bad filter; NOTFOUND: no store, no
 * such track, no features, nothing in the picture. */
FM_API fm_status fm_search_new(
    const char *dir, const fm_search_opts *opts, fm_search **out, fm_error *err) FM_MUST_USE;
FM_API void fm_search_free(fm_search **search);
/** false: the graph found them (approx), and one of the nearest may be missing. */
FM_API bool fm_search_is_exact(const fm_search *search);
FM_API size_t fm_search_count(const fm_search *search);
/** Nearest first (without nearness: newest first); NULL past the end. */
FM_API const fm_search_hit *fm_search_get(const fm_search *search, size_t index);
/** The hits as JSON. Free with fm_free. */
FM_API fm_status fm_search_json(const fm_search *search, char **out,
    fm_error *err) FM_MUST_USE; /** A contact sheet: the pictures of the hits that were kept, the objects cut
                                 * out, in one picture file (png, jpg, webp, tif). Of a hit without a picture
                                 * its place says so; NOTFOUND when none has one. At most 100 hits. */
FM_API fm_status fm_search_sheet(const fm_search *search, const char *path, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
