# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Builds the C library with Meson and puts it, the model descriptions and the module that calls it into the wheel.

The library's own dependencies (libav, libvips, ...) are the system's: the wheel is for machines like the one it was built on.
OpenVINO comes as the Python package that the wheel depends on, and the library looks for it beside itself."""
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70.1
    from wheel.bdist_wheel import bdist_wheel

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# From framemill/native/ to the package openvino in the same site-packages.
OPENVINO_FROM_LIBRARY = "$ORIGIN/../../openvino/libs"
SHARED = ("models", "tools", "weights")


def tool(name):
    """A program of the build environment."""
    return shutil.which(name) or str(pathlib.Path(sys.executable).with_name(name))


class Build(build_py):
    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            raise SystemExit("an editable install is not supported: set PYTHONPATH and FRAMEMILL_LIBRARY, see docs/python.md")
        out = pathlib.Path(self.build_lib)
        self.build_library(out / "framemill" / "native")
        for name in SHARED:
            shutil.copytree(ROOT / "share" / "framemill" / name, out / "framemill" / "share" / name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("*.pt", "__pycache__"))
        subprocess.run([sys.executable, str(HERE / "tools" / "make_abi.py"), str(ROOT / "include"), str(out / "_framemill_abi.py")],
                       check=True)

    def build_library(self, out):
        build = pathlib.Path(self.get_finalized_command("build").build_temp).resolve() / "meson"
        found = importlib.util.find_spec("openvino")
        options = ["--buildtype=release", "-Dtests=false", f"-Dopenvino_rpath={OPENVINO_FROM_LIBRARY}"]
        if found and found.submodule_search_locations:
            options.append(f"-Dopenvino_dir={found.submodule_search_locations[0]}")
        # Made anew each time: what an older one remembers of its tools and of OpenVINO's place is gone with pip's environment.
        shutil.rmtree(build, ignore_errors=True)
        build.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "NINJA": tool("ninja")}
        subprocess.run([tool("meson"), "setup", str(build), str(ROOT), *options], check=True, env=env)
        plugin = "src/infer/framemill-torch.so"
        targets = ["src/libframemill.so.0"] + [plugin] * (f"build {plugin}:" in (build / "build.ninja").read_text())
        subprocess.run([tool("ninja"), "-C", str(build), *targets], check=True)
        # The library looks for its plug-in in framemill/ beside itself.
        for target, folder in zip(targets, (out, out / "framemill")):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(build / target, folder)


class Wheel(bdist_wheel):
    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        # The module that calls the library is the same for every Python 3.
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel})
