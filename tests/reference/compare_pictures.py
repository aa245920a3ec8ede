#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What framemill enhance does with pictures of 16 bits, with alpha and with metadata, beside numpy, OpenCV and Pillow.

    deep       16 bits: Lanczos, non-local means, colours, colour tables and local contrast equal twins in double precision
    alpha      alpha is enlarged by Lanczos or left as it is, colours under it are their own; over white in JPEG
    metadata   EXIF, XMP, ICC profile and resolution from each kind of file to each, orientation 1, sizes right; --strip

    quality16  framemill quality of 16 bits, and of alpha over white: scikit-image's PSNR and SSIM to 1e-4

    compare_pictures.py FRAMEMILL deep|alpha|metadata|quality16

Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that is missing."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from setting import begin_again

try:
    import cv2
    import numpy as np
    import PIL.Image
    import PIL.ImageCms
    import skimage.metrics
except ImportError as e:
    begin_again(e)

TOOL = sys.argv[1] if len(sys.argv) > 1 else "framemill"
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.299 / 1.772, -0.587 / 1.772, 0.5], [0.5, -0.587 / 1.402, -0.114 / 1.402]])
failures = []


def expect(is_so, what):
    print(f"{'ok  ' if is_so else 'FAIL'} {what}", flush=True)
    if not is_so:
        failures.append(what)


def enhance(source, out, *flags, says=""):
    p = subprocess.run([TOOL, "enhance", str(source), "-o", str(out), *flags], capture_output=True, text=True)
    expect(p.returncode == 0 and says in p.stderr and (says or not p.stderr), f"{Path(out).name} {' '.join(flags)} {p.stderr.strip()}")
    return out


def put(path, rgb):  # RGB(A) or grey
    order = {2: None, 3: [2, 1, 0], 4: [2, 1, 0, 3]}[rgb.ndim if rgb.ndim == 2 else rgb.shape[2]]
    cv2.imwrite(str(path), rgb if order is None else np.ascontiguousarray(rgb[..., order]))
    return path


def get(path):
    a = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if a.dtype == np.uint8 and str(path).endswith("tif"):
        return np.asarray(PIL.Image.open(path))  # OpenCV multiplies 8 bits with their alpha
    return a if a.ndim == 2 else np.ascontiguousarray(a[..., [2, 1, 0, 3][: a.shape[2]]])


def photo(h, w, channels, seed=1, noise=900):  # smooth, with an edge and noise below one level of 8 bits and above
    y, x = np.mgrid[0:h, 0:w] / max(h, w)
    base = [20000 + 25000 * x, 12000 + 40000 * y, 30000 + 9000 * np.sin(9 * x + 5 * y)][:channels]
    a = np.stack(base, -1) + 12000 * (x > 0.5)[..., None]
    a = a + np.random.default_rng(seed).normal(0, noise, a.shape)
    a = np.clip(np.rint(a), 0, 65535).astype(np.uint16)
    return a[..., 0] if channels == 1 else a


def apart(got, want):
    return float(np.abs(got.astype(float) - want).max())


# ---- twins ----


def lanczos_matrix(n, scale):
    m = np.zeros((n * scale, n))
    for i in range(n * scale):
        centre = (i + 0.5) / scale
        d = np.arange(n) + 0.5 - centre
        w = np.where(np.abs(d) < 3, np.sinc(d) * np.sinc(d / 3), 0)
        m[i] = w / w.sum()
    return m


def lanczos(a, scale):
    planes = a[..., None] if a.ndim == 2 else a
    up, across = lanczos_matrix(a.shape[0], scale), lanczos_matrix(a.shape[1], scale)
    out = np.stack([up @ planes[..., c].astype(float) @ across.T for c in range(planes.shape[2])], -1)
    return np.clip(out[..., 0] if a.ndim == 2 else out, 0, 65535)


