#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The kernels of enhancement beside those of others, on noisy and clean photographs of the data folder (Set5, Set12, kodim01).

    nlm        OpenCV's fastNlMeansDenoising: PSNR at most 0.05 dB lower, no pixel off by more than 2, hardly any by more than 1;
               fastNlMeansDenoisingColored: mean PSNR at the best strength of each not lower (it works in Lab, we in YCbCr)
    noise      the estimate within 10% of noise that was added, 25% of weak noise (texture looks like it)
    clahe      OpenCV's CLAHE to 1 grey level, sizes that do and do not fill the tiles
    lut        FFmpeg's lut3d, tetrahedral, to 1 grey level
    resample   Pillow's resize: Lanczos and bicubic, growing and shrinking, 99.9% of pixels to 1 grey level (Pillow clips between
               its passes, which shows beside hard edges)
    quality    scikit-image's peak_signal_noise_ratio and structural_similarity to 1e-4

    compare_enhance.py OPS_TOOL nlm|noise|clahe|lut|resample|quality

Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that or the data is missing."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setting import DATA, begin_again, skip

PHOTOS = DATA / "sr"

try:
    import cv2
    import numpy as np
    import PIL.Image
    import skimage.metrics
except ImportError as e:
    begin_again(e)

SIGMAS = (10, 25, 50)
failures = []


def expect(is_so, what):
    print(f"{'ok  ' if is_so else 'FAIL'} {what}", flush=True)
    if not is_so:
        failures.append(what)


def pictures():
    files = sorted((PHOTOS / "Set5").glob("*.png")) + [PHOTOS / "kodim01.png"]
    found = [(f.stem, cv2.imread(str(f))) for f in files if f.exists()]
    if len(found) < 2:
        skip(f"no pictures in {PHOTOS}")
    return found


def tool(name, shape, *args, data):
    command = [TOOL, name, str(shape[1]), str(shape[0]), *map(str, args)]
    return subprocess.run(command, input=b"".join(np.ascontiguousarray(d).tobytes() for d in data), stdout=subprocess.PIPE, check=True).stdout


def picture_tool(name, picture, *args):
    return np.frombuffer(tool(name, picture.shape, *args, data=[picture]), np.uint8).reshape(picture.shape)


def noisy(picture, sigma, seed):
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


# ---- non-local means ----

def nlm_grey():
    for sigma in SIGMAS:
        for factor in (0.6, 1.0):
            h, gaps, worst, off = sigma * factor, [], 0, 0.0
            for seed, (_, picture) in enumerate(pictures()):
                clean = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
                source = noisy(clean, sigma, seed)
                theirs, ours = cv2.fastNlMeansDenoising(source, None, h, 7, 21), picture_tool("nlm", source, h)
                difference = np.abs(theirs.astype(int) - ours)
                gaps.append(psnr(clean, ours) - psnr(clean, theirs))
                worst, off = max(worst, difference.max()), max(off, np.mean(difference > 1))
            what = f"grey, sigma {sigma}, h {h:g}: PSNR {min(gaps):+.3f} to {max(gaps):+.3f} dB, pixels off by {worst} at most, {off:.2%} by more than 1"
            expect(min(gaps) > -0.05 and worst <= 2 and off < 1e-3, what)


def nlm_color():
    for sigma in SIGMAS:
        best = []
        for seed, (_, picture) in enumerate(pictures()):
            source, scores = noisy(picture, sigma, seed), []
            for factor in (0.5, 0.7, 0.9):
                h = sigma * factor
                theirs = cv2.fastNlMeansDenoisingColored(source, None, h, h, 7, 21)
                ours = picture_tool("nlm-color", source[:, :, ::-1], h, h)[:, :, ::-1]
                scores.append((psnr(picture, theirs), psnr(picture, ours)))
            best.append(np.max(scores, axis=0))
        theirs, ours = np.mean(best, axis=0)
        expect(ours > theirs - 0.05, f"colour, sigma {sigma}: PSNR {ours:.2f} dB, OpenCV {theirs:.2f}, mean of the best strengths")


def check_nlm():
    nlm_grey()
    nlm_color()


def check_noise():
    for sigma in (5, 10, 25):
        found = []
        for seed, (_, picture) in enumerate(pictures()):
            source = noisy(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), sigma, seed)
            found.append(float(tool("noise", source.shape, data=[source])))
        expect(abs(np.mean(found) / sigma - 1) < (0.25 if sigma < 10 else 0.1), f"noise of {sigma}: {np.mean(found):.2f} on average, {min(found):.2f} to {max(found):.2f}")


# ---- CLAHE ----

