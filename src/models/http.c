// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// One download through libcurl: https alone, also behind redirects (release files redirect to a storage
// host), bounded by what the incoming file takes, given up when nothing comes for half a minute. Failures
// that may pass (broken connection, 429, 5xx) are tried again, twice, after a pause that doubles; others are
// not. Without a resolver or a route the message says that the machine seems offline and where a file can be
// put by hand.

#include "models/http.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "fm_config.h"

#include <framemill/version.h>

#if FM_HAVE_CURL

#include <curl/curl.h>

#define ATTEMPTS 3
#define FIRST_PAUSE_MS 500
#define CONNECT_TIMEOUT_S 20L
#define STALLED_S 30L // less than a byte a second for so long
#define MAX_REDIRECTS 8L

typedef struct transfer {
    const fm_http_get *get;
    fm_incoming *to;
    fm_status write_status; // why writing stopped the transfer
    fm_error *err;
} transfer;

static size_t on_data(char *data, size_t size, size_t n, void *opaque)
{
    transfer *t = opaque;
    t->write_status = fm__incoming_write(t->to, data, size * n, t->err);
    return t->write_status == FM_OK ? size * n : 0;
}

static int on_progress(void *opaque, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    (void)up_total;
    (void)up_now;
    const fm_http_get *get = ((transfer *)opaque)->get;
    if (!get->progress) {
        return 0;
    }
    return get->progress(get->what, (uint64_t)now, (uint64_t)total, get->opaque);
}

static CURLcode set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    CURLcode rc = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    return rc == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https") : rc;
#else
    CURLcode rc = curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTPS);
    return rc == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, (long)CURLPROTO_HTTPS) : rc;
#endif
}

static CURLcode configure(CURL *curl, transfer *t)
{
    CURLcode rc = set_protocols(curl);
    if (rc != CURLE_OK) {
        return rc;
    }
    curl_easy_setopt(curl, CURLOPT_URL, t->get->url);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALLED_S);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "framemill/" FM_VERSION_STRING);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    return CURLE_OK;
}

static bool may_pass(CURLcode rc, long http)
{
    switch (rc) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    case CURLE_HTTP_RETURNED_ERROR:
        return http == 408 || http == 429 || http >= 500;
    default:
        return false;
    }
}

static fm_status failure(const transfer *t, CURLcode rc, long http, fm_error *err)
{
    const char *url = t->get->url;
    if (t->write_status != FM_OK) {
        return t->write_status; // err is filled
    }
    switch (rc) {
    case CURLE_ABORTED_BY_CALLBACK:
        return fm__fail(err, FM_CANCELED, "download of '%s' was cancelled", t->get->what);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return fm__fail_native(err, FM_NET, rc,
            "cannot reach '%s' (%s): is this machine offline? Put '%s' into a folder and give it as mirror",
            url, curl_easy_strerror(rc), t->get->what);
    case CURLE_HTTP_RETURNED_ERROR:
        return fm__fail_native(err, FM_NET, (int)http, "'%s' answered with HTTP %ld", url, http);
    default:
        return fm__fail_native(err, FM_NET, rc, "download of '%s' failed: %s", url, curl_easy_strerror(rc));
    }
}

// One attempt; *again says whether another one may help.
static fm_status attempt(transfer *t, bool *again, fm_error *err)
{
    long http = 0;
    CURL *curl = curl_easy_init();
    if (!curl) {
        return fm__fail_nomem(err, "a download");
    }
    t->write_status = FM_OK;
    CURLcode rc = configure(curl, t);
    if (rc == CURLE_OK) {
        rc = curl_easy_perform(curl);
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
    curl_easy_cleanup(curl);
    *again = t->write_status == FM_OK && may_pass(rc, http);
    return rc == CURLE_OK ? FM_OK : failure(t, rc, http, err);
}

fm_status fm__http_get(const fm_http_get *get, fm_incoming *to, fm_error *err)
{
    fm_error why = {0};
    transfer t = {.get = get, .to = to, .err = &why};
    fm_status st = FM_NET;
    int64_t pause_ms = FIRST_PAUSE_MS;
    bool again = true;
    for (int i = 0; i < ATTEMPTS && st != FM_OK && again; i++) {
        if (i > 0) {
            fm__log(get->log, FM_LOG_INFO, "models", "%s; trying again", why.msg);
            struct timespec ts = fm__timespec(pause_ms * FM_NS_PER_MS);
            nanosleep(&ts, NULL); // the caller's thread waits for the download anyway
            pause_ms *= 2;
        }
        st = fm__incoming_restart(to, &why);
        if (st != FM_OK) {
            break;
        }
        st = attempt(&t, &again, &why);
    }
    if (st != FM_OK && err) {
        *err = why;
    }
    return st;
}

#else

fm_status fm__http_get(const fm_http_get *get, fm_incoming *to, fm_error *err)
{
    (void)to;
    return fm__fail(err, FM_UNSUPPORTED,
        "this build cannot download '%s': put '%s' into a folder and give it as mirror", get->url, get->what);
}

#endif
