# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Enhancement, the store, the optimiser, the catalogue of models."""
import asyncio
import subprocess
import unittest

import cv2
import harness
from harness import COMMAND, DATA, HOME, SHAPES, np, scene

import framemill
from framemill import DataManager, EnhancementPipeline, ImageProcessor, PerformanceOptimizer
from framemill.tune import write_bmp


class Enhancement(unittest.TestCase):
    def test_as_the_command(self):
        picture = DATA / "images" / "dog.jpg"
        if not picture.exists():
            self.skipTest(f"{picture} is missing")
        image = cv2.imread(str(picture))[:200, :300].copy()
        source, made = HOME / "dog.png", HOME / "dog-better.png"
        cv2.imwrite(str(source), image)
        words = {"denoise": "nlm:h=6:hcolor=6", "color": "levels=0.002,gamma=0.9,saturation=1.2", "sr": "lanczos:2"}
        subprocess.run([COMMAND, "enhance", str(source), "-o", str(made), "--quiet", *[w for k, v in words.items() for w in ("--" + k, v)]], check=True)
        wanted = cv2.imread(str(made))
        self.assertEqual(wanted.shape, (400, 600, 3))
        np.testing.assert_array_equal(EnhancementPipeline(**words).enhance(image), wanted)
        rgb = EnhancementPipeline(**words, order="rgb").enhance(np.ascontiguousarray(image[..., ::-1]))
        np.testing.assert_array_equal(rgb, wanted[..., ::-1])

    def test_what_comes_out_is_its_own(self):
        e, image = EnhancementPipeline(), scene()
        before = image.copy()
        outs = [e.enhance(image) for _ in range(5)]
        e.close()
        np.testing.assert_array_equal(image, before)
        self.assertEqual(len({o.ctypes.data for o in outs}), 5)
        for o in outs:
            np.testing.assert_array_equal(o, outs[0])
        with self.assertRaises(framemill.Closed):
            e.enhance(image)

    def test_grey_and_refusals(self):
        self.assertEqual(EnhancementPipeline().enhance(np.zeros((20, 30), np.uint8)).shape, (20, 30))
        for bad in ({"denoise": "nlm-t"}, {"denoise": "much"}, {"denoise": "none", "color": "none"}, {"order": "grb"}):
            with self.assertRaises(framemill.InvalidArgument):
                EnhancementPipeline(**bad)
        with self.assertRaises(framemill.InvalidArgument):
            EnhancementPipeline().enhance(np.zeros((20, 30, 4), np.uint8))

    def test_calls_leave_nothing(self):
        e, image = EnhancementPipeline(), scene()
        for _ in range(20):
            e.enhance(image)
        own = harness.own_memory()
        for _ in range(200):
            e.enhance(image)
        self.assertEqual(harness.own_memory(), own)


class Store(unittest.TestCase):
    def test_what_was_put_is_found(self):
        folder = HOME / "store"
        with ImageProcessor(SHAPES) as p, DataManager(folder) as data:
            async def put():
                await asyncio.gather(*[data.store_frame_data(f"f{i}", scene(i), {"site": "north" if i % 2 else "south", "n": i},
                                                             result=p.run([scene(i)])[0]) for i in range(6)])
            asyncio.run(put())
            self.assertEqual(data.counts() | {"pictures": 0}, {"streams": 1, "frames": 6, "objects": 12, "tracks": 0, "features": 0,
                                                               "pictures": 0, "lost": 0})
            hits = data.search("red", where={"site": "north"}, top=10)
            self.assertEqual(len(hits), 3)
            self.assertEqual({h["label"] for h in hits}, {"red"})
            self.assertEqual(len(data.search("blue", where={"id": "f4"})), 1)
            self.assertEqual(data.search("green"), [])
            jpeg = cv2.imdecode(np.frombuffer(data.picture(hits[0]["frame_id"]), np.uint8), cv2.IMREAD_COLOR)
            self.assertLess(np.abs(jpeg[90, 80].astype(int) - 110).max(), 8)
            red = jpeg[40, 30].astype(int)
            self.assertGreater(red[2], red[0] + 150)  # red is red: B, G, R was taken as such
            with self.assertRaises(framemill.FramemillError):
                DataManager(folder)  # somebody writes already
        with self.assertRaises(framemill.Closed):
            data.counts()

    def test_by_feature(self):
        with ImageProcessor(SHAPES, embedder="colors", features=True) as p, DataManager(HOME / "features") as data:
            r = p.run([scene()])[0]
            self.assertEqual(r.features.shape[0], 2)
            np.testing.assert_allclose(np.linalg.norm(r.features, axis=1), 1, atol=1e-4)
            data.store(1, scene(), result=r, feature_model="colors")
            for i in range(2):
                best = data.search(vector=r.features[i], top=1)[0]
                self.assertEqual(best["label"], r.labels[i])
                self.assertLess(best["distance"], 1e-3)

    def test_refusals(self):
        with DataManager(HOME / "refusals") as data:
            with self.assertRaises(framemill.InvalidArgument):
                data.store(1, None)
            with self.assertRaises(framemill.InvalidArgument):
                data.store(1, np.zeros((3, 3), np.float32))
            with self.assertRaises(TypeError):
                data.store(1, scene(), {"x": object()})
            with self.assertRaises(framemill.FramemillError):
                data.search()
        with self.assertRaises(framemill.FramemillError):
            DataManager(HOME / "not there", read_only=True)


class Optimizer(unittest.TestCase):
    def test_a_batch_is_found(self):
        o = PerformanceOptimizer(SHAPES)
        batch, seconds = o.optimize_batch_size([scene(i) for i in range(3)], max_batch=2, sample_s=0.02)
        self.assertIn(batch, (1, 2))
        self.assertGreater(seconds, 0)
        with self.assertRaises(framemill.InvalidArgument):
            o.optimize_batch_size(np.zeros((2, 2, 7), np.uint8))
        with self.assertRaises(framemill.FramemillError):
            o.optimize_batch_size("/nowhere.png", max_batch=1)

    def test_bitmaps_are_read_as_they_were(self):
        rng = np.random.default_rng(2)
        for shape in ((5, 7, 3), (4, 8, 3), (6, 5)):
            image = rng.integers(0, 256, shape, np.uint8)
            path = HOME / "sample.bmp"
            write_bmp(path, image, "bgr")
            np.testing.assert_array_equal(cv2.imread(str(path)), image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
            write_bmp(path, image, "rgb")
            np.testing.assert_array_equal(cv2.imread(str(path)), image[..., ::-1] if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))


class Models(unittest.TestCase):
    def test_the_catalogue(self):
        every = framemill.models.available()
        nano = next(m for m in every if m.name == "yolox-nano")
        self.assertEqual((nano.task, nano.width, nano.height, nano.labels), ("detection", 416, 416, 80))
        self.assertIsNone(framemill.models.find("yolox-nanno"))
        with self.assertRaises(framemill.NotFound) as caught:
            framemill.fetch_model("yolox-nanno")
        self.assertIn("yolox-nano", str(caught.exception))

    def test_a_licence_is_asked_for(self):
        with self.assertRaises(framemill.FramemillError) as caught:
            framemill.fetch_model("yolov8n")
        self.assertEqual(caught.exception.status, "DENIED")


if __name__ == "__main__":
    harness.main()
