# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Pictures in, results out: what the command says of the same pixels, without a copy, whatever the array looks like."""
import gc
import json
import os
import subprocess
import threading
import unittest
import warnings

import cv2
import harness
from harness import COMMAND, DATA, HOME, SHAPES, np, scene

import framemill
from framemill import AnalysisSystem, ImageProcessor
from framemill._lib import ffi, lib
from framemill.frames import Frame, fill_view, frame_over


def boxes_of(result):
    return sorted((o["label"], *o["box"]) for o in result["objects"])


class AsTheCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for name in ("yolox-nano", "efficientnet-lite0"):
            harness.need_model(name)
        cls.settings = {"model_paths": {"detection": "yolox-nano", "classification": "efficientnet-lite0"}, "batch_size": 4}
        cls.paths = []
        for name in ("bus.jpg", "dog.jpg", "cat_720p.jpg"):
            path = HOME / (name[:-4] + ".png")
            cv2.imwrite(str(path), cv2.imread(str(DATA / "images" / name)))
            cls.paths.append(path)

    def of_the_command(self, path):
        p = subprocess.run([COMMAND, "run", str(path), "--quiet", "--detector", "yolox-nano", "--classifier", "efficientnet-lite0",
                            "--batch", "4"], capture_output=True, text=True, check=True)
        return json.loads(p.stdout)

    def test_the_same_of_the_same_pixels(self):
        wanted = [self.of_the_command(p) for p in self.paths]
        self.assertGreater(len(wanted[0]["objects"]), 2)
        bgr = [cv2.imread(str(p)) for p in self.paths]
        rgb = [np.ascontiguousarray(i[..., ::-1]) for i in bgr]
        with ImageProcessor(self.settings) as a, ImageProcessor(self.settings, color="rgb") as b:
            for got in (a.process_batch(bgr), b.process_batch(rgb), [a.process(i) for i in bgr], b.process_batch([i[..., ::-1] for i in bgr])):
                for g, w in zip(got, wanted):
                    for key in ("objects", "classes", "width", "height"):
                        self.assertEqual(g[key], w[key])

    def test_arrays_say_what_dictionaries_say(self):
        with ImageProcessor(self.settings) as p:
            r = p.run([cv2.imread(str(self.paths[0]))])[0]
        d = r.to_dict()
        self.assertEqual(json.loads(r.to_json()), d)
        self.assertEqual(len(r), len(d["objects"]))
        self.assertEqual(r.boxes.shape, (len(r), 4))
        for i, o in enumerate(d["objects"]):
            x0, y0, x1, y1 = r.boxes[i].tolist()
            np.testing.assert_allclose([x0, y0, x1 - x0, y1 - y0], o["box"], atol=0.006)
            self.assertAlmostEqual(float(r.scores[i]), o["score"], places=4)
            self.assertEqual((r.labels[i], int(r.class_ids[i])), (o["label"], o["class_id"]))
        self.assertEqual([r.class_names[c] for c in r.classes["class_id"].tolist()], [c["label"] for c in d["classes"]])
        self.assertEqual(r.label_names[0], "person")

    def test_supervision_takes_results(self):
        with ImageProcessor(self.settings) as p:
            r = p.run([cv2.imread(str(self.paths[0]))])[0]
        s = r.to_supervision()
        np.testing.assert_array_equal(s.xyxy, r.boxes)
        self.assertEqual(list(s.data["class_name"]), r.labels)
        self.assertIsNone(s.tracker_id)


