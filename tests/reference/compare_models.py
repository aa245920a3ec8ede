#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Are segmenters and classifiers right? Runs run_model (this folder) and the reference (reference_models.py) on the photos of the
data folder and compares.

    compare_models.py RUN_MODEL MODEL              the model file as it is: the results must agree
        objects     98 % of the objects of either side that score at least 0.4 have a partner of the same class with IoU >= 0.9; the
                    mean difference of score is below 0.01; the mean IoU of masks is at least 0.97 with Ultralytics' way, 0.99 with the exact one
        classes     the five best are the same, their probabilities differ by at most 0.01
        class map   99 % of all pixels are the same; bird_segmentation.bmp has IoU >= 0.9 with the mask that came with it
    Printed, but not held to that: the same where the reference rounds a network's input once, not twice as framemill's kernel
    compare_models.py RUN_MODEL MODEL conventions  the same with one convention of the model file changed at a time (colour order, mean, scale,
                                                   fit, anchor, crop): each must show
    compare_models.py RUN_MODEL rle                run lengths are byte for byte those of pycocotools

Exit 77, a skip, names what is missing."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("FM_SOURCE_ROOT", HERE.parent.parent))
DATA = Path(os.environ.get("FM_DATA", ROOT.parent / "shared" / "data"))
SHARE = ROOT / "share" / "framemill"
CONF, STRONG, NMS_IOU = 0.3, 0.4, 0.45
NOT_PHOTOS = {"bird_segmentation_mask.bmp"}
MIN_SHARE, MIN_BOX_IOU, MAX_SCORE = 0.98, 0.9, 0.01
MIN_NATIVE, MIN_EXACT = 0.97, 0.99
MAX_PROBABILITY = 0.01
MIN_PIXELS, MIN_BIRD = 0.99, 0.9
BIRD_CLASS = 3
# What must be noticed: in the line `input: {...}`, one key's value for another.
SWAPS = [
    ("color", "bgr"),
    ("mean", "20"),
    ("scale", "200"),
    ("fit", "stretch"),
    ("fit", "letterbox"),
    ("anchor", "topleft"),
    ("anchor", "center"),
    ("pad", "0"),
    ("crop_ratio", "1.0"),
]
# One picture that is wide, one that is tall.
FEW = ["dog.jpg", "bus.jpg", "hot_dog.jpg"]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def enter(env, modules):
    """Goes on in the Python of .deps/<env>, which has the modules."""
    folder = ROOT / ".deps" / env
    python = Path(os.environ["FM_PYTHON"]) if env == "py" and "FM_PYTHON" in os.environ else folder / "bin" / "python3"
    if "FM_ENTERED" not in os.environ and python.exists():
        os.execve(str(python), [str(python), *sys.argv], dict(os.environ, FM_ENTERED="1"))
    try:
        for module in modules:
            __import__(module)
    except ImportError as error:
        skip(f"{error}; run ./bootstrap")


def photos():
    paths = sorted((DATA / "images").glob("*.jpg")) + sorted((DATA / "images").glob("*.bmp"))
    paths = [p for p in paths if p.name not in NOT_PHOTOS]
    return paths or skip("the data folder has no pictures")


def run_model(exe, yaml, pictures, work):
    args = [exe, SHARE, work / "models", work, yaml, CONF, *pictures]
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stderr}\nrun_model failed on {yaml}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["file"]: line for line in lines}


def place_model(name, text, folder):
    """A folder with the description and, as links, the weights that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in re.findall(r"path: (\S+)", text):
        link = folder / file
        if (DATA / "models" / file).exists() and not link.exists():
            link.symlink_to((DATA / "models" / file).resolve())
    if not any(f.suffix != ".yaml" for f in folder.iterdir()):
        skip(f"the weights of {name} are not in the data folder")
    yaml = folder / "model.yaml"
    yaml.write_text(text, encoding="utf-8")
    return yaml


def decode_runs(mask):
    """COCO's compressed run lengths, after its maskApi.c."""
    import numpy as np

    counts, values, i = mask["counts"].encode(), [], 0
    while i < len(counts):
        value, shift, more = 0, 0, True
        while more:
            c = counts[i] - 48
            value |= (c & 0x1F) << shift
            more = bool(c & 0x20)
            i += 1
            shift += 5
            if not more and c & 0x10:
                value |= -1 << shift
        values.append(value + values[-2] if len(values) > 2 else value)
    height, width = mask["size"]
    flat = np.repeat(np.arange(len(values)) % 2 == 1, values)
    assert flat.size == height * width, "runs do not fill the frame"
    return flat.reshape(width, height).T


