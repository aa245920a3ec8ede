// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Questions one may ask of the table of options (keys_table.c).

#include "app/keys.h"

#include "base/error.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

// A flag's name in a file: dashes are underscores there.
static bool same_name(const char *flag, const char *name)
{
    for (; *flag && *name; flag++, name++) {
        if (*flag != *name && !(*flag == '-' && *name == '_')) {
            return false;
        }
    }
    return *flag == *name;
}

const fm_key *fm__key_in_file(const char *name)
{
    for (size_t i = 0; i < fm__key_count; i++) {
        const fm_option *o = &fm__keys[i].option;
        if (strcmp(o->key, name) == 0 || (o->also && strcmp(o->also, name) == 0) ||
            (o->flag && !strchr(name, '-') && same_name(o->flag, name))) {
            return &fm__keys[i];
        }
    }
    return NULL;
}

const fm_key *fm__key_find(const char *name)
{
    for (size_t i = 0; i < fm__key_count; i++) {
        if (fm__keys[i].option.flag && strcmp(fm__keys[i].option.flag, name) == 0) {
            return &fm__keys[i];
        }
    }
    return fm__key_in_file(name);
}

size_t fm_option_count(void)
{
    return fm__key_count;
}

const fm_option *fm_option_get(size_t index)
{
    return index < fm__key_count ? &fm__keys[index].option : NULL;
}

const fm_option *fm_option_find(const char *name)
{
    const fm_key *key = name ? fm__key_find(name) : NULL;
    return key ? &key->option : NULL;
}

// "a, b or c" from "a b c".
static void words_text(const char *words, char *buf, size_t size)
{
    size_t n = 0;
    for (const char *w = words; *w && n + 1 < size;) {
        size_t len = strcspn(w, " ");
        const char *next = w + len + strspn(w + len, " ");
        const char *join = w == words ? "" : *next ? ", " : " or ";
        n += (size_t)snprintf(buf + n, size - n, "%s%.*s", join, (int)len, w);
        w = next;
    }
}

// "from 1 to 256, or auto"; an upper end that nobody reaches is left out.
static void range_text(const fm_option *o, const char *words, char *buf, size_t size)
{
    const char *or_words = words[0] ? ", or " : "";
    if (o->max < 1e9) {
        snprintf(buf, size, "from %g to %g%s%s", o->min, o->max, or_words, words);
    } else {
        snprintf(buf, size, "from %.0f%s%s", o->min, or_words, words);
    }
}

void fm_option_expected(const fm_option *o, char *buf, size_t size)
{
    char words[128] = "", range[256] = "";
    words_text(o->values ? o->values : "", words, sizeof(words));
    const char *or_words = words[0] ? ", or " : "";
    range_text(o, words, range, sizeof(range));
    switch (o->type) {
    case FM_OPTION_BOOL:
        snprintf(buf, size, "true or false");
        break;
    case FM_OPTION_INT:
        snprintf(buf, size, "a whole number %s", range);
        break;
    case FM_OPTION_NUMBER:
        snprintf(buf, size, "a number %s", range);
        break;
    case FM_OPTION_TEXT:
        snprintf(buf, size, "text");
        break;
    case FM_OPTION_FILE:
        snprintf(buf, size, "the path of a file");
        break;
    case FM_OPTION_DIR:
        snprintf(buf, size, "the path of a folder");
        break;
    case FM_OPTION_MODEL:
        snprintf(buf, size, "the name or path of a model%s%s", or_words, words);
        break;
    case FM_OPTION_CHOICE:
        snprintf(buf, size, "%s", words);
        break;
    case FM_OPTION_LIST:
        snprintf(buf, size, "a list of texts");
        break;
    case FM_OPTION_SIZE:
        snprintf(buf, size, "a width and a height such as 640x480");
        break;
    }
}

fm_status fm_option_check(const fm_option *option, const char *text, fm_error *err)
{
    fm_value value;
    fm_status st = fm__value_parse(option, text, &value, err);
    if (st == FM_OK) {
        fm__value_done(&value);
    }
    return st;
}
