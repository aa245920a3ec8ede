// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a profile's page says and draws, from numbers made here: the verdict names the part that was made
// slow, areas stand as high as their values, and no name becomes markup.

#include "../testing.h"

#include "base/clock.h"
#include "tune/charts.h"
#include "tune/page.h"

#include <math.h>

static const char *verdict(const fm__load *l)
{
    static char buf[1024];
    fm_str s;
    fm__str_init(&s, FM_TAG_TUNE);
    fm__verdict(&s, l);
    snprintf(buf, sizeof(buf), "%s", s.data);
    fm__str_done(&s);
    return buf;
}

static void verdicts(void **state)
{
    (void)state;
    const struct {
        const char *begins, *holds;
        fm__load load;
    } cases[] = {
        {"No frame came through", "errors", {.cores = 2}},
        {"The networks set the pace: the slots of yolox-nano were busy 97 %",
            "waited 80 % of its time for room. The cores were full (1.9 of 2 busy): a smaller model",
            {.frames = 9,
                .cores = 2,
                .cores_busy = 1.9,
                .no_room = 0.8,
                .reader = 0.1,
                .reads = "decode",
                .delivery = 0.2,
                .delivers = "sink",
                .slots = 0.97,
                .model = "yolox-nano"}},
        {"The networks set the pace", "There were cores to spare (1.0 of 8 busy): more slots",
            {.frames = 9, .cores = 8, .cores_busy = 1.0, .no_room = 0.8, .slots = 0.97, .model = "m"}},
        {"The networks set the pace",
            "Other programs had the cores, too (1.0 of 2 busy; framemill's threads stood in line for one 60 "
            "%",
            {.frames = 9,
                .cores = 2,
                .cores_busy = 1.0,
                .no_room = 0.8,
                .slots = 0.5,
                .model = "m",
                .in_line = 0.6}},
        {"Delivery sets the pace: its busiest thread was at work 93 % of the time, most of it with 'sink'",
            "",
            {.frames = 9,
                .cores = 2,
                .no_room = 0.5,
                .reads = "decode",
                .reader = 0.2,
                .delivery = 0.93,
                .delivers = "sink",
                .slots = 0.3,
                .model = "m"}},
        {"Reading sets the pace: the busiest stream's thread was at work 99 % of the time, most of it with "
         "'enhance'",
            "slots of m were busy 30 %",
            {.frames = 9,
                .cores = 2,
                .reads = "enhance",
                .reader = 0.99,
                .delivery = 0.2,
                .delivers = "sink",
                .slots = 0.3,
                .model = "m"}},
        {"The clock sets the pace: the streams' threads waited 90 %", "",
            {.frames = 9, .cores = 2, .pace = 0.9, .reads = "decode", .reader = 0.1}},
        {"Nothing was busy all the time", "worked 10 %",
            {.frames = 9, .cores = 2, .reads = "decode", .reader = 0.1}},
        {"The networks set the pace", "7 frames were dropped",
            {.frames = 9,
                .cores = 2,
                .cores_busy = 2,
                .pace = 0.5,
                .slots = 0.9,
                .model = "m",
                .dropped = 7}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = verdict(&cases[i].load);
        if (strncmp(text, cases[i].begins, strlen(cases[i].begins)) != 0 || !strstr(text, cases[i].holds)) {
            fail_msg("case %zu: %s", i, text);
        }
    }
}

static void words_for_numbers(void **state)
{
    (void)state;
    char buf[32];
    const struct {
        double v;
        const char *seconds, *bytes;
    } cases[] = {{0, "0.00 ms", "0 B"}, {0.00123, "1.23 ms", "0 B"}, {0.5, "500 ms", "1 B"},
        {1.25, "1.2 s", "1 B"}, {119.94, "119.9 s", "120 B"}, {3600.0, "60 min 0 s", "3.5 KiB"},
        {1e9, "16666666 min 40 s", "954 MiB"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(fm__chart_seconds(buf, cases[i].v), cases[i].seconds);
        assert_string_equal(fm__chart_bytes(buf, cases[i].v), cases[i].bytes);
    }
    assert_string_equal(fm__chart_count(buf, 0), "0");
    assert_string_equal(fm__chart_count(buf, 999), "999");
    assert_string_equal(fm__chart_count(buf, 1234567), "1,234,567");
    assert_string_equal(fm__chart_count(buf, UINT64_MAX), "18,446,744,073,709,551,615");
}

static void areas_stand_on_one_another(void **state)
{
    (void)state;
    fm__chart_part parts[2] = {{.name = "low", .color = 3, .values = {0.25, 0.5, 0.5}},
        {.name = "high", .color = 4, .values = {0.25, 0, 0.5}}};
    fm__chart c = {.parts = parts,
        .part_count = 2,
        .seconds = 0.03,
        .bin_seconds = 0.01,
        .top = 1,
        .label = fm__chart_bytes};
    fm_str s;
    fm__str_init(&s, FM_TAG_TUNE);
    fm__chart_strip(&s, &c);
    // Down from the top: 1000 is the ground. The sums are 0.5, 0.5, 1, the lower part alone 0.25, 0.5, 0.5.
    assert_non_null(strstr(s.data, "viewBox=\"0 0 3 1000\""));
    assert_non_null(strstr(s.data, "<path class=\"c4\" d=\"M0,1000H0V500H2V0H3V1000Z\"/>"));
    assert_non_null(strstr(s.data, "<path class=\"c3\" d=\"M0,1000H0V750H1V500H3V1000Z\"/>"));
    assert_true(strstr(s.data, "class=\"c4\"") < strstr(s.data, "class=\"c3\""));
    fm__str_reset(&s);
    const double heat[FM_BINS] = {0, 8, 8};
    fm__chart_heat(&s, heat, 0.03, 0.01, 8);
    assert_non_null(strstr(s.data, "<path class=\"h8\" d=\"M1,0H3V1H1Z\"/>"));
    fm__str_reset(&s);
    const uint64_t cells[] = {0, 26, 1};
    fm__chart_bars(&s, cells, 3, "a<b");
    assert_non_null(strstr(s.data, "a&lt;b"));
    assert_null(strstr(s.data, "M1,"));
    assert_non_null(strstr(s.data, "d=\"M11,1000V38H19V1000Z\"")); // 26 of 26 * 1.04
    fm__str_done(&s);
}

/* ---- the whole page ---- */

static const char evil[] = "</script><script>alert(1)</script>\"'&\x01\xff";

static char *page_of(size_t streams, size_t threads)
{
    fm_metrics *metrics = calloc(1, sizeof(*metrics));
    fm_samples *samples = calloc(1, sizeof(*samples));
    fm_stream_report *reports = calloc(streams, sizeof(*reports));
    fm_profile_view view = {
        .width_ns = FM_BIN_NS, .count = threads, .threads = calloc(threads, sizeof(fm_profile_thread))};
    uint64_t *bins = calloc(FM_BINS, sizeof(*bins));
    for (int i = 0; i < FM_BINS; i++) {
        bins[i] = (uint64_t)(i % 2 ? FM_BIN_NS : FM_BIN_NS / 3);
    }
    for (size_t i = 0; i < streams; i++) {
        reports[i] = (fm_stream_report){.name = evil, .url = evil, .error = evil, .frames = 1};
    }
    for (size_t i = 0; i < threads; i++) {
        fm_profile_thread *t = &view.threads[i];
        snprintf(t->name, sizeof(t->name), "<i>%zu", i);
        t->life_ns = FM_NS_PER_S;
        for (int act = 0; act < FM_ACT_COUNT; act++) {
            t->bins[act] = bins;
            t->total_ns[act] = FM_NS_PER_MS;
            t->count[act] = 1;
        }
    }
    for (int i = 0; i < 100; i++) {
        fm__metrics_add(metrics, (fm_stage)(i % FM_STAGE_COUNT), i * FM_NS_PER_MS);
        fm__series_add(&samples->rows[FM_TASK_DETECTION], i * 20 * FM_NS_PER_MS, i % 8);
        fm__series_add(&samples->device, i * 20 * FM_NS_PER_MS, 1 << 20);
        for (int k = 0; k < FM_SAMPLED_STREAMS; k++) {
            fm__series_add(&samples->queued[k], i * 20 * FM_NS_PER_MS, (i + k) % 8);
        }
    }
    fm__page_model model = {.task = FM_TASK_DETECTION, .name = evil, .file = evil, .slots = 2, .largest = 8};
    fm__page_fact fact = {"settings", evil};
    fm__page page = {.machine = &fact,
        .machine_count = 1,
        .settings = &fact,
        .setting_count = 1,
        .date = "today",
        .seconds = 2.4,
        .frames = 100,
        .cores = 2,
        .metrics = metrics,
        .threads = &view,
        .samples = samples,
        .models = &model,
        .model_count = 1,
        .streams = reports,
        .stream_count = streams,
        .all_streams = streams,
        .device = evil,
        .has_device = true,
        .device_memory = {.allocated_bytes = 3 << 20, .reserved_bytes = 5 << 20, .peak_bytes = 4 << 20}};
    fm_str s;
    fm__str_init(&s, FM_TAG_TUNE);
    fm__page_html(&s, &page);
    assert_false(s.failed);
    free(metrics);
    free(samples);
    free(reports);
    free(bins);
    free(view.threads);
    return fm__str_take(&s);
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what)) {
        n++;
    }
    return n;
}

