# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Examples in docs/python.md and in docstrings run, the scripts of examples/ too, and types are right to mypy --strict."""
import doctest
import importlib
import json
import pathlib
import pkgutil
import subprocess
import unittest

import harness
from harness import DATA, HOME, ROOT

import framemill


class Docs(unittest.TestCase):
    def test_docstrings(self):
        tried = 0
        for info in pkgutil.iter_modules(framemill.__path__):
            failed, n = doctest.testmod(importlib.import_module(f"framemill.{info.name}"))
            self.assertEqual(failed, 0, info.name)
            tried += n
        self.assertGreater(tried, 5)

    def test_the_page(self):
        harness.need_model("yolox-nano")
        harness.need_model("osnet-x0.25")
        failed, n = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False,
                                     globs={"PICTURE": str(DATA / "images" / "bus.jpg"), "FOLDER": str(HOME / "page")})
        self.assertEqual(failed, 0)
        self.assertGreater(n, 10)

    def test_the_script_and_the_notebook(self):
        harness.need_model("yolox-nano")
        harness.need_model("osnet-x0.25")
        for code in ((ROOT / "examples" / "getting_started.py").read_text(), self.notebook(ROOT / "examples" / "getting_started.ipynb")):
            script = HOME / "script.py"
            script.write_text(code)
            p = subprocess.run([harness.sys.executable, str(script), str(DATA / "images" / "bus.jpg"), "testsrc:320x240@25,frames=20"],
                               capture_output=True, text=True, cwd=HOME, timeout=300)
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertRegex(p.stdout, r"bus\s+0\.\d+")

    def notebook(self, path):
        book = json.loads(path.read_text())
        self.assertTrue(all(not c.get("outputs") for c in book["cells"]))
        return "\n".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")


class Types(unittest.TestCase):
    def test_mypy(self):
        try:
            from mypy import api
        except ImportError:
            self.skipTest("mypy is missing")
        out, err, code = api.run(["--strict", "--no-error-summary", f"--cache-dir={HOME / 'mypy'}", str(ROOT / "python" / "framemill"),
                                  str(ROOT / "python" / "_framemill_abi.pyi")])
        self.assertEqual(code, 0, out + err)
        self.assertTrue(pathlib.Path(framemill.__file__).with_name("py.typed").exists())


if __name__ == "__main__":
    harness.main()