class Pixels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.processor = ImageProcessor(SHAPES, pictures=True)
        cls.wanted = boxes_of(cls.processor.process(scene()))

    def test_something_is_seen(self):
        self.assertEqual([b[0] for b in self.wanted], ["blue", "red"])
        np.testing.assert_allclose(self.wanted[1][1:], [10, 20, 40, 40], atol=5)

    def test_no_pixel_is_copied(self):
        image = scene()
        r = self.processor.run([image])[0]
        self.assertEqual(r.picture.planes[0].ctypes.data, image.ctypes.data)
        self.assertTrue(np.shares_memory(r.picture.planes[0], image))
        self.assertEqual(r.picture.numpy("bgr").ctypes.data, image.ctypes.data)
        np.testing.assert_array_equal(r.picture.numpy("rgb"), image[..., ::-1])

    def test_results_are_views_of_the_librarys_memory(self):
        r = self.processor.run([scene()])[0]
        start = int(ffi.cast("uintptr_t", r._raw.dets))
        self.assertEqual(r.detections.ctypes.data, start)
        self.assertEqual(r.boxes.ctypes.data, start)
        self.assertTrue(np.shares_memory(r.scores, r.detections))
        self.assertFalse(r.boxes.flags.writeable)

    def test_arrays_outlive_result_and_processor(self):
        with ImageProcessor(SHAPES) as p:
            boxes = p.run([scene()])[0].boxes
        copy = boxes.copy()
        gc.collect()
        np.testing.assert_array_equal(boxes, copy)

    def test_rows_may_lie_anywhere(self):
        image = scene()
        wide = np.zeros((128, 300, 3), np.uint8)
        wide[:, 50:242] = image
        upside = np.ascontiguousarray(image[::-1])
        turned = np.ascontiguousarray(image[..., ::-1])
        doubled = np.repeat(image, 2, axis=0)
        for same in (wide[:, 50:242], upside[::-1], turned[..., ::-1], doubled[::2], np.asfortranarray(image).copy(order="C")):
            self.assertEqual(boxes_of(self.processor.process(same)), self.wanted)

    def test_one_row_one_column_grey(self):
        for shape in ((1, 40, 3), (40, 1, 3), (1, 1, 3), (30, 40), (30, 40, 1)):
            r = self.processor.run([np.zeros(shape, np.uint8)])[0]
            self.assertEqual((r.height, r.width), shape[:2])

    def test_what_is_no_picture_is_refused(self):
        image = scene()
        read_only = scene()
        read_only.flags.writeable = False
        self.assertEqual(boxes_of(self.processor.process(read_only)), self.wanted)
        bad = {"numpy array": [[1, 2], [3, 4]], "dtype uint8": image.astype(np.float32), "not int8": image.view(np.int8),
               "[height, width, 3]": np.zeros((4, 4, 4), np.uint8), "not [3]": np.zeros(3, np.uint8),
               "not [0, 5, 3]": np.zeros((0, 5, 3), np.uint8), "not [1, 4, 4, 3]": np.zeros((1, 4, 4, 3), np.uint8),
               "ascontiguousarray": image[:, ::2], "strides": image[:, ::-1], "follow each other": image.transpose(1, 0, 2),
               "sides": np.zeros((1, 16385), np.uint8), "NoneType": None}
        for says, one in bad.items():
            with self.assertRaises(framemill.InvalidArgument, msg=says) as caught:
                self.processor.process_batch([image, one])
            self.assertIn(says, str(caught.exception))
            self.assertIn("1", str(caught.exception))
            self.assertEqual(caught.exception.status, "INVAL")
        for not_a_list in ("text", 5, None):
            with self.assertRaises(ValueError):
                self.processor.process_batch(not_a_list)
        self.assertEqual(self.processor.process_batch([]), [])
        self.assertEqual(self.processor.process_batch(()), [])

    def test_strides_that_numpy_invents_do_not_matter(self):
        view = ffi.new("fm_frame_view *")
        one_row = np.lib.stride_tricks.as_strided(np.zeros(30, np.uint8), (1, 10, 3), (7, 3, 1))
        fill_view(view, one_row, "bgr")
        self.assertEqual(view.stride[0], 30)

    def test_frames_convert_as_opencv_does(self):
        rng = np.random.default_rng(1)
        image = rng.integers(0, 256, (33, 47, 3), np.uint8)
        frame = Frame(frame_over(image, "bgr"))
        np.testing.assert_array_equal(frame.numpy("rgb"), cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        grey = np.ascontiguousarray(image[..., 0])
        np.testing.assert_array_equal(Frame(frame_over(grey, "bgr")).numpy(), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))