static void names_do_not_become_markup(void **state)
{
    (void)state;
    char *page = page_of(3, 5);
    assert_null(strstr(page, "<script>"));
    assert_null(strstr(page, "<i>0"));
    assert_int_equal(count_of(page, "<script"), 1);
    assert_int_equal(count_of(page, "</script"), 1);
    assert_non_null(strstr(page, "default-src 'none'"));
    // name and url and error of each stream, and once each in queue, model and its file twice, fact twice,
    // device
    assert_true(
        count_of(page, "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp; \xef\xbf\xbd") >=
        3 * 4 + 4);
    assert_null(strchr(page, '\x01'));
    const char *device = strstr(page, "<h3>Memory of ");
    assert_non_null(device);
    assert_non_null(strstr(device, "<figure><div class=\"scale\"><span>1.0 MiB</span>"));
    assert_non_null(strstr(page, "<tr><th>taken from the device</th><td>5.0 MiB</td>"));
    fm__free(page);
}

static void size_is_bounded(void **state)
{
    (void)state;
    char *page = page_of(FM_PAGE_STREAMS, 5000);
    assert_true(strlen(page) < 3 << 20);
    assert_non_null(strstr(page, "4952 more threads are in the sums only"));
    fm__free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(words_for_numbers),
        cmocka_unit_test(areas_stand_on_one_another),
        cmocka_unit_test(names_do_not_become_markup),
        cmocka_unit_test(size_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
