#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Super-resolution beside OpenVINO's Python API, which gets whole pictures: Set5, made small by Pillow's antialiased bicubic.

    fsrcnn-x2, espcn-x2, superres-x2
            luma in bytes as a grey picture: PSNR(Y) to 0.02 dB, pixels away from the edges to 1 grey level, for several tiles;
            our own network at least 35.5 dB, the colours' path too
    torch   our own network as TorchScript, as it runs on a GPU: to 1 grey level of the other form
    rgb     a bare file of three channels and free size: every pixel four times, exactly
    sizes   1x1, thin and odd pictures, smaller and larger than a tile, two tiles of it equal to 1 grey level
    memory  a picture of 6 megapixels takes little more than what Lanczos takes for it

PSNR(Y): BT.601 luma, 16..235, not rounded, two pixels at the edges left out.

    compare_superres.py FRAMEMILL fsrcnn-x2|espcn-x2|superres-x2|torch|rgb|sizes|memory

Runs in the Python of tests/requirements.txt (.deps/test) with OpenVINO of .deps/py; exit 77, a skip, where they or the data are missing."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from setting import DATA, ROOT, begin_again, skip

sys.path += map(str, (ROOT / ".deps" / "py" / "lib").glob("python3*/site-packages"))

try:
    import numpy as np
    import openvino
    import PIL.Image
except ImportError as e:
    begin_again(e)

FILES = {"fsrcnn-x2": (DATA / "models" / "FSRCNN_x2.pb", "nhwc"), "espcn-x2": (DATA / "models" / "ESPCN_x2.pb", "nhwc"),
         "superres-x2": (ROOT / "share" / "framemill" / "weights" / "superres-x2.onnx", "nchw")}
LEAST_OWN = 35.5
EDGE = 10  # small pixels that a network sees beyond the edge: zeros there, a mirror here
failures = []


def expect(is_so, what):
    print(f"{'ok  ' if is_so else 'FAIL'} {what}", flush=True)
    if not is_so:
        failures.append(what)


def luma(image):
    return np.asarray(image, dtype=np.float64) @ np.array([65.481, 128.553, 24.966]) / 255 + 16