class Life(unittest.TestCase):
    def test_closed_objects_say_so(self):
        p = ImageProcessor(SHAPES)
        p.close()
        p.close()
        with self.assertRaises(framemill.Closed):
            p.process(scene())
        with AnalysisSystem(SHAPES, tracker="bytetrack") as a:
            pass
        with self.assertRaises(framemill.Closed):
            a.analyze_frame(scene())

    def test_a_forked_process_is_told(self):
        p = ImageProcessor(SHAPES)
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tried here
            child = os.fork()
        if child == 0:
            said = b"nothing"
            try:
                p.process(scene())
            except framemill.Closed as e:
                said = str(e).encode()
            finally:
                os.write(write, said)
                del p  # must not wait for threads that are not there
                os._exit(0)
        _, status = os.waitpid(child, 0)
        self.assertEqual(status, 0)
        self.assertIn(b"forked", os.read(read, 1000))
        os.close(read)
        os.close(write)
        self.assertEqual(len(p.process(scene())["objects"]), 2)

    def test_threads_share_a_processor(self):
        wanted = [boxes_of(ImageProcessor(SHAPES).process(scene(i))) for i in range(8)]
        p, wrong = ImageProcessor(SHAPES, batch_size=4), []

        def work(first):
            for k in range(40):
                i = (first + k) % 8
                got = p.process_batch([scene(i), scene((i + 1) % 8)])
                if [boxes_of(g) for g in got] != [wanted[i], wanted[(i + 1) % 8]]:
                    wrong.append((first, k))

        threads = [threading.Thread(target=work, args=(t,)) for t in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_close_ends_calls_of_other_threads(self):
        p, outcomes = ImageProcessor(SHAPES | {"detector": "shapes:size=96x64:delay_us=20000"}), []

        def work():
            try:
                p.process_batch([scene()] * 200)
                outcomes.append("done")
            except (framemill.Canceled, framemill.Closed) as e:
                outcomes.append(e.status)

        thread = threading.Thread(target=work)
        thread.start()
        p.close()
        thread.join()
        self.assertIn(outcomes, (["CANCELED"], ["INVAL"]))

    def test_other_threads_run_meanwhile(self):
        # A network that waits: the other thread must get on while it does.
        p, stop, count = ImageProcessor(SHAPES | {"detector": "shapes:size=96x64:delay_us=400000"}), threading.Event(), [0]

        def work():
            while not stop.is_set():
                count[0] += 1

        thread = threading.Thread(target=work)
        thread.start()
        before = count[0]
        p.process(scene())
        self.assertGreater(count[0], before + 100)
        stop.set()
        thread.join()

    def test_ten_thousand_calls_leave_nothing(self):
        image, p = scene(), ImageProcessor(SHAPES)

        def calls(n):
            for _ in range(n):
                r = p.run([image])[0]
                self.assertEqual(r.boxes.shape, (2, 4))
                r.to_dict()
            with self.assertRaises(framemill.InvalidArgument):
                p.process(None)

        calls(500)
        gc.collect()
        own, resident = harness.own_memory(), harness.resident_bytes()
        calls(2000 if harness.SANITIZED else 10000)
        gc.collect()
        self.assertEqual(harness.own_memory(), own)
        if not harness.SANITIZED:
            self.assertLess(harness.resident_bytes() - resident, 2 << 20)

    def test_failed_inferences_raise(self):
        p = ImageProcessor(SHAPES | {"detector": "shapes:size=96x64:fail_every=2"}, batch_size=1)
        failed = 0
        for _ in range(6):
            try:
                p.process(scene())
            except framemill.BackendError:
                failed += 1
        self.assertEqual(failed, 3)
        self.assertTrue(any(r.error for _ in range(2) for r in p.run([scene()])))


class Tracks(unittest.TestCase):
    SETTINGS = SHAPES | {"tracker": "bytetrack"}

    def test_detections_and_tracks(self):
        with AnalysisSystem(self.SETTINGS) as a:
            seen = [a.analyze_frame(scene(i)) for i in range(10)]
        detections, tracks = seen[-1]
        self.assertEqual([d["label"] for d in detections], [t["label"] for t in tracks])
        ids = {d["label"]: d["track_id"] for d in detections}
        self.assertEqual(len(set(ids.values())), 2)
        for detections, tracks in seen[4:]:
            self.assertEqual({d["label"]: d["track_id"] for d in detections}, ids)
        np.testing.assert_allclose(tracks[0]["box"], detections[0]["box"], atol=4)

    def test_streams_count_and_track_for_themselves(self):
        with AnalysisSystem(self.SETTINGS, streams=["left", "right"]) as a:
            for i in range(6):
                left = a.analyze(scene(i), "left")
            right = a.analyze(scene(0), "right")
            self.assertEqual((left.stream, left.frame, right.stream, right.frame), ("left", 5, "right", 0))
            self.assertTrue((left.track_ids > 0).all())
            for bad in ("middle", 2):
                with self.assertRaises(framemill.InvalidArgument):
                    a.analyze(scene(), bad)

    def test_a_state_is_taken_up(self):
        with AnalysisSystem(self.SETTINGS) as whole, AnalysisSystem(self.SETTINGS) as a, AnalysisSystem(self.SETTINGS) as b:
            wanted = [whole.analyze(scene(i)).to_dict() for i in range(14)]
            got = [a.analyze(scene(i)).to_dict() for i in range(7)]
            state = a.save_state()
            self.assertIsInstance(state, bytes)
            b.load_state(state)
            got += [b.analyze(scene(i)).to_dict() for i in range(7, 14)]
            self.assertEqual(got, wanted)
            for bad in (b"", state[:-1], b"x" + state[1:]):
                with self.assertRaises(framemill.FramemillError):
                    b.load_state(bad)


class Settings(unittest.TestCase):
    def refuse(self, says, kind=framemill.InvalidArgument, **settings):
        with self.assertRaises(kind) as caught:
            ImageProcessor(SHAPES | settings)
        self.assertIn(says, str(caught.exception))

    def test_settings_that_are_wrong(self):
        self.refuse("did you mean 'batch_size'", batch_sise=3)
        self.refuse("there is no setting", model_paths={"detecting": "yolox-nano"})
        self.refuse("from 0 to 1", conf_threshold=2)
        self.refuse("whole number", batch_size="many")
        self.refuse("color is 'yuv'", color="yuv")
        self.refuse("normalization", normalization=3)
        self.refuse("input_size", input_size=640)
        self.refuse("did you mean 'yolox-nano'", framemill.NotFound, detector="yolox-nanno", backend="openvino")

    def test_the_originals_dictionary_is_accepted(self):
        harness.need_model("yolox-nano")
        config = {"input_size": (640, 640), "normalization": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
                  "batch_size": 16, "num_workers": 1, "model_paths": {"detection": "yolox-nano"}, "buffer_size": 30,
                  "conf_threshold": 0.5, "max_age": 30}
        with self.assertWarnsRegex(UserWarning, "yolox-nano takes 416x416"):
            ImageProcessor(config).close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ImageProcessor(config | {"input_size": (416, 416)}).close()
        with ImageProcessor({"detector_weights": "shapes:size=96x64", "backend": "ref", "storage_path": str(HOME / "kept")}) as p:
            p.process(scene())
        with framemill.DataManager(HOME / "kept", read_only=True) as data:
            self.assertEqual(data.counts()["frames"], 1)

    def test_missing_models_say_the_command(self):
        self.refuse("models fetch yolox-tiny", framemill.NotFound, detector="yolox-tiny", backend="openvino")

    def test_checkpoints(self):
        path = HOME / "anything.pt"
        path.write_bytes(b"\x80\x02}q\x00.")
        self.refuse("arch=", detector=str(path))
        torchscript = DATA / "models" / "efficientnet_lite0.pt"
        if not torchscript.exists():
            self.skipTest(f"{torchscript} is missing")
        self.assertFalse(framemill.models.is_checkpoint(torchscript))
        self.assertEqual(framemill.models.resolve(str(torchscript)), str(torchscript))

    def test_errors_carry_the_librarys(self):
        with self.assertRaises(framemill.FramemillError) as caught:
            ImageProcessor(detector="/nowhere/model.onnx")
        self.assertNotEqual(caught.exception.status, "INTERNAL")
        self.assertIn("/nowhere/model.onnx", str(caught.exception))
        self.assertEqual(ffi.string(lib.fm_status_name(-3)).decode(), "NOTFOUND")


if __name__ == "__main__":
    harness.main()
