// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The word that was probably meant: the least optimal string alignment distance (insert, delete, replace,
// swap of neighbours; F. Damerau, "A technique for computer detection and correction of spelling errors",
// 1964) among the words offered. One letter in three may be wrong, or the word may be cut short.

#include <framemill/config.h>

#include <string.h>

#define WORD_MAX 40 // longer words are not compared: no name of ours is

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[3][WORD_MAX + 1]; // three rows of the table, used in turn
    for (size_t j = 0; j <= m; j++) {
        d[0][j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t *row = d[i % 3], *up = d[(i + 2) % 3], *upup = d[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(least(up[j], row[j - 1]) + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least(row[j], upup[j - 2] + 1);
            }
        }
    }
    return d[n % 3][m];
}

const char *fm_suggest(const char *word, const char *const *words, size_t count)
{
    size_t n = strlen(word), best = WORD_MAX;
    const char *found = NULL;
    if (n == 0 || n > WORD_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t m = strlen(words[i]);
        if (m > WORD_MAX) {
            continue;
        }
        size_t d = n >= 3 && n < m && strncmp(word, words[i], n) == 0 ? 1 : distance(word, n, words[i], m);
        if (d < best && d <= (n + 1) / 3) {
            best = d;
            found = words[i];
        }
    }
    return found;
}
