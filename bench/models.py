# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Networks alone, as a part of bench/run.py: what a batch takes that has all cores to itself, and how many images a second pass, by model, backend
and batch. framemill's figures come from bench/models.c (OpenVINO, through framemill's backend, conversion from bytes included), the others' from
bench/peers/python_models.py, which reads the ONNX file that framemill has too. The other files (IR) only framemill reads."""

import pathlib
import statistics
import sys

# Name -> its ONNX file, for the peers.
MODELS = {"yolox-nano": "yolox_nano.onnx", "yolov5n": None, "yolov8n": None, "yolov8n-int8": None, "yolov8n-seg": None, "deeplabv3-mnv2": None,
          "efficientnet-lite0": "efficientnet_lite0.onnx", "mobilenetv2": None, "osnet-x0.25": "osnet_x0_25_msmt17.onnx"}
PEERS = ("onnxruntime", "opencv")
SECONDS = 2  # of each of the two measurements of a figure


def onnx_of(b, name):
    file = MODELS[name]
    found = file and (sorted(b.models.rglob(file)) or sorted(pathlib.Path(b.a.mirror).glob(file)))
    return found[0] if found else None


def one_round(b, name, batch, peers):
    r = {"framemill": b.network(name, batch, SECONDS)}
    if r["framemill"]["batch"] != batch:
        return None  # a file with its batch baked in
    for peer in peers:
        r[peer] = b.network_peer(peer, onnx_of(b, name), batch, SECONDS)
    return r


def measure(b):
    rows = []
    for name in [n for n in MODELS if n in b.fetched]:
        peers = PEERS if onnx_of(b, name) else ()
        for batch in map(int, b.a.batches.split(",")):
            rounds = [r for r in (one_round(b, name, batch, peers) for _ in range(b.a.rounds)) if r]
            if not rounds:
                continue
            rows.append({"model": name, "batch": batch, "rounds": rounds})
            said = ", ".join(f"{k} {median(rounds, k, 'images_s'):.1f}" for k in rounds[0] if rounds[0][k].get("images_s"))
            print(f"{name} batch {batch}: {said} images/s", file=sys.stderr, flush=True)
    return rows


def median(rounds, backend, key):
    return statistics.median(r[backend][key] for r in rounds)


def lines(rows):
    """Head and rows of the table."""
    head = ["model", "backend", "batch", "ms a batch", "images/s", "framemill's images/s : this"]
    out = []
    for row in rows:
        rounds, own = row["rounds"], row["rounds"][0]["framemill"]
        model = f"{row['model']} {own['width']}x{own['height']}"
        for backend in rounds[0]:
            name = "framemill (openvino)" if backend == "framemill" else f"{backend} {rounds[0][backend].get('version', '')}".strip()
            why = next((r[backend]["error"] for r in rounds if "error" in r[backend]), None)
            if why:
                out.append([model, name, row["batch"], why, "", ""])
                continue
            ratio = statistics.median(r["framemill"]["images_s"] / r[backend]["images_s"] for r in rounds)
            out.append([model, name, row["batch"], f"{median(rounds, backend, 'ms'):.2f}", f"{median(rounds, backend, 'images_s'):.1f}",
                        "" if backend == "framemill" else f"{ratio:.2f}"])
    return head, out
