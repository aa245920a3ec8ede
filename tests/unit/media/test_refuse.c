// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What the decoder must refuse or say plainly: files that are no video, playlists and pseudo-protocols that
// would reach other files or hosts, servers that fall silent, and credentials, which no message may hold. The
// servers are threads of this test on the loopback address.

#include "clip.h"

#include "base/clock.h"
#include "media/internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#define SECRET "hunter2"

static fm_status open_input(
    const char *url, fm_input_kind kind, int64_t timeout_ns, const fm_log *log, fm_error *err)
{
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = url, .kind = kind, .threads = 1, .timeout_ns = timeout_ns, .log = log};
    fm_status st = fm__decoder_open(&opts, &d, err);
    fm__decoder_close(&d);
    return st;
}

typedef struct text_case {
    const char *name, *content;
    fm_status status;
    const char *says; // part of the message
} text_case;

static const text_case texts[] = {
    {"text.mp4", "This is a shopping list.\nMilk, bread, a network.\n", FM_FORMAT, "text.mp4"},
    {"empty.avi", "", FM_FORMAT, "is empty"},
    {"ffconcat.mp4", "ffconcat version 1.0\nfile secret.avi\n", FM_DENIED, "points to other media (concat)"},
    {"hls.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:secret.avi\n#EXT-X-ENDLIST\n", FM_DENIED,
        "points to other media (hls)"},
    {"list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n",
        FM_DENIED, "points to other media (hls)"},
    {"session.mp4",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n", FM_DENIED,
        "points to other media (sdp)"},
    {"dash.mp4",
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" "
        "profiles=\"urn:mpeg:dash:profile:isoff-live:2011\">"
        "<Period></Period></MPD>\n",
        FM_DENIED, "points to other media (dash)"},
    {"subtitle.mp4", "1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:01,000 --> 00:00:02,000\nYou\n",
        FM_UNSUPPORTED, "not a video but srt"},
};

static void names_files_that_are_no_video_and_refuses_lists(void **state)
{
    char path[600];
    fm_error err;
    const clip secret = CLIP("avi", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 3);
    clip_write(&secret, in_folder(*state, "secret.avi", path, sizeof(path)));
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const text_case *k = &texts[i];
        write_file(in_folder(*state, k->name, path, sizeof(path)), k->content, strlen(k->content));
        fm_status st = open_input(path, FM_INPUT_FILE, 0, NULL, &err);
        if (st != k->status || !strstr(err.msg, k->says)) {
            fail_msg("%s: expected %s, got %s: %s", k->name, fm_status_name(k->status), fm_status_name(st),
                err.msg);
        }
        assert_null(strchr(err.msg, '\n'));
    }
}

static void names_what_is_not_a_regular_file(void **state)
{
    char path[600];
    fm_error err;
    assert_status(FM_NOTFOUND,
        open_input(in_folder(*state, "missing.mp4", path, sizeof(path)), FM_INPUT_FILE, 0, NULL, &err), &err);
    assert_non_null(strstr(err.msg, "missing.mp4"));
    assert_status(FM_INVAL, open_input(*state, FM_INPUT_FILE, 0, NULL, &err), &err);
    assert_non_null(strstr(err.msg, "is a folder"));
    assert_int_equal(mkfifo(in_folder(*state, "fifo", path, sizeof(path)), 0600), 0);
    assert_status(FM_INVAL, open_input(path, FM_INPUT_FILE, 0, NULL, &err), &err); // at once, without waiting
}

static void takes_no_name_for_a_protocol_or_pattern(void **state)
{
    static const char *const names[] = {"concat:a.avi", "file:b.avi", "cam%03d.avi",
        "subfile,,start,0,end,9,,:x.avi", "https:c.avi", "a b#c?d=1&e.avi", "-i.avi"};
    char path[600], old[600];
    fm_error err;
    assert_non_null(getcwd(old, sizeof(old)));
    const clip c = CLIP("avi", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 3);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        clip_write(&c, in_folder(*state, names[i], path, sizeof(path)));
        assert_int_equal(chdir(*state), 0);
        assert_status(
            FM_OK, open_input(names[i], FM_INPUT_FILE, 0, NULL, &err), &err); // just the file of this name
        assert_int_equal(unlink(names[i]), 0);
        assert_status(FM_NOTFOUND, open_input(names[i], FM_INPUT_FILE, 0, NULL, &err), &err);
        assert_int_equal(chdir(old), 0);
    }
}

