#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The detector's recipe: assignment, losses and measures against slow twins, what is exported against the network, and that a plan gives the same weights
twice, stopped or not. Exit code 77, with the reason, where PyTorch, OpenCV or OpenVINO is missing."""
import importlib.util
import json
import math
import os
import pathlib
import sys
import tempfile
import unittest

for module in ("torch", "cv2", "openvino", "onnx"):
    if importlib.util.find_spec(module) is None:
        print(f"skipped: no {module} for {sys.executable}")
        sys.exit(77)

ROOT = pathlib.Path(os.environ["FM_SOURCE_ROOT"])
sys.path.insert(0, str(ROOT / "python" / "train" / "detector"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

import assign  # noqa: E402
import data  # noqa: E402
import detect  # noqa: E402
import distill  # noqa: E402
import evaluate  # noqa: E402
import export  # noqa: E402
import loss  # noqa: E402
import measure  # noqa: E402
import model  # noqa: E402
import plot  # noqa: E402
import train  # noqa: E402

CLASSES = ["square", "disc", "bar"]
SMALL = model.Shape(classes=3, blocks=(1, 1, 1, 1, 1, 1), neck=16, head=16, head_layers=1)
PLAN = {"seed": 3, "batch": 16, "size": 64, "last_size": 96, "last": 0.34, "mosaics": 0.5, "last_mosaics": 0.0, "rate": 1e-3, "threads": 2, "pictures": 8,
        "steps": 6}


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    areas = [max(x[2] - x[0], 0) * max(x[3] - x[1], 0) for x in (a, b)]
    return both / max(areas[0] + areas[1] - both, 1e-9)


def slow_assign(scores, boxes, centers, true_boxes, labels):
    """TOOD, section 3.2, one cell and one object at a time."""
    wants = {}
    for g, (t, label) in enumerate(zip(true_boxes, labels)):
        mx, my = (t[0] + t[2]) / 2, (t[1] + t[3]) / 2
        hx, hy = (max(side, assign.LEAST_SIDE) / 2 for side in (t[2] - t[0], t[3] - t[1]))
        near = [a for a, (x, y) in enumerate(centers) if mx - hx <= x < mx + hx and my - hy <= y < my + hy]
        metric = {a: scores[a][label] ** assign.ALPHA * overlap(t, boxes[a]) ** assign.BETA for a in near}
        for a in sorted(near, key=lambda a: -metric[a])[:assign.TOP]:
            wants.setdefault(a, []).append((overlap(t, boxes[a]), g, metric[a]))
    owner = {a: max(found) for a, found in wants.items()}
    best = {}
    for iou, g, metric in owner.values():
        best[g] = (max(best.get(g, (0, 0))[0], iou), max(best.get(g, (0, 0))[1], metric))
    return {a: (g, metric * best[g][0] / max(best[g][1], 1e-12)) for a, (iou, g, metric) in owner.items()}


def random_boxes(rng, count, size, least=4):
    corner, side = rng.uniform(0, size * 0.7, (count, 2)), rng.uniform(least, size * 0.5, (count, 2))
    return np.concatenate([corner, corner + side], 1).astype(np.float32)


class Learning(unittest.TestCase):
    def test_assignment_is_its_slow_twin(self):
        rng, (centers, _) = np.random.default_rng(1), model.cells(96, 64)
        seen = 0
        for count in (0, 1, 3, 9, 20):
            true_boxes, labels = random_boxes(rng, count, 90), rng.integers(0, 3, count)
            near = random_boxes(rng, len(centers), 60) + rng.uniform(-20, 20, (len(centers), 1)).astype(np.float32)
            scores = rng.uniform(0.05, 0.95, (len(centers), 3)).astype(np.float32)
            owner, target = assign.assign(*(torch.from_numpy(v) for v in (scores, near)), centers, torch.from_numpy(true_boxes), torch.from_numpy(labels))
            want = slow_assign(scores.astype(float), near.astype(float), centers.tolist(), true_boxes.astype(float), labels)
            zero = {a for a, (g, s) in want.items() if s < 1e-9}  # where products are zero their order is nobody's
            got = {a: (int(owner[a]), float(target[a])) for a in range(len(centers)) if owner[a] >= 0}
            for a in set(want) - zero:
                self.assertEqual(got[a][0], want[a][0])
                self.assertAlmostEqual(got[a][1], want[a][1], places=4)
                seen += 1
            self.assertTrue(all(s < 1e-6 for a, (g, s) in got.items() if a not in want or a in zero))
        self.assertGreater(seen, 30)

    def test_every_object_has_a_cell_however_small(self):
        (centers, _), rng = model.cells(96, 64), np.random.default_rng(2)
        for _ in range(50):
            x, y = rng.uniform(0, 92), rng.uniform(0, 60)
            box = torch.tensor([[x, y, x + 3, y + 3]], dtype=torch.float32)
            owner, _ = assign.assign(torch.full((len(centers), 1), 0.01), torch.zeros(len(centers), 4), centers, box, torch.tensor([0]))
            self.assertGreater(int((owner == 0).sum()), 0)

    def test_varifocal_is_equation_2(self):
        logits, targets = torch.tensor([-2.0, 0.5, 3.0, -1.0]), torch.tensor([0.0, 0.8, 0.0, 0.3])
        for got, x, q in zip(loss.varifocal(logits, targets), logits.tolist(), targets.tolist()):
            p = 1 / (1 + math.exp(-x))
            want = -q * (q * math.log(p) + (1 - q) * math.log(1 - p)) if q > 0 else -0.75 * p**2 * math.log(1 - p)
            self.assertAlmostEqual(float(got), want, places=5)

    def test_giou_of_known_boxes(self):
        a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1]])
        b = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [3, 0, 4, 1]])
        for got, want in zip(loss.giou(a, b).tolist(), (1.0, 1 / 7 - 2 / 9, -0.5)):
            self.assertAlmostEqual(got, want, places=6)

    def test_loss_falls_to_nothing_where_all_is_right(self):
        grid = model.cells(64, 64)
        box = torch.tensor([[8.0, 8, 56, 40]])
        sides = model.sides_of(box, *grid)[None].clamp(min=0.01)
        owner, _ = assign.assign(torch.full((len(sides[0]), 3), 0.999), model.boxes_of(sides[0], *grid), grid[0], box, torch.tensor([1]))
        logits = torch.full((1, len(owner), 3), -20.0)
        logits[0, owner >= 0, 1] = 20.0
        total, of_class, of_box = loss.detection_loss(sides, logits, grid, [(box, torch.tensor([1]))])
        self.assertLess(float(total), 1e-3)
        worse, _, _ = loss.detection_loss(sides * 0.5, logits, grid, [(box, torch.tensor([1]))])
        self.assertGreater(float(worse), 0.5)

    def test_boxes_go_to_sides_and_back(self):
        centers, strides = model.cells(96, 64)
        self.assertEqual(len(centers), 12 * 8 + 6 * 4 + 3 * 2)
        self.assertEqual(centers[0].tolist() + centers[13].tolist() + centers[-1].tolist(), [4, 4, 12, 12, 80, 48])
        boxes = torch.from_numpy(random_boxes(np.random.default_rng(3), len(centers), 90))
        self.assertTrue(torch.allclose(model.boxes_of(model.sides_of(boxes, centers, strides), centers, strides), boxes, atol=1e-4))


class Pictures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        rng, listed = np.random.default_rng(4), []
        for i in range(8):
            image = rng.integers(60, 120, (48 + 4 * i, 80, 3), dtype=np.uint8)
            boxes, labels = np.round(random_boxes(rng, 1 + i % 3, 44, least=10)).tolist(), rng.integers(0, 3, 1 + i % 3).tolist()
            for (x0, y0, x1, y1), label in zip(boxes, labels):
                image[int(y0):int(y1), int(x0):int(x1)] = [(250, 20, 20), (20, 250, 20), (20, 20, 250)][label]
            cv2.imwrite(str(cls.folder / f"{i}.png"), image[:, :, ::-1])
            listed.append({"file": f"{i}.png", "width": 80, "height": 48 + 4 * i, "boxes": boxes, "labels": labels, "difficult": [0] * len(labels)})
        cls.listed = listed
        (cls.folder / "list.json").write_text(json.dumps(listed))
        cls.pictures = data.Pictures(cls.folder / "list.json", CLASSES)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_coco_is_read_as_the_list(self):
        tree = {"categories": [{"id": 7 + i, "name": name} for i, name in enumerate(CLASSES)] + [{"id": 99, "name": "other"}],
                "images": [{"id": i, "file_name": p["file"]} for i, p in enumerate(self.listed)], "annotations": [{"image_id": 0, "category_id": 99, "bbox": [0, 0, 9, 9]}]}
        for i, p in enumerate(self.listed):
            for (x0, y0, x1, y1), label in zip(p["boxes"], p["labels"]):
                tree["annotations"].append({"image_id": i, "category_id": 7 + label, "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0})
        (self.folder / "coco.json").write_text(json.dumps(tree))
        pictures = data.Pictures(self.folder / "coco.json", CLASSES)
        for mine, theirs in zip(pictures.boxes + pictures.labels + pictures.difficult, self.pictures.boxes + self.pictures.labels + self.pictures.difficult):
            self.assertEqual(mine.tolist(), theirs.tolist())

    def test_boxes_stay_on_their_objects(self):
        """In mosaics and single pictures, mirrored or not: what a box holds has its class's colour."""
        shares, objects = self.pictures.shares(3), 0
        for step in range(40):
            rng = np.random.default_rng(step)
            picks = rng.choice(len(shares), 4, p=shares)
            for image, boxes, labels in (data.mosaic(self.pictures, picks, rng, 96), data.single(self.pictures, picks[0], rng, 96)):
                if step % 2:
                    image, boxes = data.mirror(image, boxes)
                self.assertTrue((boxes >= 0).all() and (boxes <= 96).all())
                for (x0, y0, x1, y1), label in zip(boxes, labels):
                    part = image[math.ceil(y0) + 1:int(y1) - 1, math.ceil(x0) + 1:int(x1) - 1].reshape(-1, 3)
                    if len(part) > 20 and len(boxes) == 1:
                        self.assertGreater((part.argmax(1) == label).mean(), 0.9)
                        objects += 1
        self.assertGreater(objects, 5)

    def test_letterbox_lies_at_the_top_left(self):
        fitted, scale = data.letterbox(np.full((50, 100, 3), 7, np.uint8), 64)
        self.assertEqual((fitted.shape, scale), ((64, 64, 3), 0.64))
        self.assertTrue((fitted[:32] == 7).all() and (fitted[32:] == 114).all())

    def trained(self, steps, pause=None):
        train.prepare(PLAN["seed"], PLAN["threads"])
        training = train.Training(PLAN, self.pictures, SMALL, start)
        while training.step < steps:
            if training.step == pause:
                training.save(self.folder / "checkpoint.pt")
                torch.manual_seed(99)
                training = train.Training(PLAN, self.pictures, SMALL, start)
                training.load(self.folder / "checkpoint.pt")
                pause = None
            training.one()
        return train.digest(training.net.state_dict()), train.digest(training.mean.state_dict())

    def test_one_plan_gives_one_network_stopped_or_not(self):
        first = self.trained(6)
        self.assertEqual(first, self.trained(6))
        self.assertEqual(first, self.trained(6, pause=3))
        self.assertNotEqual(first[0], self.trained(5)[0])

    def test_another_plan_is_not_taken_up(self):
        train.prepare(1, 1)
        train.Training(PLAN, self.pictures, SMALL, start).save(self.folder / "other.pt")
        with self.assertRaises(SystemExit):
            train.Training({**PLAN, "steps": 7}, self.pictures, SMALL, start).load(self.folder / "other.pt")

    def test_it_learns_and_logs(self):
        train.prepare(1, 1)
        plan = {**PLAN, "batch": 4, "steps": 60, "last": 0.0, "rate": 4e-3, "mosaics": 0.0}
        training = train.Training(plan, self.pictures, SMALL, start)
        log = train.Log(self.folder / "log.jsonl", 0)
        train.run(training, log, self.folder, self.pictures, CLASSES)
        lines = [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line]
        self.assertLess(losses[-1], 0.9 * losses[0])
        self.assertEqual(sum("mAP50" in line for line in lines), train.VALIDATIONS)
        self.assertEqual((self.folder / "plot.svg").read_text().count("<polyline"), 2)
        train.Log(self.folder / "log.jsonl", 20)  # as when taken up after step 20
        self.assertEqual(max(json.loads(line)["step"] for line in (self.folder / "log.jsonl").read_text().splitlines()), 20)

    def test_teacher_s_doubts_keep_a_frame_out(self):
        image, boxes = np.zeros((40, 60, 3), np.uint8), np.array([[-5.0, 0, 20, 20], [30, 5, 70, 30], [0, 0, 9, 9]])
        found = distill.annotated("a.jpg", image, (boxes, np.array([0.9, 0.6, 0.3]), np.array([2, 1, 0])))
        self.assertEqual((found["boxes"], found["labels"]), ([[0, 0, 20, 20], [30, 5, 60, 30]], [2, 1]))
        self.assertIsNone(distill.annotated("a.jpg", image, (boxes, np.array([0.9, 0.4, 0.3]), np.array([2, 1, 0]))))


