#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders are the architecture: each one includes those before it in this order and never a sibling of its own rank, one
folder owns each third-party library, and the command uses public headers only."""

import pathlib
import re
import sys

# Ranks from the bottom up; folders of one rank are siblings.
RANKS = [
    ["base"], ["frame"], ["ops"],
    ["media", "image", "heads", "track", "infer", "search", "bus"],
    ["models", "stream", "enhance", "store"],
    ["exec"], ["pipeline"], ["tune", "sinks", "http"], ["app"],
]
RANK = {name: i for i, names in enumerate(RANKS) for name in names}

# Third-party headers and the folders that may include them.
OWNERS = {
    r"libav\w+/|libsw\w+/": {"media"},
    r"vips/": {"image"},
    r"turbojpeg\.h": {"image"},
    r"sqlite3\.h": {"store"},
    r"openvino/": {"infer"},
    r"yaml\.h": {"base"},
    r"jansson\.h": {"base"},
    r"curl/": {"models"},
    r"faiss/": {"search"},
    r"openssl/(evp|sha)\.h": {"models"},
    r"openssl/(?!evp|sha)": {"bus"},
    r"hiredis/": {"bus"},
}
PURE = {"heads", "track", "ops"}
IMPURE = re.compile(r"^(pthread|threads|stdio|fcntl|unistd|time|sys/.*)\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def includes(path: pathlib.Path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1), found.group(2)


def check_library(folder: str, target: str, quoted: bool):
    if quoted and "/" in target:
        other = target.split("/")[0]
        if other in RANK and other != folder and RANK[other] >= RANK[folder]:
            return f"{folder} may not include {other}"
    for pattern, owners in OWNERS.items():
        if re.match(pattern, target) and folder not in owners:
            return f"{target} belongs to {', '.join(sorted(owners))}"
    # Text formatting is memory in, memory out; every other use of stdio.h is input or output.
    if folder in PURE and IMPURE.match(target) and target != "stdio.h":
        return f"{folder} is pure: no {target}"
    return None


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    errors = []
    files = 0
    for path in sorted((root / "src").rglob("*.[ch]*")):
        folder = path.relative_to(root / "src").parts[0]
        if folder not in RANK:
            errors.append(f"{path.relative_to(root)}: folder {folder} has no place in the order")
            continue
        files += 1
        for number, kind, target in includes(path):
            problem = check_library(folder, target, kind == '"')
            if problem:
                errors.append(f"{path.relative_to(root)}:{number}: {problem}")
    for path in sorted((root / "cli").rglob("*.[ch]")):
        files += 1
        for number, kind, target in includes(path):
            if kind == '"' and not (path.parent / target).exists():
                errors.append(f"{path.relative_to(root)}:{number}: the command includes {target}, which is not its own")
            if kind == "<" and (root / "src" / target).exists():
                errors.append(f"{path.relative_to(root)}:{number}: the command includes {target}, which is internal")
    print("\n".join(errors) if errors else f"{files} files keep the order")
    return 1 if errors or files < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