static void write_wav(const char *path)
{
    static uint8_t wav[44 + 16000] =
        "RIFF\x24\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0"
        "data\x80\x3e\0\0";
    write_file(path, wav, sizeof(wav));
}

// A FLAC with a cover picture: the picture is a video stream to libav, and none to us.
static void write_song_with_cover(const char *path)
{
    AVFormatContext *fmt = NULL;
    assert_true(avformat_alloc_output_context2(&fmt, NULL, "flac", path) >= 0);
    AVCodecContext *enc = avcodec_alloc_context3(avcodec_find_encoder(AV_CODEC_ID_FLAC));
    enc->sample_rate = 8000;
    enc->sample_fmt = AV_SAMPLE_FMT_S16;
    av_channel_layout_default(&enc->ch_layout, 1);
    assert_int_equal(avcodec_open2(enc, enc->codec, NULL), 0);
    AVStream *audio = avformat_new_stream(fmt, NULL);
    avcodec_parameters_from_context(audio->codecpar, enc);
    AVStream *cover = avformat_new_stream(fmt, NULL);
    cover->disposition = AV_DISPOSITION_ATTACHED_PIC;
    const clip k = CLIP("mjpeg", "mjpeg", AV_PIX_FMT_YUVJ420P, 64, 48, 1);
    AVCodecContext *jpeg = clip_encoder(&k, fmt);
    avcodec_parameters_from_context(cover->codecpar, jpeg);
    assert_true(avio_open(&fmt->pb, path, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(fmt, NULL) >= 0);

    AVPacket *p = av_packet_alloc();
    AVFrame *f = clip_picture(&k, 0);
    assert_true(avcodec_send_frame(jpeg, f) >= 0 && avcodec_receive_packet(jpeg, p) >= 0);
    p->stream_index = 1;
    assert_true(av_interleaved_write_frame(fmt, p) >= 0);
    av_frame_free(&f);
    f = av_frame_alloc();
    f->nb_samples = enc->frame_size;
    f->format = enc->sample_fmt;
    f->sample_rate = 8000;
    av_channel_layout_default(&f->ch_layout, 1);
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    memset(f->data[0], 0, (size_t)f->nb_samples * 2);
    assert_true(avcodec_send_frame(enc, f) >= 0 && avcodec_send_frame(enc, NULL) >= 0);
    while (avcodec_receive_packet(enc, p) >= 0) {
        p->stream_index = 0;
        assert_true(av_interleaved_write_frame(fmt, p) >= 0);
    }
    assert_true(av_write_trailer(fmt) >= 0);
    avio_closep(&fmt->pb);
    av_frame_free(&f);
    av_packet_free(&p);
    avcodec_free_context(&jpeg);
    avcodec_free_context(&enc);
    avformat_free_context(fmt);
}

static void sound_alone_is_no_video(void **state)
{
    char path[600];
    fm_error err;
    write_wav(in_folder(*state, "sound.wav", path, sizeof(path)));
    assert_status(FM_FORMAT, open_input(path, FM_INPUT_FILE, 0, NULL, &err), &err);
    assert_non_null(strstr(err.msg, "no video stream, only sound"));
    write_song_with_cover(in_folder(*state, "song.flac", path, sizeof(path)));
    assert_status(FM_FORMAT, open_input(path, FM_INPUT_FILE, 0, NULL, &err), &err);
    assert_non_null(strstr(err.msg, "no video stream, only sound"));
}

static void a_codec_that_hides_its_size_is_still_limited(void **state)
{
    char path[600];
    fm_error err;
    fm_decoder *d = NULL;
    fm_frame *f = NULL;
    const clip c =
        CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 640, 480, 2); // its size stands in the bit stream only
    clip_write(&c, in_folder(*state, "hidden.mp4", path, sizeof(path)));
    fm_decoder_opts opts = {.url = path, .threads = 1, .max_pixels = 640 * 480 - 1};
    fm_status st = fm__decoder_open(&opts, &d, &err);
    st = st == FM_OK ? fm__decoder_read(d, &f, &err) : st;
    assert_true(st == FM_FORMAT || st == FM_DENIED);
    assert_non_null(strstr(err.msg, "limit of 307199 pixels"));
    fm__decoder_close(&d);
}

