#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The JPEG encoder beside libjpeg-turbo's accurate one (through Pillow) on photographs of the data folder, in grey, 4:4:4, 4:2:2, 4:2:0.

    peer       the same quantisation tables; PSNR at most 0.05 dB lower in each component (0.1 in subsampled chroma), the file at most 1% larger
    qualities  the same for each quality from 1 to 100 on one picture
    decoders   noise, checkers and photographs of odd sizes come whole out of OpenCV, Pillow and, where it is there, FFmpeg, and alike

    compare_jpeg.py OPS_TOOL peer|qualities|decoders

Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that or the data is missing."""

import io
import shutil
import subprocess
import sys

from setting import DATA, begin_again, skip

PHOTOS = DATA / "images"

try:
    import cv2
    import numpy as np
    import PIL.Image
except ImportError as e:
    begin_again(e)

FORMATS = {"gray8": None, "yuv444p": 0, "yuv422p": 1, "yuv420p": 2}  # and Pillow's number of the sampling
failures = []


def expect(is_so, what):
    if not is_so:
        print(f"FAIL {what}", flush=True)
        failures.append(what)


def photographs():
    files = sorted(p for p in PHOTOS.iterdir() if p.suffix in (".jpg", ".bmp") and "mask" not in p.name) if PHOTOS.is_dir() else []
    if len(files) < 3:
        skip(f"no pictures in {PHOTOS}")
    for f in files:
        rgb = PIL.Image.open(f).convert("RGB")
        if max(rgb.size) > 1100:  # less noise of an earlier compression, and less time
            rgb = rgb.resize((rgb.width // 2, rgb.height // 2), PIL.Image.Resampling.BOX)
        w, h = rgb.width & ~1, rgb.height & ~1
        yield f.name, np.asarray(rgb.crop((0, 0, w, h)).convert("YCbCr"))


def sample(ycc, fmt):
    """Planes of that sampling, and the picture that they are, chroma repeated: libjpeg's own means give the planes back."""
    if fmt == "gray8":
        return [ycc[..., 0]], ycc[..., 0]
    sx, sy = (1 + (fmt != "yuv444p")), (1 + (fmt == "yuv420p"))
    h, w = ycc.shape[:2]
    planes = [ycc[..., 0]]
    full = [ycc[..., 0]]
    for c in (1, 2):
        small = np.rint(ycc[..., c].reshape(h // sy, sy, w // sx, sx).mean((1, 3))).astype(np.uint8)
        planes.append(small)
        full.append(small.repeat(sy, 0).repeat(sx, 1))
    return planes, np.dstack(full)


def ours(tool, planes, fmt, quality):
    h, w = planes[0].shape
    return subprocess.run([tool, "jpeg", str(w), str(h), fmt, str(quality)], input=b"".join(p.tobytes() for p in planes),
                          stdout=subprocess.PIPE, check=True).stdout


def theirs(picture, fmt, quality):
    out = io.BytesIO()
    mode = "L" if fmt == "gray8" else "YCbCr"
    more = {} if fmt == "gray8" else {"subsampling": FORMATS[fmt]}
    PIL.Image.fromarray(picture, mode).save(out, "JPEG", quality=quality, **more)
    return out.getvalue()


def decode(jpeg):
    im = PIL.Image.open(io.BytesIO(jpeg))
    if im.mode != "L":
        im.draft("YCbCr", im.size)
    return np.asarray(im), im.quantization


def psnr(a, b):
    return 10 * np.log10(255.0**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2)))


def check(tool, name, ycc, fmt, quality):
    planes, picture = sample(ycc, fmt)
    a, b = ours(tool, planes, fmt, quality), theirs(picture, fmt, quality)
    (pa, qa), (pb, qb) = decode(a), decode(b)
    what = f"{name} {fmt} quality {quality}"
    expect({k: list(v) for k, v in qa.items()} == {k: list(v) for k, v in qb.items()}, f"{what}: tables")
    expect(pa.shape == picture.shape, f"{what}: {pa.shape} instead of {picture.shape}")
    channels = [(pa, pb, picture)] if fmt == "gray8" else [(pa[..., c], pb[..., c], picture[..., c]) for c in range(3)]
    lost = [psnr(y, z) - psnr(x, z) for x, y, z in channels]
    # Chroma that is smaller is compared behind the decoder's smoothing, which turns either's noise into luck.
    most = [0.05] + [0.05 if fmt == "yuv444p" else 0.1] * (len(lost) - 1)
    expect(all(x <= y for x, y in zip(lost, most)), f"{what}: PSNR {max(lost):.3f} dB below libjpeg-turbo's")
    expect(psnr(pa, pb) > 35 or quality < 25, f"{what}: {psnr(pa, pb):.1f} dB from libjpeg-turbo's picture")
    expect(len(a) <= len(b) * 1.01, f"{what}: {len(a)} bytes, libjpeg-turbo {len(b)}")
    return max(lost), len(a) / len(b)


