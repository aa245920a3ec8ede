# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""A training's log as a picture: python3 plot.py RUN/log.jsonl OUT.svg"""
import json
import pathlib
import sys

WIDTH, HEIGHT, EDGE = 720, 300, 46
BLUE, RED = "#1f5fa8", "#b0361e"


def series(path, key):
    points = [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]
    return [(p["step"], p[key]) for p in points if key in p]


def line(points, last_step, top, color):
    if not points:
        return ""
    at = [f"{EDGE + (WIDTH - 2 * EDGE) * x / last_step:.1f},{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * min(y / top, 1):.1f}" for x, y in points]
    return f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="{" ".join(at)}"/>\n'


def text(x, y, words, color="#333", anchor="middle"):
    return f'<text x="{x}" y="{y}" fill="{color}" text-anchor="{anchor}">{words}</text>\n'


def write_plot(log, out):
    losses, found = series(log, "loss"), series(log, "mAP50")
    if not losses:
        return
    last, top = max(x for x, _ in losses), max(y for _, y in losses)
    base = HEIGHT - EDGE
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">\n',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n<path d="M{EDGE} {EDGE}V{base}H{WIDTH - EDGE}V{EDGE}" fill="none" stroke="#888"/>\n',
             line(losses, last, top, BLUE), line(found, last, 1.0, RED),
             text(EDGE, EDGE - 10, f"loss, 0 to {top:.2f}", BLUE, "start"), text(WIDTH - EDGE, EDGE - 10, "mAP50 on val, 0 to 1", RED, "end"),
             text(WIDTH // 2, base + 30, f"{last} steps"), "</svg>\n"]
    pathlib.Path(out).write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write_plot(sys.argv[1], sys.argv[2])