// A server that answers one connection with fixed bytes and then closes or stays silent.
typedef struct server {
    int listener, port;
    const uint8_t *answer;
    size_t len;
    bool stays_silent;
    int stop[2]; // pipe that ends the silence
    pthread_t thread;
} server;

static void *serve(void *arg)
{
    server *s = arg;
    struct pollfd fds[2] = {{.fd = s->listener, .events = POLLIN}, {.fd = s->stop[0], .events = POLLIN}};
    while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
        int c = accept(s->listener, NULL, NULL);
        char request[4096];
        ssize_t n = recv(c, request, sizeof(request), 0);
        for (size_t done = 0; n > 0 && done < s->len;) {
            ssize_t sent = send(c, s->answer + done, s->len - done, MSG_NOSIGNAL);
            if (sent <= 0) {
                break;
            }
            done += (size_t)sent;
        }
        if (s->stays_silent) {
            poll(&fds[1], 1, -1);
        }
        close(c);
    }
    return NULL;
}

static void server_start(server *s, const void *answer, size_t len, bool stays_silent)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    *s = (server){.answer = answer, .len = len, .stays_silent = stays_silent};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &size), 0);
    s->port = ntohs(at.sin_port);
    assert_int_equal(pipe(s->stop), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(server *s)
{
    assert_int_equal(write(s->stop[1], "x", 1), 1);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->stop[1]);
    close(s->listener);
}

static char *answer_of(const char *path, bool with_length, size_t *len)
{
    size_t body = 0;
    uint8_t *data = read_file(path, &body);
    char *answer = malloc(body + 200);
    int n = with_length
                ? sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", body)
                : sprintf(answer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    memcpy(answer + n, data, body);
    free(data);
    *len = (size_t)n + body;
    return answer;
}

static void no_secret(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    (void)level;
    (void)domain;
    int *lines = opaque;
    ++*lines;
    if (strstr(msg, SECRET)) {
        fail_msg("a secret in the log: %s", msg);
    }
}

static void reads_over_http_and_knows_live_from_a_file(void **state)
{
    char path[600], url[200];
    fm_error err;
    const clip c = CLIP("mpegts", "mpeg2video", AV_PIX_FMT_YUV420P, 64, 48, 20);
    clip_write(&c, in_folder(*state, "net.ts", path, sizeof(path)));
    for (int with_length = 0; with_length < 2; with_length++) {
        size_t len = 0;
        char *answer = answer_of(path, with_length, &len);
        server s;
        server_start(&s, answer, len, false);
        snprintf(url, sizeof(url), "http://user:" SECRET "@127.0.0.1:%d/net.ts?token=" SECRET, s.port);
        int lines = 0, frames = 0;
        fm_log log = {no_secret, FM_LOG_DEBUG, &lines};
        fm_decoder *d = NULL;
        fm_decoder_opts opts = {.url = url, .kind = FM_INPUT_HTTP, .threads = 1, .log = &log};
        assert_status(FM_OK, fm__decoder_open(&opts, &d, &err), &err);
        assert_int_equal(fm__decoder_info(d)->live, !with_length);
        fm_frame *f = NULL;
        while (fm__decoder_read(d, &f, &err) == FM_OK) {
            assert_int_equal(fm_frame_wall_ns(f) != FM_PTS_NONE, !with_length);
            frames++;
            fm_frame_unref(&f);
        }
        assert_true(frames >= 19);
        assert_true(lines > 0);
        fm__decoder_close(&d);
        server_stop(&s);
        free(answer);
    }
}

typedef struct net_case {
    const char *answer;
    bool stays_silent;
    fm_input_kind kind;
    fm_status status;
    const char *says;
} net_case;

static const net_case nets[] = {
    {"", true, FM_INPUT_HTTP, FM_TIMEOUT, "nothing came for 0.3 s"},
    {"", true, FM_INPUT_RTSP, FM_TIMEOUT, "nothing came for 0.3 s"},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false, FM_INPUT_HTTP,
        FM_NOTFOUND, "404"},
    {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false, FM_INPUT_HTTP,
        FM_DENIED, "401"},
    {"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        false, FM_INPUT_HTTP, FM_OK, ""},
    {"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nConnection: close\r\n\r\n"
     "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        false, FM_INPUT_HTTP, FM_DENIED, "points to other media (hls)"},
    {"RTSP/1.0 454 Session Not Found\r\nCSeq: 1\r\n\r\n", false, FM_INPUT_RTSP, FM_OK, ""},
};

static void says_what_went_wrong_on_the_network_without_secrets(void **state)
{
    (void)state;
    char url[200];
    for (size_t i = 0; i < sizeof(nets) / sizeof(*nets); i++) {
        const net_case *k = &nets[i];
        server s;
        server_start(&s, k->answer, strlen(k->answer), k->stays_silent);
        snprintf(url, sizeof(url), "%s://admin:" SECRET "@127.0.0.1:%d/x?password=" SECRET,
            k->kind == FM_INPUT_RTSP ? "rtsp" : "http", s.port);
        fm_error err = {.status = FM_OK};
        int lines = 0;
        fm_log log = {no_secret, FM_LOG_TRACE, &lines};
        int64_t start = fm__now_ns();
        fm_status st = open_input(url, k->kind, 300 * FM_NS_PER_MS, &log, &err);
        // FM_OK in the table: any failure will do.
        if (k->status == FM_OK ? st >= 0 : st != k->status || !strstr(err.msg, k->says)) {
            fail_msg("case %d: got %s: %s", (int)i, fm_status_name(st), err.msg);
        }
        assert_null(strstr(err.msg, SECRET));
        assert_true(fm__now_ns() - start < 8 * FM_NS_PER_S);
        server_stop(&s);
    }
}

static void *cancel_when_connected(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
    return NULL;
}

static void an_open_that_blocks_can_be_cancelled(void **state)
{
    (void)state;
    server s;
    server_start(&s, "", 0, true);
    char url[100];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/x", s.port);
    atomic_bool cancel;
    atomic_init(&cancel, false);
    fm_decoder *d = NULL;
    fm_error err;
    fm_decoder_opts opts = {.url = url, .kind = FM_INPUT_HTTP, .threads = 1, .cancel = &cancel};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_connected, &cancel), 0);
    assert_status(FM_CANCELED, fm__decoder_open(&opts, &d, &err), &err);
    pthread_join(thread, NULL);
    server_stop(&s);
}

