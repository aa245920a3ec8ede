// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Solves assignments for tests/reference/test_assign.py. Standard input, little-endian: problems of i32 rows,
// i32 cols, f64 limit (infinite: as many pairs as possible), f32 costs [rows][cols], infinite: forbidden.
// Prints a line a problem: the column of each row, -1: none.

#include "track/assign.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "assign_replay: %s\n", what);
    exit(1);
}

static void solve(fm__assign *a, size_t rows, size_t cols, double limit)
{
    float *cost = calloc(rows * cols + 1, sizeof *cost);
    int32_t *col_of_row = calloc(rows + 1, sizeof *col_of_row);
    if (cost == NULL || col_of_row == NULL || !fm__assign_reserve(a, rows, cols, rows * cols))
        die("no memory");
    if (fread(cost, sizeof *cost, rows * cols, stdin) != rows * cols)
        die("a problem ends early");
    fm__assign_dense(a, cost, rows, cols, limit, col_of_row);
    for (size_t row = 0; row < rows; row++)
        printf("%d ", col_of_row[row]);
    printf("\n");
    free(cost);
    free(col_of_row);
}

int main(void)
{
    fm__assign a = {0};
    int32_t shape[2];
    double limit;
    while (fread(shape, sizeof shape, 1, stdin) == 1) {
        if (fread(&limit, sizeof limit, 1, stdin) != 1 || shape[0] < 0 || shape[1] < 0)
            die("no problem");
        solve(&a, (size_t)shape[0], (size_t)shape[1], limit);
    }
    fm__assign_done(&a);
    return 0;
}
