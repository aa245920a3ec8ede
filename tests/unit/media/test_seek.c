// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Going on behind a frame of a video. The truth is the same decoder reading from the start. Videos are made
// by ffmpeg's command: closed and open groups of pictures, B-frames, a variable frame rate, several codecs.

#include "clip.h"

#include "media/decode.h"

enum { MAX_FRAMES = 300, NEAR = 64, NEXT = 8 };

typedef struct shot {
    int64_t pts_ns;
    uint32_t crc;
    fm_decoder_mark mark;
} shot;

static fm_decoder *open_video(const char *path)
{
    fm_decoder *d = NULL;
    fm_error err = {0};
    fm_decoder_opts o = {.url = path, .kind = FM_INPUT_FILE, .threads = 2};
    assert_status(FM_OK, fm__decoder_open(&o, &d, &err), &err);
    return d;
}

static int read_all(const char *path, shot *shots)
{
    fm_decoder *d = open_video(path);
    fm_frame *f = NULL;
    int n = 0;
    while (fm__decoder_read(d, &f, NULL) == FM_OK) {
        assert_true(n < MAX_FRAMES);
        shots[n] = (shot){.pts_ns = fm_frame_pts_ns(f), .crc = fm__frame_crc(fm_frame_get_view(f))};
        fm__decoder_get_mark(d, &shots[n++].mark);
        fm_frame_unref(&f);
    }
    fm__decoder_close(&d);
    return n;
}

static void assert_goes_on(const char *path, const shot *shots, int n, int at)
{
    fm_decoder *d = open_video(path);
    fm_frame *f = NULL;
    fm_error err = {0};
    const shot *s = &shots[at];
    assert_status(FM_OK, fm__decoder_seek(d, &s->mark, (uint64_t)at, s->pts_ns, s->crc, &err), &err);
    for (int i = at + 1; i < n && i <= at + NEXT; i++) {
        fm_decoder_mark mark;
        assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
        fm__decoder_get_mark(d, &mark);
        assert_int_equal(fm_frame_index(f), i);
        assert_int_equal(fm_frame_pts_ns(f), shots[i].pts_ns);
        assert_int_equal(fm__frame_crc(fm_frame_get_view(f)), shots[i].crc);
        assert_int_equal(mark.ts, shots[i].mark.ts);
        assert_int_equal(mark.offset_ns, shots[i].mark.offset_ns);
        assert_int_equal(mark.end_ns, shots[i].mark.end_ns);
        assert_int_equal(mark.exact, shots[i].mark.exact);
        fm_frame_unref(&f);
    }
    if (at + NEXT >= n) {
        assert_int_equal(fm__decoder_read(d, &f, &err), FM_EOF);
    }
    fm__decoder_close(&d);
}

#define PICTURES "-f lavfi -i testsrc2=size=96x64:rate=25:duration=10 -pix_fmt yuv420p -threads 1 "
#define VARIABLE "-vf select='not(mod(n\\,3))+lt(mod(n\\,20)\\,9)' -vsync vfr "

static const struct {
    const char *args, *name;
    bool exact;
} videos[] = {
    {"-c:v libx264 -bf 3 -g 12 -x264-params scenecut=0", "closed.mp4", true},
    {"-c:v libx264 -bf 3 -g 17 -x264-params open-gop=1:scenecut=0:b-pyramid=normal", "open.mp4", true},
    {"-c:v libx264 -bf 3 -g 17 -x264-params open-gop=1:scenecut=0", "open.mkv", true},
    {"-c:v libx264 -bf 2 -g 250", "onekey.mp4", true},
    {"-c:v libx264 -bf 2 -g 1", "intra.mp4", true},
    {"-c:v libx264 -bf 2 -g 9 " VARIABLE, "variable.mp4", true},
    {"-c:v libx264 -bf 2 -g 9 " VARIABLE, "variable.mkv", true},
    {"-c:v libx265 -x265-params log-level=none:bframes=3:keyint=13:open-gop=1:pools=1", "hevc.mp4", true},
    {"-c:v libvpx-vp9 -g 15 -deadline realtime -cpu-used 8", "vp9.webm", true},
    {"-c:v mpeg4 -bf 2 -g 14", "mpeg4.avi", true},
    {"-c:v mpeg4 -bf 2 -g 14", "mpeg4.mp4", true},
    {"-c:v mpeg2video -bf 2 -g 15", "mpeg2.mkv", true},
    {"-c:v libx264 -bf 2 -g 11", "frames.ts", false},
    {"-c:v libx264 -bf 2 -g 10", "raw.h264", false},
};

static bool make(const char *folder, size_t i)
{
    char command[1500];
    snprintf(command, sizeof(command),
        "cd '%s' && ffmpeg -v error -y -bitexact " PICTURES "%s %s 2>/dev/null", folder, videos[i].args,
        videos[i].name);
    return system(command) == 0;
}

static void every_frame_is_found_again(void **state)
{
    (void)state;
    static shot shots[MAX_FRAMES];
    char *folder = temp_folder(), path[300];
    size_t made = 0;
    for (size_t i = 0; i < sizeof(videos) / sizeof(videos[0]); i++) {
        if (!make(folder, i)) { // an ffmpeg without this encoder
            print_message("left out: %s\n", videos[i].name);
            continue;
        }
        made++;
        int n = read_all(in_folder(folder, videos[i].name, path, sizeof(path)), shots);
        assert_true(n > NEAR);
        for (int at = 0; at < n - 1; at++) { // the last one's time is missing in AVI
            if (shots[at].mark.exact != videos[i].exact) {
                fail_msg("%s, frame %d: exact is %d", videos[i].name, at, shots[at].mark.exact);
            }
        }
        for (int at = NEAR; videos[i].exact && at < n - 1; at += at + 20 < n ? 3 : 1) {
            assert_goes_on(path, shots, n, at);
        }
    }
    remove_folder(folder);
    if (made == 0) {
        skip();
    }
}

static void another_picture_is_not_taken_for_the_frame(void **state)
{
    (void)state;
    static shot shots[MAX_FRAMES];
    char *folder = temp_folder(), path[300];
    const clip c = CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 100);
    clip_write(&c, in_folder(folder, "a.mp4", path, sizeof(path)));
    assert_int_equal(read_all(path, shots), 100);
    fm_error err = {0};
    for (int what = 0; what < 3; what++) {
        fm_decoder *d = open_video(path);
        shot s = shots[70];
        s.crc ^= what == 0;
        s.mark.ts += what == 1;
        s.mark.exact = what != 2;
        assert_status(FM_NOTFOUND, fm__decoder_seek(d, &s.mark, 70, s.pts_ns, s.crc, &err), &err);
        assert_non_null(strstr(err.msg, "frame 70 is not where it was"));
        fm__decoder_close(&d);
    }
    assert_goes_on(path, shots, 100, 70);
    remove_folder(folder);
}

// What a live source that comes back does.
static void times_go_on(void **state)
{
    (void)state;
    char *folder = temp_folder(), path[300];
    const clip c = CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 5);
    clip_write(&c, in_folder(folder, "a.mp4", path, sizeof(path)));
    fm_decoder *d = open_video(path);
    fm_frame *f = NULL;
    fm__decoder_continue(d, INT64_C(5000000000));
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(fm__decoder_read(d, &f, NULL), FM_OK);
        assert_int_equal(fm_frame_pts_ns(f), INT64_C(5000000000) + i * INT64_C(40000000));
        fm_frame_unref(&f);
    }
    fm__decoder_close(&d);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_is_found_again),
        cmocka_unit_test(another_picture_is_not_taken_for_the_frame),
        cmocka_unit_test(times_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
