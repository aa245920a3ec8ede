#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The peer of tracking: what a Python user writes around deep-sort-realtime, with the same networks as framemill. One thread a video: read a
frame with OpenCV, detect with OpenVINO, cut the people out, all of a frame's crops through the embedder in one batch, DeepSort.update_tracks, write
MOT text. Prints one JSON object: frames, crops, seconds (loading the models is not in it), track_s (of update_tracks alone), peak_rss_bytes."""

import argparse
import json
import pathlib
import resource
import threading
import time

import cv2
import numpy as np
import openvino as ov
from deep_sort_realtime.deepsort_tracker import DeepSort

import python_pipeline as plain

MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32) * 255
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


def crop(frame, box):
    x, y, w, h = box
    x0, y0 = max(0, int(x)), max(0, int(y))
    x1, y1 = min(frame.shape[1], int(x + w)), min(frame.shape[0], int(y + h))
    if x1 <= x0 or y1 <= y0:
        return np.zeros((3, 256, 128), np.float32)
    small = cv2.resize(frame[y0:y1, x0:x1], (128, 256), interpolation=cv2.INTER_LINEAR)
    return ((small[:, :, ::-1] - MEAN) / DEVIATION).transpose(2, 0, 1)


def embed(request, frame, boxes):
    if not boxes:
        return []
    batch = np.ascontiguousarray(np.stack([crop(frame, b) for b in boxes]), dtype=np.float32)
    features = request.infer({0: batch})[0]
    return list(features / np.linalg.norm(features, axis=1, keepdims=True))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--embedder", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--frames", type=int, default=0)
    p.add_argument("--conf", type=float, default=0.5)
    p.add_argument("--iou", type=float, default=0.45)
    p.add_argument("inputs", nargs="+")
    a = p.parse_args()
    core, head = ov.Core(), plain.Head(a.conf, a.iou)
    model = core.read_model(a.model)
    detector = core.compile_model(model, "CPU", F32)
    embedder = core.compile_model(core.read_model(a.embedder), "CPU", F32)
    plain.warm_up(detector)
    embedder.create_infer_request().infer({0: np.zeros((1, 3, 256, 128), np.float32)})[0].sum()
    counts, start = [[0, 0, 0.0] for _ in a.inputs], time.monotonic()

    def one_video(number):
        detect, look = detector.create_infer_request(), embedder.create_infer_request()
        tracker = DeepSort(max_age=30, n_init=3, max_cosine_distance=0.2, nn_budget=100, max_iou_distance=0.7, embedder=None)
        with open(pathlib.Path(a.out) / f"{number}.mot.txt", "w", encoding="ascii") as out:
            for index, _pts, shape, blob, scale, frame in plain.frames_with_pixels(a.inputs[number], a.frames):
                detect.infer({0: blob})
                people = [o for o in head(detect.get_output_tensor(0).data[0], scale) if o[0] == 0]
                features = embed(look, frame, [o[2] for o in people])
                begin = time.monotonic()
                tracks = tracker.update_tracks([(o[2], o[1], "person") for o in people], embeds=features)
                counts[number][2] += time.monotonic() - begin
                for t in tracks:
                    if t.is_confirmed() and t.time_since_update == 0:
                        x, y, w, h = t.to_ltwh(orig=True)
                        out.write(f"{index + 1},{t.track_id},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,-1,-1,-1\n")
                counts[number][0] += 1
                counts[number][1] += len(people)

    threads = [threading.Thread(target=one_video, args=(i,)) for i in range(len(a.inputs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seconds = time.monotonic() - start
    if any(c[0] == 0 for c in counts):
        raise SystemExit("a video gave no frames")
    frames, crops = sum(c[0] for c in counts), sum(c[1] for c in counts)
    print(json.dumps({"frames": frames, "crops": crops, "seconds": seconds, "fps": frames / seconds,
                      "track_ms": 1000 * sum(c[2] for c in counts) / max(1, frames),
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
