#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Is `framemill run` right? Runs the command and the reference of this folder on the same frames and compares.

    compare.py FRAMEMILL reference MODEL   against reference_detect.py: of the detections of either side that score at
                                           least 0.4, 98 % have a partner on the other side, of the same class, with
                                           IoU >= 0.9; the mean difference of score is below 0.01. On 100 frames of
                                           vtest.avi, and on the photos of the data folder. Printed, but not held to
                                           that: the same with OpenCV's own conversion to RGB, which is less exact
    compare.py FRAMEMILL batches MODEL     against itself: --batch 1, 4, 16 and --workers 1, 3 give the same objects
                                           within 0.5 pixels and 0.01 of score

Only the standard library here; the reference runs in the Python that ./bootstrap set up (or $FM_PYTHON). Exit 77, a
skip, names what is missing: that Python, the weights, ffmpeg, or the video of Debian's package opencv-doc."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("FM_SOURCE_ROOT", HERE.parent.parent))
DATA = Path(os.environ.get("FM_DATA", ROOT.parent / "shared" / "data"))
PYTHON = Path(os.environ.get("FM_PYTHON", ROOT / ".deps" / "py" / "bin" / "python3"))
VIDEO = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
WEIGHTS = {"yolox-nano": "yolox_nano.onnx", "yolov5n": "yolov5n_fp16_ir.bin", "yolov8n": "yolov8n_dyn.bin"}
NOT_PHOTOS = {"bird_segmentation_mask.bmp"}  # class numbers as grey levels
FRAMES = 100
CONF = 0.3
STRONG = 0.4
MIN_SHARE, MIN_IOU, MAX_SCORE_DIFFERENCE = 0.98, 0.9, 0.01
SAME_PIXELS, SAME_SCORE = 0.5, 0.01


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def need(model):
    if not VIDEO.is_file():
        skip(f"{VIDEO} is missing (Debian package opencv-doc)")
    if not (DATA / "models" / WEIGHTS[model]).is_file():
        skip(f"the weights of {model} are not in the data folder")


def need_python():
    if (
        not PYTHON.is_file()
        or subprocess.run([PYTHON, "-c", "import cv2, numpy, openvino"], stderr=subprocess.DEVNULL).returncode != 0
    ):
        skip("no Python with openvino and cv2 in .deps/py; run ./bootstrap")
    if shutil.which("ffmpeg") is None:
        skip("the command ffmpeg is missing")


def photos():
    paths = sorted((DATA / "images").glob("*.jpg")) + sorted((DATA / "images").glob("*.bmp"))
    return [p for p in paths if p.name not in NOT_PHOTOS]


def environment(models):
    env = dict(os.environ)
    env.update(FRAMEMILL_MODELS=str(models), FRAMEMILL_MODEL_MIRROR=str(DATA / "models"))
    env.setdefault("FRAMEMILL_SHARE", str(ROOT / "share" / "framemill"))
    env.setdefault("FRAMEMILL_PYTHON", str(PYTHON))  # a build folder of the tests does not find it by itself
    env["XDG_CACHE_HOME"] = str(models / "cache")
    env.pop("MODEL_PATH", None)
    env.pop("BATCH_SIZE", None)
    return env


