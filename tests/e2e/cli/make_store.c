// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Makes the tables of an empty store in a folder, for tests that fill them with rows of their own.
//
//      make_store DIR

#include "store/schema.h"
#include "store/sql.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    sqlite3 *db = NULL;
    fm_error err = {0};
    if (argc != 2 || fm__sql_open_writer(argv[1], NULL, false, &db, &err) != FM_OK ||
        fm__schema_upgrade(db, FM_SCHEMA_VERSION, NULL, &err) != FM_OK) {
        fprintf(stderr, "make_store: %s\n", argc == 2 ? err.msg : "usage: make_store DIR");
        return 1;
    }
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