def nlm(planes, h):  # weights of samples rounded to 12 bits, as documented
    n, (rows, cols) = len(planes), planes[0].shape
    low = [np.pad(np.floor((p + 8) / 16), 13, "reflect") for p in planes]
    full = [np.pad(p.astype(float), 13, "reflect") for p in planes]
    num, den = [np.zeros((rows, cols)) for _ in planes], np.zeros((rows, cols))
    for dy in range(-10, 11):
        for dx in range(-10, 11):
            d = sum((q[10:rows + 16, 10:cols + 16] - q[10 + dy:rows + 16 + dy, 10 + dx:cols + 16 + dx]) ** 2 for q in low)
            s = np.pad(d.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
            s = s[7:, 7:] - s[:-7, 7:] - s[7:, :-7] + s[:-7, :-7]
            w = np.exp(-s / (49 * n * (h * 257 / 16) ** 2))
            w[w < 0.001] = 0
            den += w
            for p in range(n):
                num[p] += w * full[p][13 + dy:13 + dy + rows, 13 + dx:13 + dx + cols]
    return [p / den for p in num]


def to_ycc(rgb):
    return rgb.astype(float) @ TO_YCC.T


def to_rgb(ycc):
    return np.clip(ycc @ np.linalg.inv(TO_YCC).T, 0, 65535)


def tetrahedral(table, rgb):  # table[r, g, b]
    size = table.shape[0]
    at = rgb / 65535 * (size - 1)
    cell = np.minimum(np.floor(at), size - 2).astype(int)
    share = at - cell
    order = np.argsort(-share, axis=-1, kind="stable")
    corner, last = cell.copy(), np.ones(share.shape[:-1])
    out = np.zeros(rgb.shape)
    for k in range(3):
        now = np.take_along_axis(share, order[..., k:k + 1], -1)[..., 0]
        out += (last - now)[..., None] * table[corner[..., 0], corner[..., 1], corner[..., 2]]
        np.put_along_axis(corner, order[..., k:k + 1], np.take_along_axis(corner, order[..., k:k + 1], -1) + 1, -1)
        last = now
    return np.clip((out + last[..., None] * table[corner[..., 0], corner[..., 1], corner[..., 2]]) * 65535, 0, 65535)


# ---- 16 bits ----


def deep(tmp):
    for channels, name in ((1, "grey"), (3, "rgb")):
        a = photo(41, 58, channels)
        src = put(tmp / f"{name}.png", a)
        for kind in ("png", "tif"):
            for scale in (2, 3, 4):
                got = get(enhance(src, tmp / f"{name}{scale}.{kind}", "--sr", f"lanczos:{scale}"))
                expect(got.dtype == np.uint16 and apart(got, lanczos(a, scale)) <= 1, f"lanczos:{scale} {name} {kind}: within 1 of 65535")
        tif = put(tmp / f"{name}.tif", a)
        expect(np.array_equal(get(enhance(tif, tmp / "copy.png", "--color", "saturation=1")), a) or apart(get(tmp / "copy.png"), a) <= 1,
               f"no correction leaves {name} as it is")
    grey = photo(37, 45, 1)
    for h in (3, 12):
        got = get(enhance(tmp / put(tmp / "g.png", grey), tmp / "n.png", "--denoise", f"nlm:h={h}"))
        expect(apart(got, nlm([grey], h)[0]) <= 3, f"nlm h={h} grey: {apart(got, nlm([grey], h)[0]):.1f} of 65535 from the twin")
    rgb = photo(36, 44, 3)
    src = put(tmp / "c.png", rgb)
    got = get(enhance(src, tmp / "n.png", "--denoise", "nlm:h=6:hcolor=9"))
    ycc = to_ycc(rgb) + [0, 32768, 32768]
    ycc = [np.rint(ycc[..., c]) for c in range(3)]
    cleaned = [*nlm(ycc[:1], 6), *nlm(ycc[1:], 9)]
    want = to_rgb(np.stack(cleaned, -1) - [0, 32768, 32768])
    expect(apart(got, want) <= 6, f"nlm rgb: {apart(got, want):.1f} of 65535 from the twin")
    expect(len(np.unique(got % 257)) > 200, "samples are not those of 8 bits shifted")

    got = get(enhance(src, tmp / "s.png", "--color", "gamma=0.8,saturation=1.3"))
    ycc = to_ycc(rgb)
    ycc[..., 0] = 65535 * (ycc[..., 0] / 65535) ** 0.8
    ycc[..., 1:] *= 1.3
    expect(apart(got, to_rgb(ycc)) <= 2, f"gamma and saturation: {apart(got, to_rgb(ycc)):.1f} of 65535 from the twin")

    table = np.stack(np.meshgrid(*[np.linspace(0, 1, 17)] * 3, indexing="ij"), -1)
    table = np.stack([table[..., 0] ** 0.7, 0.9 * table[..., 1] + 0.1 * table[..., 0], table[..., 2] ** 1.4 * table[..., 0] ** 0.1], -1)
    cube = tmp / "t.cube"
    cube.write_text("LUT_3D_SIZE 17\n" + "".join("%.7f %.7f %.7f\n" % tuple(table[r, g, b]) for b in range(17) for g in range(17) for r in range(17)))
    got = get(enhance(src, tmp / "l.png", "--lut", str(cube)))
    expect(apart(got, tetrahedral(table, rgb.astype(float))) <= 6, f"lut: {apart(got, tetrahedral(table, rgb.astype(float))):.1f} of 65535 from the twin")
    gray = get(enhance(tmp / "g.png", tmp / "lg.png", "--lut", str(cube)))
    expect(gray.shape[2] == 3 and apart(gray, tetrahedral(table, np.repeat(grey[..., None], 3, 2).astype(float))) <= 6, "lut: grey becomes RGB")

    g8 = np.random.default_rng(4).integers(0, 256, (96, 128)).astype(np.uint8) // 3 + np.arange(128, dtype=np.uint8)
    got = get(enhance(put(tmp / "e.png", g8.astype(np.uint16) * 257), tmp / "ce.png", "--color", "clahe=2"))
    want = cv2.createCLAHE(2.0, (8, 8)).apply(g8)
    expect(apart(got / 257, want) <= 1, f"clahe: {apart(got / 257, want):.2f} levels of 8 bits from OpenCV's")

    large = photo(303, 410, 3, noise=500)
    src, a8 = put(tmp / "large.png", large), np.rint(large / 257).astype(np.uint8)
    flags = ("--color", "auto")
    low, high = get(enhance(put(tmp / "a8.png", a8), tmp / "a8o.png", *flags)), get(enhance(src, tmp / "a16o.png", *flags))
    d = high / 257 - low  # no bias; rounding between the steps of 8 bits, which auto's contrast multiplies
    expect(abs(d.mean()) < 0.3 and np.abs(d).mean() < 2.5, f"auto: as with 8 bits, {d.mean():.2f} levels on average, {np.abs(d).mean():.2f} apart")
    for threads in ("1", "3"):
        enhance(src, tmp / f"th{threads}.png", "--denoise", "auto", "--color", "auto", "--sr", "lanczos:2", "--threads", threads)
    expect((tmp / "th1.png").read_bytes() == (tmp / "th3.png").read_bytes(), "any number of threads")
    low = get(enhance(src, tmp / "low.webp", "--color", "gamma=0.8", "--quality", "100"))
    expect(low.dtype == np.uint8, "WebP takes 8 bits")


# ---- alpha ----


def alpha(tmp):
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535)):
        a = photo(30, 40, 3)
        a = np.rint(a / 65535 * top).astype(dtype)
        y, x = np.mgrid[0:30, 0:40]
        mask = np.rint(np.clip(np.hypot(y - 15, x - 20) / 18, 0, 1) * top).astype(dtype)
        src = put(tmp / "a.png", np.dstack([a, mask]))
        for kind in ("png", "tif"):
            got = get(enhance(src, tmp / f"o.{kind}", "--color", "saturation=1.5"))
            plain = get(enhance(put(tmp / "p.png", a), tmp / "po.png", "--color", "saturation=1.5"))
            expect(np.array_equal(got[..., 3], mask) and np.array_equal(got[..., :3], plain), f"{dtype.__name__} {kind}: alpha is kept, colours are their own")
            got = get(enhance(src, tmp / f"o2.{kind}", "--sr", "lanczos:2", "--compare", str(tmp / "both.png")))
            want = np.clip(lanczos(mask, 2), 0, top)
            expect(got.dtype == dtype and apart(got[..., 3], want) <= 1.6, f"{dtype.__name__} {kind}: alpha by Lanczos")
            expect(get(tmp / "both.png").shape == (60, 160, 4), "the comparison has it too")
        got = PIL.Image.open(enhance(src, tmp / "o.webp", "--color", "saturation=1.5", "--quality", "90"))
        webp = np.asarray(got)
        expect(got.mode == "RGBA" and apart(webp[..., 3], np.rint(mask / top * 255)) <= 1, f"{dtype.__name__} webp: alpha is kept")
        got = get(enhance(src, tmp / "o.jpg", "--color", "saturation=1", "--quality", "100", says="laid over white"))
        share = (mask / top)[..., None]
        want = (a / top * share + 1 - share) * 255
        expect(np.abs(got - want).mean() < 2, f"{dtype.__name__} jpg: over white, {np.abs(got - want).mean():.2f} levels off")
    grey = np.dstack([photo(20, 24, 1) // 257, np.full((20, 24), 77)]).astype(np.uint8)
    PIL.Image.fromarray(grey, "LA").save(tmp / "la.png")
    got = PIL.Image.open(enhance(tmp / "la.png", tmp / "lao.png", "--sr", "lanczos:3"))
    expect(got.mode == "LA" and got.size == (72, 60) and np.all(np.asarray(got)[..., 1] == 77), "grey with alpha stays that")
    palette = PIL.Image.fromarray(grey[..., 0]).convert("RGB").quantize(16)
    palette.save(tmp / "pal.png", transparency=3)
    got = PIL.Image.open(enhance(tmp / "pal.png", tmp / "palo.png", "--color", "saturation=1"))
    expect(got.mode == "RGBA", "a palette with a transparent entry becomes RGBA")


# ---- metadata ----

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description ' \
      b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Artist="Nobody"/></rdf:RDF></x:xmpmeta>'


def exif_of(image):
    return image.getexif()


def metadata(tmp):
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    im = PIL.Image.fromarray((photo(24, 36, 3) // 257).astype(np.uint8))
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010f], exif[0x013b] = 6, "Maker", "Nobody"
    exif.get_ifd(0x8769)[0x9003] = "2020:02:03 04:05:06"
    exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003] = 36, 24
    im.save(tmp / "in.jpg", quality=95, exif=exif, icc_profile=profile, dpi=(300, 300), xmp=XMP)
    im.save(tmp / "in.webp", exif=exif, icc_profile=profile, xmp=XMP)
    im.save(tmp / "in.png", exif=exif, icc_profile=profile, dpi=(300, 300))
    im.save(tmp / "in.tif", icc_profile=profile, dpi=(300, 300), tiffinfo={0x0112: 6, 700: XMP})
    for source in ("jpg", "webp", "png", "tif"):
        for kind in ("jpg", "webp", "png", "tif"):
            name = f"{source} to {kind}"
            out = PIL.Image.open(enhance(tmp / f"in.{source}", tmp / f"{source}.{kind}", "--sr", "lanczos:2"))
            expect(out.size == (48, 72), f"{name}: turned upright")
            expect(out.info.get("icc_profile") == profile, f"{name}: the same profile")
            found = exif_of(out)
            expect(found.get(0x0112, 1) == 1, f"{name}: orientation 1")
            if source != "tif" and kind != "tif":  # TIFF has tags of its own, libvips carries no EXIF in or out
                more = found.get_ifd(0x8769)
                expect(found.get(0x010f) == "Maker" and found.get(0x013b) == "Nobody", f"{name}: EXIF is kept")
                expect(more.get(0x9003) == "2020:02:03 04:05:06" and (more.get(0xA002), more.get(0xA003)) == (48, 72),
                       f"{name}: EXIF's date, and its sizes are the result's")
            if source != "webp" and kind != "webp":
                expect(abs(float(out.info["dpi"][0]) - 300) < 1, f"{name}: resolution")
            if source != "png":
                xmp = out.info.get("xmp") or out.info.get("XML:com.adobe.xmp") or (out.tag_v2.get(700) if kind == "tif" else b"")
                xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp or b"")
                expect(b"Nobody" in xmp and b'tiff:Orientation="1"' in xmp, f"{name}: XMP, with orientation 1")
        for kind in ("jpg", "webp", "png", "tif"):
            out = PIL.Image.open(enhance(tmp / f"in.{source}", tmp / f"s{source}.{kind}", "--sr", "lanczos:2", "--strip"))
            data = Path(tmp / f"s{source}.{kind}").read_bytes()
            expect(not any(w in data for w in (b"Nobody", b"Maker", b"acsp")) and not out.info.get("icc_profile"), f"{source} to {kind}: stripped")
    ink = PIL.Image.fromarray((photo(24, 36, 3) // 257).astype(np.uint8)).convert("CMYK")
    ink.save(tmp / "ink.jpg", icc_profile=profile[:16] + b"CMYK" + profile[20:])
    p = subprocess.run([TOOL, "enhance", str(tmp / "ink.jpg"), "-o", str(tmp / "ink.png"), "--sr", "lanczos:2"], capture_output=True, text=True)
    expect("CMYK" in p.stderr or "colours cannot" in p.stderr, f"CMYK is said: {p.stderr.strip()}")
    ink.save(tmp / "ink.tif")
    out = PIL.Image.open(enhance(tmp / "ink.tif", tmp / "ink.png", "--sr", "lanczos:2", says="CMYK"))
    expect(out.mode == "RGB" and "icc_profile" not in out.info, "CMYK becomes RGB")


# ---- quality ----


def measured(a, b):
    p = subprocess.run([TOOL, "quality", str(a), str(b), "--json"], capture_output=True, text=True, check=True)
    return json.loads(p.stdout)


def expect_quality(tmp, a, b, files, what):  # a, b: RGB in 0..65535, double
    y = [(np.array([65.481, 128.553, 24.966]) * p / 65535).sum(-1) + 16 for p in (a, b)]
    ssim = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    want = {"psnr_rgb": skimage.metrics.peak_signal_noise_ratio(a, b, data_range=65535), "ssim_rgb": skimage.metrics.structural_similarity(
        a, b, data_range=65535, channel_axis=2, **ssim), "psnr_y": skimage.metrics.peak_signal_noise_ratio(*y, data_range=255),
        "ssim_y": skimage.metrics.structural_similarity(*y, data_range=255, **ssim)}
    got = measured(*files)
    worst = max(abs(got[k] - want[k]) for k in want)
    expect(worst <= 1e-4, f"{what}: {worst:.1e} from scikit-image's, PSNR {got['psnr_rgb']:.4f}")


def quality16(tmp):
    a = photo(50, 70, 3)
    for noise in (3, 100, 4000):
        b = np.clip(np.rint(a + np.random.default_rng(noise).normal(0, noise, a.shape)), 0, 65535).astype(np.uint16)
        files = put(tmp / "a.png", a), put(tmp / "b.tif", b)
        expect_quality(tmp, a.astype(float), b.astype(float), files, f"noise of {noise} in 65535")
    b8 = np.rint(a / 257).astype(np.uint8)
    expect_quality(tmp, a.astype(float), b8 * 257.0, (tmp / "a.png", put(tmp / "b8.png", b8)), "16 bits and 8")
    mask = np.random.default_rng(5).integers(0, 65536, (50, 70)).astype(np.uint16)
    over = np.rint((a.astype(float) * mask[..., None] + 65535.0 * (65535 - mask[..., None].astype(float))) / 65535)
    expect_quality(tmp, over, b.astype(float), (put(tmp / "t.png", np.dstack([a, mask])), tmp / "b.tif"), "16 bits with alpha over white")
    grey = photo(50, 70, 1)
    expect_quality(tmp, np.repeat(grey[..., None], 3, 2).astype(float), b.astype(float), (put(tmp / "g.png", grey), tmp / "b.tif"), "16 bits, grey")
    expect(measured(tmp / "a.png", tmp / "a.png")["psnr_rgb"] is None, "equal pictures")


def main():
    what = {"deep": deep, "alpha": alpha, "metadata": metadata, "quality16": quality16}[sys.argv[2]]
    with tempfile.TemporaryDirectory() as d:
        what(Path(d))
    sys.exit(1 if failures else 0)


main()
