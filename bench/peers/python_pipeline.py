#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The peers that framemill is measured against: the video pipelines that Python users write, in two styles.

simple: one thread a video with an inference request of its own: read a frame, letterbox, infer, decode the head, write a line, next.
async:  the same by someone who knows OpenVINO well: one thread a video decodes and letterboxes; the main thread feeds an
        AsyncInferQueue, compiled with the THROUGHPUT hint; its callbacks decode the head and write lines in frame order.
Both decode and letterbox with OpenCV (which lets go of the GIL), decode YOLOX's grid with numpy, suppress with OpenCV, write one JSON line a frame.
Prints one JSON object: frames, seconds (from the first decoder's start to the last line; loading the model is not in it), first_result_s (from
the process's start), peak_rss_bytes."""

import argparse
import json
import queue
import resource
import threading
import time

PROCESS_START = time.monotonic() - time.process_time()  # imports below are what a user waits for, too

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402

SIZE = 416


def letterbox(frame):
    """Scaled into the upper left corner of a grey square, NCHW float32; and the scale."""
    h, w = frame.shape[:2]
    scale = min(SIZE / w, SIZE / h)
    resized = cv2.resize(frame, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_LINEAR)
    square = np.full((SIZE, SIZE, 3), 114, np.uint8)
    square[: resized.shape[0], : resized.shape[1]] = resized
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None], dtype=np.float32), scale


def make_grid():
    cells, strides = [], []
    for stride in (8, 16, 32):
        n = SIZE // stride
        y, x = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        cells.append(np.stack((x, y), 2).reshape(-1, 2))
        strides.append(np.full((n * n, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


class Head:
    def __init__(self, conf, iou):
        self.conf, self.iou = conf, iou
        self.cells, self.strides = make_grid()

    def __call__(self, out, scale):
        scores = out[:, 5:] * out[:, 4:5]
        classes = scores.argmax(1)
        best = scores[np.arange(len(scores)), classes]
        keep = best >= self.conf
        if not keep.any():
            return []
        out, classes, best = out[keep], classes[keep], best[keep]
        centre = (out[:, :2] + self.cells[keep]) * self.strides[keep]
        size = np.exp(out[:, 2:4]) * self.strides[keep]
        boxes = np.concatenate((centre - size / 2, size), 1) / scale
        kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), best.tolist(), classes.tolist(), self.conf, self.iou)
        return [(int(classes[i]), float(best[i]), boxes[i].tolist()) for i in kept]


class Writer:
    """One JSONL file; lines arrive in any order and leave in frame order."""

    def __init__(self, path, stream):
        self.file, self.stream = open(path, "w", encoding="utf-8"), stream
        self.next, self.waiting, self.lock = 0, {}, threading.Lock()

    def put(self, index, pts_ms, shape, objects):
        line = json.dumps({
            "stream": self.stream, "frame": index, "pts_ms": round(pts_ms, 3), "width": shape[1], "height": shape[0],
            "objects": [{"class_id": c, "score": round(s, 4), "box": [round(v, 2) for v in b]} for c, s, b in objects]})
        with self.lock:
            self.waiting[index] = line
            while self.next in self.waiting:
                self.file.write(self.waiting.pop(self.next) + "\n")
                self.next += 1


def frames_with_pixels(path, limit):
    """(index, pts_ms, shape, blob, scale, frame) of a video's frames."""
    video = cv2.VideoCapture(path)
    index = 0
    while limit == 0 or index < limit:
        ok, frame = video.read()
        if not ok:
            return
        blob, scale = letterbox(frame)
        yield index, video.get(cv2.CAP_PROP_POS_MSEC), frame.shape, blob, scale, frame
        index += 1


def frames_of(path, limit):
    """The same without the frame, which is not kept."""
    for index, pts_ms, shape, blob, scale, _frame in frames_with_pixels(path, limit):
        yield index, pts_ms, shape, blob, scale


def warm_up(compiled):
    """One inference before the threads start. It is also needed: the binding of OpenVINO 2026.4 sets itself up at the first look at a tensor's data, and
    threads that do so together wait for each other for ever (one in a C++ static's guard holding the GIL, one in call_once waiting for it)."""
    request = compiled.create_infer_request()
    request.infer({0: np.zeros((1, 3, SIZE, SIZE), np.float32)})
    return request.get_output_tensor(0).data.shape


def run_simple(model, inputs, limit, head, writers, on_result):
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    warm_up(compiled)
    start = time.monotonic()
    counts = [0] * len(inputs)

    def one_video(number):
        request = compiled.create_infer_request()
        for index, pts_ms, shape, blob, scale in frames_of(inputs[number], limit):
            request.infer({0: blob})
            writers[number].put(index, pts_ms, shape, head(request.get_output_tensor(0).data[0], scale))
            on_result()
            counts[number] += 1

    threads = [threading.Thread(target=one_video, args=(i,)) for i in range(len(inputs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sum(counts), start


def run_async(model, inputs, limit, head, writers, on_result):
    compiled = ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"})
    warm_up(compiled)
    infer = ov.AsyncInferQueue(compiled)
    frames = queue.Queue(maxsize=30)

    def done(request, userdata):
        number, index, pts_ms, shape, scale = userdata
        writers[number].put(index, pts_ms, shape, head(request.get_output_tensor(0).data[0], scale))
        on_result()

    def decode(number):
        for index, pts_ms, shape, blob, scale in frames_of(inputs[number], limit):
            frames.put((number, index, pts_ms, shape, blob, scale))
        frames.put(None)

    infer.set_callback(done)
    start = time.monotonic()
    for i in range(len(inputs)):
        threading.Thread(target=decode, args=(i,), daemon=True).start()
    open_streams, count = len(inputs), 0
    while open_streams:
        item = frames.get()
        if item is None:
            open_streams -= 1
            continue
        number, index, pts_ms, shape, blob, scale = item
        infer.start_async({0: blob}, (number, index, pts_ms, shape, scale))
        count += 1
    infer.wait_all()
    return count, start


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inputs", nargs="+")
    p.add_argument("--style", choices=("simple", "async"), default="async")
    p.add_argument("--model", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--frames", type=int, default=0)
    p.add_argument("--conf", type=float, default=0.5)
    p.add_argument("--iou", type=float, default=0.45)
    a = p.parse_args()

    model = ov.Core().read_model(a.model)
    model.reshape([1, 3, SIZE, SIZE])
    writers = [Writer(f"{a.out}/peer-{i}.jsonl", f"peer-{i}") for i in range(len(a.inputs))]
    first = []

    def on_result():
        if not first:
            first.append(time.monotonic() - PROCESS_START)

    style = run_simple if a.style == "simple" else run_async
    count, start = style(model, a.inputs, a.frames, Head(a.conf, a.iou), writers, on_result)
    for w in writers:
        w.file.close()
    seconds = time.monotonic() - start
    print(json.dumps({"style": a.style, "frames": count, "seconds": seconds, "fps": count / seconds,
                      "first_result_s": first[0] if first else None,
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                      "openvino": ov.__version__, "opencv": cv2.__version__}))


if __name__ == "__main__":
    main()