def command(args, env):
    done = subprocess.run([str(a) for a in args], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(a) for a in args)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def run_framemill(exe, env, model, inputs, out, *flags):
    """{(stream, frame): objects}"""
    args = [exe, "run", *inputs, "--detector", model, "--conf", CONF, "--frames", FRAMES, "--out", out, "--quiet"]
    command([*args, *flags], env)
    result = {}
    for path in sorted(Path(out).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            frame = json.loads(line)
            result[(frame["stream"], frame["frame"])] = frame["objects"]
    return result


def run_reference(env, model, inputs, decode="exact"):
    args = [PYTHON, HERE / "reference_detect.py", "--detector", model, "--models", DATA / "models", "--decode", decode]
    text = command([*args, "--conf", CONF, "--frames", FRAMES, *inputs], env)
    frames = (json.loads(line) for line in text.splitlines())
    return {(Path(f["source"]).stem, f["frame"]): f["objects"] for f in frames}


def iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(w, 0.0) * max(h, 0.0)
    return both / max(a[2] * a[3] + b[2] * b[3] - both, 1e-9)


def partner(obj, others):
    same = [o for o in others if o["class_id"] == obj["class_id"]]
    best = max(same, key=lambda o: iou(obj["box"], o["box"]), default=None)
    return best if best is not None and iou(obj["box"], best["box"]) >= MIN_IOU else None


def share_with_partner(one, other, differences, name):
    strong = found = 0
    alone = []
    for key, objects in one.items():
        for obj in objects:
            if obj["score"] < STRONG:
                continue
            strong += 1
            mate = partner(obj, other.get(key, []))
            if mate is None:
                alone.append(f"  {name} alone: {key[0]} frame {key[1]}: {obj}")
                continue
            found += 1
            differences.append(abs(obj["score"] - mate["score"]))
    if found < MIN_SHARE * strong:
        print("\n".join(alone[:20]))
    return strong, found


def check_against_reference(label, ours, reference):
    if ours.keys() != reference.keys():
        missing = sorted(set(reference) ^ set(ours))[:5]
        sys.exit(f"{label}: the two sides saw different frames, such as {missing}")
    good = True
    for name, one, other in (("reference", reference, ours), ("framemill", ours, reference)):
        differences = []
        strong, found = share_with_partner(one, other, differences, name)
        if strong == 0:
            sys.exit(f"{label}: {name} found nothing at all")
        share, mean = found / strong, sum(differences) / max(1, len(differences))
        good &= share >= MIN_SHARE and mean < MAX_SCORE_DIFFERENCE
        print(
            f"{label}: {name}'s {strong} detections >= {STRONG}: {100 * share:.2f} % have a partner, "
            f"mean difference of score {mean:.5f}, largest {max(differences, default=0):.4f}"
        )
    return good


def test_reference(exe, env, model, work):
    ours = run_framemill(exe, env, model, [VIDEO], work / "video")
    videos = check_against_reference(f"{model}, vtest.avi", ours, run_reference(env, model, [VIDEO]))
    check_against_reference(f"{model}, vtest.avi, cv2", ours, run_reference(env, model, [VIDEO], "cv2"))
    pictures = photos()
    if not pictures:
        skip("the data folder has no pictures")
    stills = check_against_reference(
        f"{model}, {len(pictures)} photos",
        run_framemill(exe, env, model, pictures, work / "photos"),
        run_reference(env, model, pictures),
    )
    return videos and stills


def is_same(a, b):
    near = all(abs(p - q) <= SAME_PIXELS for p, q in zip(a["box"], b["box"]))
    return a["class_id"] == b["class_id"] and near and abs(a["score"] - b["score"]) <= SAME_SCORE


def unmatched(one, other):
    """Objects without an equal; one so near the threshold that the tolerance hides it may be missing."""
    lost = []
    for key, objects in one.items():
        for obj in objects:
            if obj["score"] >= CONF + SAME_SCORE and not any(is_same(obj, o) for o in other.get(key, [])):
                lost.append((key, obj))
    return lost


def test_batches(exe, env, model, work):
    settings = [("1", "1"), ("4", "1"), ("16", "1"), ("1", "3"), ("4", "3"), ("16", "3")]
    results = []
    for batch, workers in settings:
        out = work / f"batch{batch}-workers{workers}"
        results.append(run_framemill(exe, env, model, [VIDEO], out, "--batch", batch, "--workers", workers))
    count = sum(len(objects) for objects in results[0].values())
    good = count > 0
    for (batch, workers), result in zip(settings[1:], results[1:]):
        lost = unmatched(results[0], result) + unmatched(result, results[0])
        good &= not lost and result.keys() == results[0].keys()
        print(f"{model}: --batch {batch} --workers {workers}: {len(lost)} of {count} objects differ {lost[:3]}")
    return good


def main():
    exe, what, model = sys.argv[1:4]
    need(model)
    if what == "reference":
        need_python()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        env = environment(work / "models")
        command([exe, "models", "fetch", "--accept-licence", model], env)
        good = {"reference": test_reference, "batches": test_batches}[what](exe, env, model, work)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