def start(shape):
    """Random, but with norms that fit its own numbers: without, nothing of a picture reaches the heads."""
    net = model.Net(shape).train()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        for k in range(2):
            net(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(k)))
    model.fold(net.backbone)
    return net


class Measures(unittest.TestCase):
    def test_average_precision_of_a_known_order(self):
        # found, wrong, found; two of four: precision 1 up to recall 1/4, 2/3 up to 1/2, then none
        got = measure.average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1]), 4)
        self.assertAlmostEqual(got, (26 * 1 + 25 * 2 / 3) / 101, places=9)

    def test_difficult_objects_neither_help_nor_hurt(self):
        boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 30, 11], [50, 0, 60, 10]], float)
        truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], float)
        self.assertEqual(measure.match(boxes, truth, np.array([False, True])).tolist(), [1, -1, -1, 0])
        self.assertEqual(measure.match(boxes[[0, 0]], truth, np.array([False, True])).tolist(), [1, 0])

    def test_average_precision_is_that_of_pycocotools(self):
        if importlib.util.find_spec("pycocotools") is None:
            self.skipTest("no pycocotools")
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
        rng, results, truths, listed, found = np.random.default_rng(5), [], [], [], []
        for i in range(30):
            true_boxes, labels, difficult = random_boxes(rng, 6, 100, 12), rng.integers(0, 3, 6), rng.random(6) < 0.2
            noisy = np.concatenate([true_boxes + rng.normal(0, 3, true_boxes.shape), random_boxes(rng, 4, 100, 12)])
            score, label = rng.permutation(10) / 10 + rng.random(10) * 1e-3 + i * 1e-5, np.concatenate([labels, rng.integers(0, 3, 4)])
            results.append((noisy, score, label))
            truths.append((true_boxes, labels, difficult))
            listed += [{"id": len(listed) + k + 1, "image_id": i, "category_id": int(c) + 1, "bbox": [*b[:2], *(b[2:] - b[:2])], "iscrowd": 0, "ignore": 0,
                        "area": float((b[2] - b[0]) * (b[3] - b[1]))} for k, (b, c) in enumerate(zip(true_boxes.astype(float), labels))]
            found += [{"image_id": i, "category_id": int(c) + 1, "bbox": [*b[:2], *(b[2:] - b[:2])], "score": float(s)} for b, s, c in zip(noisy, score, label)]
        truth = COCO()
        truth.dataset = {"info": {}, "images": [{"id": i} for i in range(30)], "categories": [{"id": c + 1, "name": str(c)} for c in range(3)], "annotations": listed}
        truth.createIndex()
        check = COCOeval(truth, truth.loadRes(found), "bbox")
        check.evaluate()
        check.accumulate()
        plain = [(b, c, np.zeros(len(c), bool)) for b, c, _ in truths]
        for c, ap in enumerate(measure.by_class(results, plain, 3)[0]):
            self.assertAlmostEqual(ap, float(check.eval["precision"][0, :, c, 0, 2].mean()), places=6)

    def test_suppression_is_by_class_and_by_score(self):
        boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [40, 0, 50, 10]], float)
        self.assertEqual(measure.suppress(boxes, np.array([0.5, 0.9, 0.3, 0.4]), np.array([0, 0, 1, 0])).tolist(), [1, 3, 2])

    def test_recall_and_precision_over_thresholds(self):
        results = [(np.array([[0, 0, 10, 10], [20, 0, 30, 10]], float), np.array([0.9, 0.6])), (np.array([[0, 0, 10, 10]], float), np.array([0.7]))]
        scores, recall, precision = measure.curve(results, [np.array([[0, 0, 10, 10]], float), np.array([[0, 0, 9, 10]], float)])
        self.assertEqual((scores.tolist(), recall.tolist()), ([0.9, 0.7, 0.6], [0.5, 1.0, 1.0]))
        self.assertAlmostEqual(precision[2], 2 / 3)

    def test_people_are_read_as_mot_has_them(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "gt.txt"
            path.write_text("1,4,10,20,5,6,1,-1,-1,-1\n1,5,0,0,5,6,0,-1,-1,-1\n3,4,1,2,3,4,1,-1,-1,-1\n")
            people = evaluate.read_people(path)
        self.assertEqual({k: v.tolist() for k, v in people.items()}, {1: [[10, 20, 15, 26]], 3: [[1, 2, 4, 6]]})


class Exports(unittest.TestCase):
    def test_folding_changes_nothing(self):
        torch.manual_seed(6)
        net = model.Net(SMALL)
        x = torch.randn(2, 3, 64, 96)
        net.train()(x)  # so that the norms' statistics are not those of the beginning
        net.eval()
        with torch.no_grad():
            want = net(x)
            self.assertGreater(float(want[0].std()), 1e-5)
            model.fold(net)
            for a, b in zip(net(x), want):
                self.assertTrue(torch.allclose(a, b, atol=1e-4))

    def test_files_are_the_network_and_are_read_as_it_is(self):
        torch.manual_seed(7)
        net = start(model.Shape(classes=3))
        for head in net.heads:
            torch.nn.init.normal_(head.classes.weight, std=0.1)
            torch.nn.init.normal_(head.sides.weight, std=0.05)
        net.eval()
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "classes.txt").write_text("".join(name + "\n" for name in CLASSES))
            torch.save(net.state_dict(), folder / "best.pt")
            argv, sys.argv = sys.argv, ["export.py", str(folder / "classes.txt"), str(folder / "best.pt"), str(folder), "--name", "ours"]
            try:
                export.main()
            finally:
                sys.argv = argv
            self.assertIn("labels: [square, disc, bar]", (folder / "ours.yaml").read_text())
            image = np.random.default_rng(8).integers(0, 255, (120, 160, 3), dtype=np.uint8)
            trained = detect.Trained(model.restored(net.state_dict(), model.Shape(classes=3)), 160)([image])[0]
            exported = detect.Exported(folder / "ours.onnx", 160)([image])[0]
        self.assertGreater(len(trained[0]), 5)
        self.assertGreater(np.ptp(trained[1]), 0.1)
        for a, b, near in zip(trained, exported, (1e-3 * 160, 1e-3, 0)):
            self.assertTrue(np.allclose(a, b, rtol=0, atol=near), np.abs(a - b).max())

    def test_a_file_that_differs_does_not_stay_unseen(self):
        net = export.Shipped(start(SMALL).eval()).eval()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.onnx"
            export.write_onnx(net, path)
            export.prove(net, path)
            with torch.no_grad():
                net.net.heads[0].sides.bias += 0.2
            with self.assertRaises(SystemExit):
                export.prove(net, path)

    def test_a_plot_of_nothing_is_none(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log.jsonl"
            log.write_text("")
            plot.write_plot(log, pathlib.Path(folder) / "plot.svg")
            self.assertFalse((pathlib.Path(folder) / "plot.svg").exists())


if __name__ == "__main__":
    unittest.main()
