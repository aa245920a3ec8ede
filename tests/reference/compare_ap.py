#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Does `framemill eval --coco|--voc` count as COCO's and VOC's own programs do? To 1e-6, each class and all together:

    random   the twelve figures and the curves at 0.50 against pycocotools, on random boxes: crowds, equal scores, equal boxes, pictures
             without either side, more than 100 detections, areas at the bounds, classes without objects
    voc      random XML files: pycocotools with difficult objects put outside of every area range, and VOC's average precision against
             VOCevaldet.m and VOCap.m written down again in numpy
    real     both ways, what yolox-nano finds in the validation pictures of the data folder (train/val.json)

    compare_ap.py FRAMEMILL random|voc|real

Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that, the data or the weights are missing."""

import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from setting import DATA, begin_again, skip

try:
    import numpy as np
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
except ImportError as e:
    begin_again(e)

TOLERANCE = 1e-6
FIGURES = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]
COCO_WORD = {"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tvmonitor": "tv", "diningtable": "dining table",
             "pottedplant": "potted plant"}
CONF = "0.02"


def call(*args, env=None):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, env=env)
    if p.returncode != 0:
        sys.exit(f"{args[1]} failed with {p.returncode}: {p.stderr}")
    return p.stdout


class Check:
    def __init__(self):
        self.values, self.worst, self.wrong = 0, 0.0, []

    def same(self, what, ours, theirs):
        ours = -1 if ours is None else ours
        self.values += 1
        self.worst = max(self.worst, abs(ours - theirs))
        if not abs(ours - theirs) <= TOLERANCE:
            self.wrong.append(f"{what}: {ours} here, {theirs} there")

    def coco(self, ours, truth, results):
        """ours: the JSON of framemill; truth, results: what pycocotools gets."""
        e = run_pycocotools(truth, results)
        for name, value in zip(FIGURES, e.stats, strict=True):
            self.same(f"all {name}", ours["all"][name], value)
        for k, id in enumerate(e.params.catIds):
            name = next(c["name"] for c in truth["categories"] if c["id"] == id)
            here = next(c for c in ours["classes"] if c["name"] == name)
            for key, value in zip(FIGURES, figures_of(e, k), strict=True):
                self.same(f"{name} {key}", here[key], value)
            for r, value in enumerate(e.eval["precision"][0, :, k, 0, 2]):
                self.same(f"{name} precision at {r}", -1 if here["precision_at"] is None else here["precision_at"][r], value)

    def end(self, what):
        print(f"{what}: {self.values} values, largest difference {self.worst:.1e}")
        if self.wrong or self.values < 1000:
            print("\n".join(self.wrong[:40]))
            sys.exit(1)


def run_pycocotools(truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = json.loads(json.dumps(truth))
        gt.createIndex()
        e = COCOeval(gt, gt.loadRes(json.loads(json.dumps(results))), "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    return e


def figures_of(e, k):
    """The twelve of one class, from the arrays."""
    p, r = e.eval["precision"][:, :, k], e.eval["recall"][:, k]
    values = [p[:, :, 0, 2], p[0, :, 0, 2], p[5, :, 0, 2], *(p[:, :, a, 2] for a in (1, 2, 3)),
              *(r[:, 0, m] for m in (0, 1, 2)), *(r[:, a, 2] for a in (1, 2, 3))]
    return [np.mean(v[v > -1]) if (v > -1).any() else -1 for v in values]


# ---- random boxes ----

def random_box(rng):
    side = rng.choice([rng.uniform(2, 40), rng.uniform(20, 120), rng.uniform(80, 400), 32, 96])
    ratio = rng.choice([1, rng.uniform(0.4, 2.5)])
    return [rng.uniform(0, 600), rng.uniform(0, 400), side * ratio, side / ratio]


def shaken(rng, box):
    s = rng.choice([0, 0.03, 0.1, 0.3])
    return [box[0] + rng.gauss(0, s) * box[2], box[1] + rng.gauss(0, s) * box[3],
            box[2] * rng.uniform(1 - s, 1 + s), box[3] * rng.uniform(1 - s, 1 + s)]


def random_set(rng, pictures, classes, crowds=0.1, digits=2):
    ids = rng.sample(range(1, 10 * pictures), pictures)
    cats = rng.sample(range(1, 90), classes)
    truth = {"annotations": [], "info": {"x": [1, {"y": None}]},
             "images": [{"id": i, "file_name": f"some/p{i}.jpg", "width": 640, "height": 480} for i in ids],
             "categories": [{"id": c, "name": f"class {c}"} for c in cats]}
    results = []
    absent = set(rng.sample(cats, max(1, classes // 6)))  # without objects
    for i in ids:
        few = rng.random()
        boxes = []
        for _ in range(0 if few < 0.15 else rng.randint(1, 12)):
            c, box = rng.choice(cats), random_box(rng)
            if c in absent:
                continue
            boxes.append((c, box))
            crowd = int(rng.random() < crowds)
            area = rng.choice([box[2] * box[3], 1024, 9216, box[2] * box[3] * 0.6])
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, "image_id": i, "category_id": c, "bbox": box, "area": area,
                                         "iscrowd": crowd, "ignore": int(rng.random() < 0.1), "segmentation": [[1.5, 2, 3e0]]})
            if rng.random() < 0.1:  # the same box once more
                again = dict(truth["annotations"][-1], id=len(truth["annotations"]) + 1, iscrowd=0)
                truth["annotations"].append(again)
        if rng.random() < 0.1:
            continue
        for c, box in boxes:
            for _ in range(rng.choice([0, 1, 1, 1, 2, 5])):
                c2 = c if rng.random() < 0.9 else rng.choice(cats)
                results.append({"image_id": i, "category_id": c2, "bbox": shaken(rng, box), "score": round(rng.random(), digits)})
        many = 250 if rng.random() < 0.05 else rng.randint(0, 6)
        for _ in range(many):
            results.append({"image_id": i, "category_id": cats[0] if many == 250 else rng.choice(cats), "bbox": random_box(rng),
                            "score": round(rng.random(), digits)})
    rng.shuffle(results)
    rng.shuffle(truth["annotations"])
    return truth, results


def at_random(exe, root, check):
    for seed in range(12):
        rng = random.Random(seed)
        truth, results = random_set(rng, rng.choice([3, 30, 120]), rng.choice([1, 5, 20]), digits=rng.choice([1, 2, 6]))
        if not results:
            continue
        (root / "gt.json").write_text(json.dumps(truth))
        (root / "r.json").write_text(json.dumps(results))
        ours = json.loads(call(exe, "eval", "--coco", root / "gt.json", root / "r.json", "--json", "--min-objects", 10))
        check.coco(ours, truth, results)
        # The classes that have 10 objects: mean of those alone.
        large = [c for c in ours["classes"] if c["objects"] >= 10]
        check.same("classes", ours["large"]["classes"], len(large))
        check.same("large ap", ours["large"]["ap"], np.mean([c["ap"] for c in large]) if large else -1)
        point(check, ours, truth, results)


def point(check, ours, truth, results):
    """The operating point of each class is the best F1, found by cutting at every score."""
    e = run_pycocotools(truth, results)
    for k, id in enumerate(e.params.catIds):
        here = next(c for c in ours["classes"] if c["name"] == f"class {id}")
        n = len(e.params.imgIds)
        imgs = [i for i in e.evalImgs[k * 4 * n:k * 4 * n + n] if i is not None]
        scores = np.concatenate([i["dtScores"] for i in imgs]) if imgs else np.zeros(0)
        hit = np.concatenate([i["dtMatches"][0] > 0 for i in imgs]) if imgs else np.zeros(0, bool)
        out = np.concatenate([i["dtIgnore"][0] > 0 for i in imgs]) if imgs else np.zeros(0, bool)
        objects = sum(int((i["gtIgnore"] == 0).sum()) for i in imgs)
        best = 0
        for s in np.unique(scores):
            tp, fp = int((hit & ~out & (scores >= s)).sum()), int((~hit & ~out & (scores >= s)).sum())
            best = max(best, 2 * tp / max(1, objects + tp + fp))
        p = here["point"]
        cut = scores >= p["conf"] - 1e-9
        check.same(f"class {id} f1", p["f1"], best)
        check.same(f"class {id} objects", here["objects"], objects)
        if best > 0:
            check.same(f"class {id} tp", p["tp"], int((hit & ~out & cut).sum()))
            check.same(f"class {id} fp", p["fp"], int((~hit & ~out & cut).sum()))


# ---- VOC ----

def save_xml(folder, name, objects):
    """objects: (class, difficult, xmin, ymin, xmax, ymax)"""
    text = f"<annotation>\n\t<filename>{name}.jpg</filename><!-- a <name> -->\n\t<size><width>640</width></size>\n"
    for c, difficult, *corners in objects:
        text += f"\t<object>\n\t\t<name>{c}</name><pose/>\n\t\t<difficult>{difficult}</difficult>\n\t\t<bndbox>"
        text += "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        text += "</bndbox>\n\t\t<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>\n\t</object>\n"
    (folder / f"{name}.xml").write_text(text + "</annotation>\n")


def as_coco(pictures):
    """{name: objects} as COCO's ground truth; difficult objects have an area that no range holds."""
    classes = sorted({o[0] for objects in pictures.values() for o in objects})
    truth = {"images": [], "annotations": [], "categories": [{"id": i + 1, "name": c} for i, c in enumerate(classes)]}
    for n, name in enumerate(sorted(pictures), 1):
        truth["images"].append({"id": n, "file_name": name})
        for c, difficult, x0, y0, x1, y1 in pictures[name]:
            w, h = x1 - x0 + 1, y1 - y0 + 1
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, "image_id": n, "category_id": classes.index(c) + 1,
                                         "bbox": [x0 - 1, y0 - 1, w, h], "area": -1 if difficult else w * h, "iscrowd": 0})
    return truth


