// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The main of a fuzz target in an ordinary build: every file of the corpus folder is run as it is, cut at
// some places, and with bytes changed by a fixed random sequence, so that each test run repeats the same few
// thousand inputs. With libFuzzer this file is left out.

#include "fuzz.h"

#include <dirent.h>
#include <string.h>

enum { MAX_SEED = 1 << 16, CUTS = 64, CHANGES = 400 };

static uint32_t next_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

// In a block of exactly its size, so that the sanitizer sees a read behind it.
static void run_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + (size == 0));
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size); // its result only steers libFuzzer
    free(copy);
}

static void run_cut(const uint8_t *data, size_t size)
{
    size_t step = size / CUTS + 1;
    for (size_t len = 0; len < size; len += step)
        run_copy(data, len);
}

static void run_changed(const uint8_t *data, size_t size, uint32_t *rng)
{
    static uint8_t changed[MAX_SEED];
    for (int i = 0; i < CHANGES && size > 0; i++) {
        memcpy(changed, data, size);
        for (uint32_t n = 1 + next_random(rng) % 4; n > 0; n--) {
            uint32_t r = next_random(rng);
            changed[next_random(rng) % size] = r % 3 == 0 ? data[(r >> 8) % size] : (uint8_t)(r >> 8);
        }
        run_copy(changed, size);
    }
}

static void run_file(const char *dir, const char *name, uint32_t *rng)
{
    static uint8_t seed[MAX_SEED];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    FUZZ_CHECK(f != NULL);
    size_t size = fread(seed, 1, sizeof seed, f);
    fclose(f);
    run_copy(seed, size);
    run_cut(seed, size);
    run_changed(seed, size, rng);
}

int main(int argc, char **argv)
{
    FUZZ_CHECK(argc == 2);
    struct dirent **entries = NULL;
    int n = scandir(argv[1], &entries, NULL, alphasort), files = 0;
    FUZZ_CHECK(n > 0);
    uint32_t rng = 2463534242u;
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            run_file(argv[1], entries[i]->d_name, &rng);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    FUZZ_CHECK(files > 0);
    printf("%d seeds\n", files);
    return 0;
}
