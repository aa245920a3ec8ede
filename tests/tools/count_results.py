#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums up Meson's own results of several build folders; the last line is "N passed, N failed, N skipped"."""

import json
import pathlib
import sys


def main() -> int:
    passed = failed = skipped = 0
    for folder in map(pathlib.Path, sys.argv[1:]):
        logs = sorted((folder / "meson-logs").glob("testlog*.json"))
        if not logs:
            print(f"{folder.name}: no test ran")
            failed += 1
        for log in logs:
            for line in log.read_text(encoding="utf-8").splitlines():
                test = json.loads(line)
                result = test["result"]
                if result in ("OK", "EXPECTEDFAIL"):
                    passed += 1
                elif result == "SKIP":
                    skipped += 1
                    print(f"skipped: {folder.name}: {test['name']}")
                else:
                    failed += 1
                    print(f"failed: {folder.name}: {test['name']} ({result})")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