def check_clahe():
    name, picture = pictures()[-1]
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    sizes = [grey.shape, (501, 333), (512, 333), (501, 336), (100, 97), (8, 8), (5, 3), (1, 1)]
    for h, w in sizes:
        source = np.ascontiguousarray(grey[:h, :w])
        for limit in (1, 2, 4, 40):
            theirs, ours = cv2.createCLAHE(limit, (8, 8)).apply(source), picture_tool("clahe", source, limit)
            worst = np.abs(theirs.astype(int) - ours).max()
            expect(worst <= 1, f"{name} {w}x{h}, limit {limit}: off by {worst} at most")


# ---- 3D table ----

def write_cube(path, size, domain):
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, size)] * 3, indexing="ij"), -1)  # [b, g, r]
    rgb = grid[..., ::-1]
    warm = np.stack([rgb[..., 0] ** 0.8 * 1.1, 0.9 * rgb[..., 1] + 0.1 * rgb[..., 0] * rgb[..., 2], rgb[..., 2] ** 1.3 - 0.05], -1)
    lines = ["# made for this test", 'TITLE "warm"', *domain, f"LUT_3D_SIZE {size}"]
    lines += ["%.6f %.6f %.6f" % tuple(v) for v in warm.reshape(-1, 3)]
    path.write_text("\n".join(lines) + "\n")


def check_lut():
    if not shutil.which("ffmpeg"):
        skip("no ffmpeg command")
    random = np.random.default_rng(1).integers(0, 256, (256, 512, 3), np.uint8)
    sources = [("noise", random)] + [(name, picture[:, :, ::-1]) for name, picture in pictures()[-1:]]
    for size in (2, 17, 33, 64):
        for name, source in sources:
            with tempfile.TemporaryDirectory() as folder:
                cube = Path(folder) / "table.cube"
                write_cube(cube, size, [] if size == 2 else ["DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1.0 1.0 1.0"])
                h, w = source.shape[:2]
                raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
                command = ["ffmpeg", "-v", "error", *raw, "-s", f"{w}x{h}", "-i", "-", "-vf", f"lut3d=file={cube}:interp=tetrahedral", *raw, "-"]
                out = subprocess.run(command, input=np.ascontiguousarray(source).tobytes(), stdout=subprocess.PIPE, check=True).stdout
                theirs, ours = np.frombuffer(out, np.uint8).reshape(source.shape), picture_tool("lut", source, cube)
            worst = np.abs(theirs.astype(int) - ours).max()
            expect(worst <= 1, f"{name}, table of {size}: off by {worst} at most")


# ---- resampling ----

def check_resample():
    filters = {"lanczos": PIL.Image.Resampling.LANCZOS, "bicubic": PIL.Image.Resampling.BICUBIC}
    for name, picture in pictures():
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        h, w = grey.shape
        for word, kind in filters.items():
            for size in ((2 * w, 2 * h), (w // 2, h // 2), (w * 3 // 7, h * 5 // 3), (w + 1, h - 1), (33, 20)):
                theirs = np.asarray(PIL.Image.fromarray(grey).resize(size, kind))
                out = tool("resample", grey.shape, *size, word, data=[grey])
                difference = np.abs(np.frombuffer(out, np.uint8).reshape(theirs.shape).astype(int) - theirs)
                off = np.mean(difference > 1)
                expect(off < 1e-3 or np.sum(difference > 1) < 5, f"{name} {w}x{h} to {size[0]}x{size[1]}, {word}: {off:.3%} off by more than 1, {difference.max()} at most")


# ---- measures ----

def luma(rgb):
    return 16 + rgb.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255


def check_quality():
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for seed, (name, picture) in enumerate(pictures()):
        for sigma in (2, 25):
            a, b = np.ascontiguousarray(picture[:, :, ::-1]), noisy(picture[:, :, ::-1], sigma, seed)
            ours = [float(v) for v in tool("quality", a.shape, data=[a, b]).split()]
            theirs = [skimage.metrics.peak_signal_noise_ratio(a, b, data_range=255),
                      skimage.metrics.peak_signal_noise_ratio(luma(a), luma(b), data_range=255),
                      skimage.metrics.structural_similarity(a, b, channel_axis=2, **options),
                      skimage.metrics.structural_similarity(luma(a), luma(b), **options)]
            worst = np.abs(np.subtract(ours, theirs)).max()
            expect(worst < 1e-4, f"{name}, sigma {sigma}: PSNR {ours[0]:.3f} and Y {ours[1]:.3f}, SSIM {ours[2]:.5f} and Y {ours[3]:.5f}; off by {worst:.1e}")


CHECKS = {"nlm": check_nlm, "noise": check_noise, "clahe": check_clahe, "lut": check_lut, "resample": check_resample, "quality": check_quality}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in CHECKS:
        sys.exit(__doc__)
    TOOL = sys.argv[1]
    CHECKS[sys.argv[2]]()
    sys.exit(1 if failures else 0)
