// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// base/str.h: names and addresses from outside. A safe name is one path component of harmless bytes; an
// address for eyes holds neither control characters nor the password that stood in it.

#include "base/str.h"
#include "fuzz.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static void check_safe_name(const char *text)
{
    char *name = fm__safe_name(FM_TAG_BASE, text);
    FUZZ_CHECK(name != NULL);
    size_t len = strlen(name);
    FUZZ_CHECK(len >= 1 && len <= 100 && name[0] != '.' && name[0] != '-');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        FUZZ_CHECK(c >= 0x80 || isalnum(c) || c == '.' || c == '_' || c == '-');
    }
    char *again = fm__safe_name(FM_TAG_BASE, name);
    FUZZ_CHECK(again != NULL && strcmp(again, name) == 0);
    fm__free(again);
    fm__free(name);
}

static void check_redaction(const char *text)
{
    char *shown = fm__redact_url(FM_TAG_BASE, text);
    FUZZ_CHECK(shown != NULL);
    for (const char *c = shown; *c != '\0'; c++)
        FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
    fm__free(shown);
}

// A password of known spelling between user and host, the input around it.
static void check_password_is_hidden(const char *text)
{
    if (strpbrk(text, "/?#@") != NULL || strstr(text, "hunter2") != NULL)
        return;
    char *url = fm__asprintf(FM_TAG_BASE, "rtsp://%s:hunter2%s@camera/%s?password=hunter2", text, text, text);
    FUZZ_CHECK(url != NULL);
    char *shown = fm__redact_url(FM_TAG_BASE, url);
    FUZZ_CHECK(shown != NULL && strstr(shown, "hunter2") == NULL);
    fm__free(shown);
    fm__free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    int64_t whole;
    double number;
    check_safe_name(text);
    check_redaction(text);
    check_password_is_hidden(text);
    (void)fm__parse_int(text, &whole);
    if (fm__parse_double(text, &number))
        FUZZ_CHECK(isfinite(number));
    free(text);
    return 0;
}