static void prints_nothing(void **state)
{
    char path[600], sink[600];
    fm_error err;
    const clip c = CLIP("avi", "mjpeg", AV_PIX_FMT_YUVJ420P, 64, 48, 10);
    clip_write(&c, in_folder(*state, "noise.avi", path, sizeof(path)));
    size_t len = 0;
    uint8_t *data = read_file(path, &len);
    memset(data + len / 3, 0xa5, len / 3);
    write_file(path, data, len);
    free(data);
    fflush(stderr);
    int saved = dup(2);
    assert_non_null(freopen(in_folder(*state, "stderr.txt", sink, sizeof(sink)), "w", stderr));
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = path, .threads = 1};
    fm_status st = fm__decoder_open(&opts, &d, &err);
    fm_frame *f = NULL;
    while (st == FM_OK && fm__decoder_read(d, &f, &err) == FM_OK) {
        fm_frame_unref(&f);
    }
    fm__decoder_close(&d);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    free(read_file(sink, &len));
    assert_int_equal(len, 0);
}

static int set_up(void **state)
{
    *state = temp_folder();
    return 0;
}

static int tear_down(void **state)
{
    remove_folder(*state);
    return 0;
}

int main(void)
{
    fm__av_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_files_that_are_no_video_and_refuses_lists),
        cmocka_unit_test(names_what_is_not_a_regular_file),
        cmocka_unit_test(takes_no_name_for_a_protocol_or_pattern),
        cmocka_unit_test(sound_alone_is_no_video),
        cmocka_unit_test(a_codec_that_hides_its_size_is_still_limited),
        cmocka_unit_test(reads_over_http_and_knows_live_from_a_file),
        cmocka_unit_test(says_what_went_wrong_on_the_network_without_secrets),
        cmocka_unit_test(an_open_that_blocks_can_be_cancelled),
        cmocka_unit_test(prints_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