def devkit(pictures, found, name):
    """VOCevaldet.m of one class. found: [(picture, score, x, y, w, h)], edges; the kit's corners are pixels inside."""
    gt = {p: [o for o in objects if o[0] == name] for p, objects in pictures.items()}
    npos = sum(1 for objects in gt.values() for o in objects if not o[1])
    if npos == 0:
        return -1
    taken = {p: [False] * len(objects) for p, objects in gt.items()}
    order = np.argsort([-f[1] for f in found], kind="stable")
    tp, fp = np.zeros(len(found)), np.zeros(len(found))
    for d, i in enumerate(order):
        picture, _, x, y, w, h = found[i]
        bb, most, at = (x + 1, y + 1, x + w, y + h), -np.inf, None
        for j, (_, _, *g) in enumerate(gt[picture]):
            iw, ih = min(bb[2], g[2]) - max(bb[0], g[0]) + 1, min(bb[3], g[3]) - max(bb[1], g[1]) + 1
            if iw > 0 and ih > 0:
                ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1) + (g[2] - g[0] + 1) * (g[3] - g[1] + 1) - iw * ih
                if iw * ih / ua > most:
                    most, at = iw * ih / ua, j
        if most < 0.5:
            fp[d] = 1
        elif not gt[picture][at][1]:
            fp[d], tp[d] = taken[picture][at], not taken[picture][at]
            taken[picture][at] = True
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    rec, prec = tp / npos, tp / np.maximum(tp + fp, 1e-300)
    mrec, mpre = np.r_[0, rec, 1], np.r_[0, prec, 0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    i = np.nonzero(mrec[1:] != mrec[:-1])[0] + 1
    return float(np.sum((mrec[i] - mrec[i - 1]) * mpre[i]))


def compare_voc(check, ours, pictures, lines):
    """lines: {picture: [(class in the ground truth, score, box)]}"""
    truth = as_coco(pictures)
    ids = {i["file_name"]: i["id"] for i in truth["images"]}
    cats = {c["name"]: c["id"] for c in truth["categories"]}
    results = [{"image_id": ids[p], "category_id": cats[c], "score": s, "bbox": list(b)}
               for p in sorted(lines) for c, s, b in lines[p] if c in cats]
    check.coco(ours, truth, results)
    aps = []
    for c in ours["classes"]:
        found = [(p, s, *b) for p in sorted(lines) for name, s, b in lines[p] if name == c["name"]]
        aps.append(devkit(pictures, found, c["name"]))
        check.same(f"VOC {c['name']}", c["voc_ap"], aps[-1])
    check.same("VOC all", ours["all"]["voc_ap"], np.mean([a for a in aps if a >= 0]))


def voc(exe, root, check):
    names = ["aeroplane", "dog", "tvmonitor", "diningtable", "pottedplant", "person"]
    for seed in range(6):
        rng = random.Random(500 + seed)
        folder, out = root / f"xml{seed}", root / f"out{seed}"
        folder.mkdir()
        out.mkdir()
        pictures, lines = {}, {}
        for n in range(60):
            name = f"2012_{n:06d}"
            objects = []
            for _ in range(rng.randint(0, 7)):
                x, y, w, h = (round(v) for v in random_box(rng))
                objects.append((rng.choice(names), int(rng.random() < 0.2), x + 1, y + 1, x + max(w, 1), y + max(h, 1)))
            pictures[name] = objects
            save_xml(folder, name, objects)
            if rng.random() < 0.1:
                continue
            lines[name] = []
            for c, _, x0, y0, x1, y1 in objects:
                for _ in range(rng.choice([0, 1, 1, 2])):
                    box = [round(v, 2) for v in shaken(rng, [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1])]
                    lines[name].append((c if rng.random() < 0.9 else rng.choice(names), round(rng.random(), 2), box))
        save_lines(out / "pictures.jsonl", lines)
        ours = json.loads(call(exe, "eval", "--voc", folder, out, "--json"))
        check.same("missing", ours["missing"], len(pictures) - len(lines))
        compare_voc(check, ours, pictures, lines)


def save_lines(path, lines):
    """As run writes them, with COCO's words."""
    with open(path, "w") as f:
        for n, (name, objects) in enumerate(sorted(lines.items())):
            f.write(json.dumps({"stream": "pictures", "frame": n, "file": f"{name}.jpg", "objects": [
                {"label": COCO_WORD.get(c, c), "class_id": 3, "score": s, "box": b, "mask": {"size": [1, 2], "counts": "a\\u00e9\""}}
                for c, s, b in objects]}) + "\n")


# ---- real pictures ----

def real(exe, root, check):
    listing, names = DATA / "train" / "val.json", DATA / "train" / "classes.txt"
    if not listing.is_file() or not names.is_file():
        skip("train/val.json is not in the data folder")
    if not (DATA / "models" / "yolox_nano.onnx").is_file():
        skip("the weights of yolox-nano are not in the data folder")
    names = names.read_text().split()
    (root / "pictures").mkdir()
    (root / "xml").mkdir()
    pictures, boxes = {}, {}
    for p in json.loads(listing.read_text()):
        stem = Path(p["file"]).stem
        os.symlink(DATA / "train" / p["file"], root / "pictures" / Path(p["file"]).name)
        boxes[stem] = [(names[c], d, b) for c, d, b in zip(p["labels"], p["difficult"], p["boxes"], strict=True)]
        pictures[stem] = [(c, d, round(b[0]) + 1, round(b[1]) + 1, max(round(b[2]), round(b[0]) + 1), max(round(b[3]), round(b[1]) + 1))
                          for c, d, b in boxes[stem]]
        save_xml(root / "xml", stem, pictures[stem])
    env = dict(os.environ, FRAMEMILL_MODELS=str(root / "models"), FRAMEMILL_MODEL_MIRROR=str(DATA / "models"),
               XDG_CACHE_HOME=str(root / "cache"))
    for key in ("MODEL_PATH", "BATCH_SIZE"):
        env.pop(key, None)
    call(exe, "models", "fetch", "yolox-nano", env=env)
    call(exe, "run", root / "pictures", "--detector", "yolox-nano", "--conf", CONF, "--out", root / "out", "--quiet", env=env)
    ours = json.loads(call(exe, "eval", "--voc", root / "xml", root / "out", "--json", "--min-objects", 10))
    back = {v: k for k, v in COCO_WORD.items()}
    frames = [json.loads(line) for line in (root / "out" / "pictures.jsonl").read_text().splitlines()]
    lines = {Path(f["file"]).stem: [(back.get(o["label"], o["label"]), o["score"], o["box"]) for o in f["objects"]] for f in frames}
    compare_voc(check, ours, pictures, lines)
    print(f"yolox-nano, {len(pictures)} pictures, VOC: AP50 {ours['all']['ap50']:.3f}, AP {ours['all']['ap']:.3f}, "
          f"VOC AP {ours['all']['voc_ap']:.3f}")

    # The same pictures as COCO, where a difficult object is a crowd.
    truth = {"images": [], "annotations": [], "categories": [{"id": i + 1, "name": n} for i, n in enumerate(names)]}
    for n, stem in enumerate(sorted(boxes), 1):
        truth["images"].append({"id": n, "file_name": f"val2017/{stem}.jpg"})
        for c, d, (x0, y0, x1, y1) in boxes[stem]:
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, "image_id": n, "category_id": names.index(c) + 1,
                                         "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": d})
    (root / "gt.json").write_text(json.dumps(truth))
    ids = {stem: n for n, stem in enumerate(sorted(boxes), 1)}
    results = [{"image_id": ids[p], "category_id": names.index(c) + 1, "score": s, "bbox": b}
               for p, found in lines.items() for c, s, b in found if c in names]
    (root / "r.json").write_text(json.dumps(results))
    for result in (root / "out", root / "r.json"):
        check.coco(json.loads(call(exe, "eval", "--coco", root / "gt.json", result, "--json")), truth, results)


def main():
    what = {"random": at_random, "voc": voc, "real": real}[sys.argv[2]]
    check = Check()
    with tempfile.TemporaryDirectory(prefix="fm-ap-") as root:
        what(sys.argv[1], Path(root), check)
    check.end(sys.argv[2])


if __name__ == "__main__":
    main()