def box_iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / max((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both, 1e-9)


def mask_iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def partner(obj, others):
    same = [o for o in others if o["class_id"] == obj["class_id"]]
    best = max(same, key=lambda o: box_iou(obj["box"], o["box"]), default=None)
    return best if best is not None and box_iou(obj["box"], best["box"]) >= MIN_BOX_IOU else None


def objects_of(line):
    for obj in line["objects"]:
        x, y, w, h = obj["box"]
        yield dict(obj, box=[x, y, x + w, y + h], mask=decode_runs(obj["mask"]))


def compare_objects(net, ours, pictures):
    import reference_models

    strong = found = 0
    scores, native, exact = [], [], []
    for path in pictures:
        mine = list(objects_of(ours[path.name]))
        theirs = reference_models.segment(net, path, CONF, NMS_IOU)
        for side, other in ((mine, theirs), (theirs, mine)):
            for obj in side:
                mate = partner(obj, other) if obj["score"] >= STRONG else None
                strong += obj["score"] >= STRONG
                found += mate is not None
                if mate is not None and side is mine:
                    scores.append(abs(obj["score"] - mate["score"]))
                    native.append(mask_iou(obj["mask"], mate["native"]))
                    exact.append(mask_iou(obj["mask"], mate["exact"]))
    if not scores:
        return False, "no object has a partner"
    share, score, n, e = found / strong, mean(scores), mean(native), mean(exact)
    good = share >= MIN_SHARE and score < MAX_SCORE and n >= MIN_NATIVE and e >= MIN_EXACT
    return good, (
        f"{strong} objects >= {STRONG}, {100 * share:.1f} % have a partner, mean difference of score {score:.5f}, "
        f"mean IoU of masks {n:.4f} (least {min(native):.4f}) with Ultralytics' way, {e:.4f} (least {min(exact):.4f}) with the exact one"
    )


def mean(values):
    return sum(values) / len(values)


def compare_classes(net, ours, pictures):
    import numpy as np
    import reference_models

    worst, different = 0.0, []
    for path in pictures:
        p = reference_models.classify(net, path)
        top = [int(c) for c in np.argsort(-p, kind="stable")[:5] if p[c] > 0]
        mine = {c["class_id"]: c["score"] for c in ours[path.name]["classes"]}
        worst = max([worst, *(abs(p[c] - score) for c, score in mine.items())])
        if set(mine) != set(top):
            different.append(path.name)
    return not different and worst <= MAX_PROBABILITY, (
        f"five best classes differ on {different or 'no picture'}, largest difference of probability {worst:.5f}"
    )


def compare_map(net, ours, pictures, work):
    import cv2
    import numpy as np
    import reference_models

    same, bird = [], []
    for path in pictures:
        line = ours[path.name]
        mine = np.fromfile(work / f"{path.name}.map.raw", np.uint8).reshape(line["height"], line["width"])
        same.append(float((mine == reference_models.class_map(net, path)).mean()))
        for area in line["semantic"]:
            assert abs((mine == area["class_id"]).mean() - area["area"]) < 1e-6, (path, area)
        truth = path.with_name(path.stem + "_mask.bmp")
        if truth.exists():
            bird.append(mask_iou(mine == BIRD_CLASS, cv2.imread(str(truth), cv2.IMREAD_UNCHANGED) == BIRD_CLASS))
    good = min(same) >= MIN_PIXELS and all(b >= MIN_BIRD for b in bird)
    return good, f"pixels of the same class: {mean(same):.5f}, least {min(same):.5f}; IoU with the given bird: {[round(float(b), 4) for b in bird]}"


def compare(exe, name, net, text, pictures, work):
    ours = run_model(exe, place_model(name, text, work / "described"), pictures, work)
    if "seg" in name:
        return compare_objects(net, ours, pictures)
    if name.startswith("deeplab"):
        return compare_map(net, ours, pictures, work)
    return compare_classes(net, ours, pictures)


def changed(text):
    """(what, text with it) for every convention that the description's input has."""
    line = next(l for l in text.splitlines() if l.startswith("input:"))
    for key, value in SWAPS:
        found = re.search(rf"\b{key}: (\[[^]]*\]|[^,}}]+)", line)
        if found and found.group(1) != value:
            yield f"{key}: {found.group(1)} -> {value}", text.replace(line, line.replace(found.group(0), f"{key}: {value}"))


def test_conventions(exe, name, net, text, pictures, work):
    good, told = compare(exe, name, net, text, pictures, work)
    print(f"{name}, as it is: {told}")
    for what, other in changed(text):
        agrees, told = compare(exe, name, net, other, pictures, work)
        print(f"{name}, {what}: {'NOT NOTICED' if agrees else 'noticed'}: {told}")
        good &= not agrees
    return good


def test_rle(exe, work):
    import numpy as np
    from pycocotools import mask as coco

    text = (SHARE / "models" / "yolov8n-seg.yaml").read_text(encoding="utf-8")
    pictures = photos()
    count = 0
    for line in run_model(exe, place_model("yolov8n-seg", text, work / "described"), pictures, work).values():
        for obj in line["objects"]:
            again = coco.encode(np.asfortranarray(coco.decode(obj["mask"])))
            assert again["counts"].decode() == obj["mask"]["counts"] and again["size"] == obj["mask"]["size"], line["file"]
            assert (coco.decode(obj["mask"]) == decode_runs(obj["mask"])).all()
            count += 1
    print(f"{count} masks of {len(pictures)} photos")
    return count > 0


def main():
    exe, name, *mode = sys.argv[1:]
    if name == "rle":
        enter("test", ["numpy", "pycocotools"])
    else:
        enter("py", ["cv2", "numpy", "openvino"])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if name == "rle":
            sys.exit(0 if test_rle(exe, work) else 1)
        import reference_models

        text = (SHARE / "models" / f"{name}.yaml").read_text(encoding="utf-8")
        place_model(name, text, work / "described")
        net = reference_models.Model(name, DATA / "models")
        if mode == ["conventions"]:
            good = test_conventions(exe, name, net, text, [DATA / "images" / n for n in FEW], work)
        else:
            good, told = compare(exe, name, net, text, photos(), work)
            print(f"{name}, {len(photos())} photos: {told}")
            reference_models.ROUNDING = "once"
            print(f"not held to that, numbers rounded once: {compare(exe, name, net, text, photos(), work)[1]}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