def peer(tool):
    all_of = [check(tool, name, ycc, fmt, q) for name, ycc in photographs() for fmt in FORMATS for q in (50, 85, 95)]
    print(f"{len(all_of)} pictures: PSNR at most {max(x for x, _ in all_of):.3f} dB lower, on average {np.mean([x for x, _ in all_of]):.4f}; "
          f"size {min(x for _, x in all_of):.4f} to {max(x for _, x in all_of):.4f} of libjpeg-turbo's")


def qualities(tool):
    name, ycc = next(photographs())
    all_of = [check(tool, name, ycc[:256, :320], fmt, q) for q in range(1, 101) for fmt in FORMATS]
    print(f"PSNR at most {max(x for x, _ in all_of):.3f} dB lower; size {min(x for _, x in all_of):.4f} to {max(x for _, x in all_of):.4f}")


def ffmpeg_luma(jpeg, shape):
    """What FFmpeg makes of it, without an error (it warns of a missing end in libjpeg's own small files too), or None."""
    p = subprocess.run(["ffmpeg", "-v", "error", "-xerror", "-f", "jpeg_pipe", "-i", "-", "-vf", "extractplanes=y", "-f", "rawvideo", "-"], input=jpeg,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return np.frombuffer(p.stdout, np.uint8).reshape(shape) if not p.returncode and not p.stderr and len(p.stdout) == shape[0] * shape[1] else None


def decoders(tool):
    rng = np.random.default_rng(1)
    photo = next(photographs())[1]
    for w, h in ((1, 1), (8, 8), (17, 33), (64, 48), (135, 71)):
        dot = (np.indices((h, w)).sum(0) % 2 * 255).astype(np.uint8)
        for kind, base in (("noise", rng.integers(0, 256, (h, w), np.uint8)), ("checker", dot), ("photo", photo[:h, :w, 0].copy())):
            for fmt in FORMATS:
                cw, ch = (w + (fmt in ("yuv422p", "yuv420p"))) // (1 + (fmt in ("yuv422p", "yuv420p"))), (h + (fmt == "yuv420p")) // (1 + (fmt == "yuv420p"))
                planes = [base] + ([] if fmt == "gray8" else [np.ascontiguousarray(base[:ch, :cw])] * 2)
                for quality in (1, 30, 75, 85, 100):
                    a, what = ours(tool, planes, fmt, quality), f"{kind} {w}x{h} {fmt} quality {quality}"
                    rgb = np.asarray(PIL.Image.open(io.BytesIO(a)).convert("RGB")).astype(int)
                    bgr = cv2.imdecode(np.frombuffer(a, np.uint8), cv2.IMREAD_COLOR)
                    expect(bgr is not None and bgr.shape == (h, w, 3) and rgb.shape == (h, w, 3), f"{what}: size")
                    expect(abs(bgr[..., ::-1].astype(int) - rgb).max() <= 2, f"{what}: OpenCV's picture and Pillow's")
                    if fmt == "gray8" and quality == 100:
                        expect(abs(rgb[..., 0] - base.astype(int)).max() <= 2, f"{what}: off by {abs(rgb[..., 0] - base.astype(int)).max()}")
                    if shutil.which("ffmpeg") and quality in (30, 100):
                        luma, want = ffmpeg_luma(a, (h, w)), decode(a)[0].reshape(h, w, -1)[..., 0].astype(int)
                        expect(luma is not None and abs(luma - want).max() <= 2, f"{what}: FFmpeg's picture and Pillow's")


def main():
    {"peer": peer, "qualities": qualities, "decoders": decoders}[sys.argv[2]](sys.argv[1])
    sys.exit(1 if failures else 0)


main()
