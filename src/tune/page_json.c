// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The numbers of a profile's page as JSON inside it, for programs. A data block is never run; that its end
// cannot be written into it by a stream's name is seen to by writing '<' as an escape.

#include "base/json.h"
#include "tune/page.h"

static void put(fm_json *j, const char *key, int64_t ns)
{
    fm__json_put_fixed(j, key, (double)ns / 1e9, 6);
}

static void add_acts(fm_json *j, const fm_profile_thread *t)
{
    static const char *const kinds[] = {"busy", "idle", "apart"};
    for (int kind = FM_ACT_BUSY; kind <= FM_ACT_APART; kind++) {
        fm__json_key(j, kinds[kind]);
        fm__json_open_object(j);
        for (int i = 0; i < FM_ACT_COUNT; i++) {
            if ((int)fm__act_kind((fm_act)i) == kind && t->count[i] > 0) {
                put(j, fm__act_name((fm_act)i), t->total_ns[i]);
            }
        }
        fm__json_close_object(j);
    }
}

static void add_threads(fm_json *j, const fm__page *page)
{
    fm__json_key(j, "threads");
    fm__json_open_array(j);
    for (size_t i = 0; i < page->threads->count && i < FM_PAGE_THREADS; i++) {
        const fm_profile_thread *t = &page->threads->threads[i];
        fm__json_open_object(j);
        fm__json_put_string(j, "name", t->name);
        fm__json_put_int(j, "tid", t->tid);
        put(j, "begin_s", t->begin_ns);
        put(j, "life_s", t->life_ns);
        put(j, "cpu_s", t->cpu_ns);
        if (t->delayed_ns >= 0) {
            put(j, "delayed_s", t->delayed_ns);
        }
        add_acts(j, t);
        fm__json_close_object(j);
    }
    fm__json_close_array(j);
}

static void add_streams(fm_json *j, const fm__page *page)
{
    fm__json_key(j, "streams");
    fm__json_open_array(j);
    for (size_t i = 0; i < page->stream_count; i++) {
        fm__json_open_object(j);
        fm__json_put_string(j, "name", page->streams[i].name);
        fm__json_put_uint(j, "frames", page->streams[i].frames);
        fm__json_put_uint(j, "dropped", page->streams[i].dropped);
        fm__json_close_object(j);
    }
    fm__json_close_array(j);
}

static void add_load(fm_json *j, const fm__page *page)
{
    fm__load l;
    fm__page_load(page, &l);
    fm__json_put_fixed(j, "cores_busy", l.cores_busy, 4);
    fm__json_put_fixed(j, "slots_busy", l.slots, 4);
    fm__json_put_fixed(j, "readers_no_room", l.no_room, 4);
    fm__json_put_fixed(j, "busiest_reader", l.reader, 4);
    fm__json_put_fixed(j, "busiest_delivery", l.delivery, 4);
}

void fm__page_numbers(fm_str *out, const fm__page *page)
{
    fm_str text;
    fm_json j;
    fm__str_init(&text, FM_TAG_TUNE);
    fm__json_init(&j, &text);
    fm__json_open_object(&j);
    fm__json_put_uint(&j, "frames", page->frames);
    fm__json_put_fixed(&j, "seconds", page->seconds, 6);
    fm__json_put_fixed(&j, "bin_s", (double)page->threads->width_ns / 1e9, 3);
    put(&j, "process_cpu_s", page->samples->cpu_ns);
    add_load(&j, page);
    add_threads(&j, page);
    add_streams(&j, page);
    fm__json_close_object(&j);
    out->failed = out->failed || text.failed;
    fm__str_add(out, "<script type=\"application/json\" id=\"numbers\">");
    for (size_t i = 0; i < text.len && !text.failed; i++) {
        if (text.data[i] == '<') {
            fm__str_add(out, "\\u003c");
        } else {
            fm__str_add_char(out, text.data[i]);
        }
    }
    fm__str_add(out, "</script>\n");
    fm__str_done(&text);
}