def set5():
    for path in sorted((DATA / "sr" / "Set5").glob("*.png")):
        image = PIL.Image.open(path).convert("RGB")
        image = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
        yield path.stem, image, image.resize((image.width // 2, image.height // 2), PIL.Image.BICUBIC)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a - b)[2:-2, 2:-2] ** 2))


class Command:
    def __init__(self, program, folder):
        self.program, self.dir = program, Path(folder)
        self.env = os.environ | {"FRAMEMILL_MODELS": f"{folder}/models", "FRAMEMILL_MODEL_MIRROR": str(DATA / "models"),
                                 "FRAMEMILL_SHARE": str(ROOT / "share" / "framemill"), "TBB_ENABLE_SANITIZERS": "1",
                                 # LeakSanitizer's tracer crashes on libtorch's threads now and then; leaks are looked for by other tests
                                 "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}

    def call(self, *args):
        p = subprocess.run([self.program, *map(str, args)], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if "not in this build" in p.stderr or "framemill-torch.so" in p.stderr:
            skip(p.stderr.strip())
        if p.returncode:
            sys.exit(f"{args}: exit {p.returncode}: {p.stderr}")

    def enlarge(self, image, *args):
        source, target = self.dir / "in.png", self.dir / "out.png"
        image.save(source)
        self.call("enhance", source, "-o", target, *args)
        return PIL.Image.open(target).convert("RGB")


def whole(model):
    """A function: luma in bytes -> luma twice as large in bytes, in one piece."""
    path, layout = FILES[model]
    if not path.exists():
        skip(f"no {path}")
    net = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(y):
        x = y.astype(np.float32) / 255
        out = net(x[None, :, :, None] if layout == "nhwc" else x[None, None])[0]
        return np.clip(np.floor(np.squeeze(out) * 255 + 0.5), 0, 255)

    return run


def check_model(command, model):
    run, ours, theirs, colours = whole(model), [], [], []
    if model != "superres-x2":
        command.call("models", "fetch", model)
    for name, large, small in set5():
        y, want = np.rint(luma(small)).astype(np.uint8), run(np.rint(luma(small)))
        for tile in ("0", "48", "200"):
            got = np.asarray(command.enlarge(PIL.Image.fromarray(y), "--sr", model, "--sr-tile", tile), dtype=np.float64)[..., 1]
            off = np.abs(got - want)[2 * EDGE:-2 * EDGE, 2 * EDGE:-2 * EDGE].max()
            expect(got.shape == want.shape and off <= 1, f"{model}, {name}, tile {tile}: off by {off:.0f} at most")
        ours.append(psnr(got, luma(large)))
        theirs.append(psnr(want, luma(large)))
        colours.append(psnr(luma(command.enlarge(small, "--sr", model)), luma(large)))
    a, b, c = (float(np.mean(v)) for v in (ours, theirs, colours))
    expect(abs(a - b) <= 0.02, f"{model} on Set5: {a:.3f} dB, OpenVINO in one piece {b:.3f} dB")
    expect(abs(c - b) <= 0.1, f"{model} on Set5 in colour: {c:.3f} dB")
    if model == "superres-x2":
        expect(min(a, c) >= LEAST_OWN, f"at least {LEAST_OWN} dB")


def check_torch(command, _):
    share = ROOT / "share" / "framemill"
    text = (share / "models" / "superres-x2.yaml").read_text()
    head, variants = text.split("variants:\n")
    here = command.dir / "superres-x2.pt"
    here.write_bytes((share / "weights" / here.name).read_bytes())
    only = command.dir / "only.yaml"
    only.write_text(head + "variants:\n  - backend: torch" + variants.split("- backend: torch")[1])
    for name, _, small in set5():
        one, other = (np.asarray(command.enlarge(small, "--sr", how), dtype=int) for how in ("x2", str(only)))
        off = np.abs(one - other).max()
        expect(off <= 1, f"{name}: TorchScript off by {off}")


def check_rgb(command, _):
    ops = openvino.opset13
    x = ops.parameter([-1, 3, -1, -1], np.float32)
    weights = np.zeros((12, 3, 1, 1), np.float32)
    for i in range(12):
        weights[i, i // 4] = 1
    four = ops.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    path = command.dir / "rgb.xml"
    openvino.save_model(openvino.Model([ops.depth_to_space(four, "depth_first", 2)], [x]), path, compress_to_fp16=False)
    for name, image, _ in set5():
        want = np.asarray(image).repeat(2, 0).repeat(2, 1)
        for tile in ("0", "50"):
            got = np.asarray(command.enlarge(image, "--sr", path, "--sr-tile", tile))
            expect(np.array_equal(got, want), f"{name}, tile {tile}: {image.width}x{image.height} in RGB")


def check_sizes(command, _):
    image = PIL.Image.open(DATA / "sr" / "Set5" / "butterfly.png").convert("RGB")
    for width, height in ((1, 1), (2, 1), (1, 200), (3, 97), (33, 34), (201, 119)):
        part = image.crop((20, 30, 20 + width, 30 + height))
        one, many = (np.asarray(command.enlarge(part, "--sr", "x2", "--sr-tile", t), dtype=int) for t in ("256", "40"))
        off = np.abs(one - many).max()
        expect(one.shape == (2 * height, 2 * width, 3) and off <= 1, f"{width}x{height}: tiles of 256 and of 40 off by {off}")
    for how, scale in (("x3", 3), ("x4", 4)):
        small = image.resize((image.width // scale, image.height // scale), PIL.Image.BICUBIC)
        crop = image.crop((0, 0, small.width * scale, small.height * scale))
        net, plain = (psnr(luma(command.enlarge(small, "--sr", s)), luma(crop)) for s in (how, f"lanczos:{scale}"))
        expect(net > plain + 0.5, f"{how}: {net:.2f} dB, Lanczos {plain:.2f} dB")


def check_memory(command, _):
    image = PIL.Image.open(DATA / "sr" / "Set5" / "baby.png").convert("RGB").resize((3000, 2000), PIL.Image.BICUBIC)
    used = []
    for how in ("lanczos:2", "x2"):  # the children's largest so far, so the smaller one first
        command.enlarge(image, "--sr", how)
        used.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
    expect(used[1] - used[0] < 200, f"3000x2000: {used[1]} MiB, Lanczos {used[0]} MiB")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if not (DATA / "sr" / "Set5").is_dir():
        skip(f"no pictures in {DATA / 'sr'}")
    with tempfile.TemporaryDirectory() as folder:
        check = {"torch": check_torch, "rgb": check_rgb, "sizes": check_sizes, "memory": check_memory}.get(sys.argv[2], check_model)
        check(Command(sys.argv[1], folder), sys.argv[2])
    sys.exit(1 if failures else 0)


main()
