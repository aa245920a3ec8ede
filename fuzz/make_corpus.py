#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Writes the seeds of the fuzz targets into corpus/. They are kept in the repository; run this after a format changed."""

import io
import struct
import zipfile
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"

MODEL = """name: tiny
task: detection
version: "1"
licence: Apache-2.0
variants:
  - backend: openvino
    files:
      - {path: tiny.xml, size: 10, urls: ["https://example.org/tiny.xml"]}
      - {path: tiny.bin, size: 20, sha256: %s}
input: {layout: nchw, size: [64, 48], color: rgb, mean: [0, 0, 0], scale: [255, 255, 255], fit: letterbox,
  anchor: center, pad: 114}
head: {type: yolov8, boxes: unit}
labels: [person, car]
""" % ("0123456789abcdef" * 4)

CONFIG = """input_size: [640, 640]
batch_size: 16
num_workers: auto
buffer_size: 30
conf_threshold: 0.5
max_age: 30
model_paths: {detection: yolox-nano, segmentation: none}
streams:
  - {name: gate, url: "rtsp://user:secret@camera/1"}
  - {name: yard, url: yard.mp4}
"""

YAML = {
    "mixed": 'a: 1\nb: [x, "y", {c: -2.5e3, d: true}]\ne:\n  - f: |\n      text\n      more\n  - ~\n',
    "alias": "a: &x [1, 2]\nb: *x\n",
    "twice": "a: 1\na: 2\n",
    "deep": "[" * 40 + "]" * 40,
    "many": "---\na: 1\n---\nb: 2\n",
    "tabs": "a:\n\t- b\n",
    "bytes": "a: \"\\x00\\uFFFF\\U0010FFFF\"\nb: 'it''s'\n",
    "open": 'a: [1, {b: "c',
}

TEXT = {
    "rtsp": "rtsp://user:pass@camera.example/stream?token=abc&x=1",
    "path": "../../etc/passwd",
    "control": "name\twith\ncontrol\x1b[31m",
    "dots": "...-hidden",
    "utf8": "Stra\u00dfe \u2603 \U0001f600",
    "long": "a/" * 300,
    "number": "-9223372036854775808",
    "decimal": "1.7976931348623157e308",
    "nan": "nan",
}

URL = {
    "file": "video/cam 1.mp4",
    "testsrc": "testsrc:320x240@25,frames=10,shapes=3,seed=7,format=nv12,noise=2",
    "testsrc-large": "testsrc:99999x99999@1e9",
    "rtsp": "rtsp://u:p@host:554/a/b?c=d",
    "concat": "concat:a|b",
    "subfile": "subfile,,start,0,end,0,,:/etc/passwd",
    "v4l2": "v4l2:///dev/video0",
    "data": "data:text/plain;base64,AAAA",
    "http": "https://user@host/a%2fb.m3u8#x",
}

# The first byte chooses rules and format; ground truth, "#", result.
MOT = {
    "mot15": "0" + "".join(f"{f},{i},{40 * i + f},{10 + f},30,60,{int(i != 3)},-4.1,-7.3,0\n" for f in (1, 2, 3) for i in (1, 2, 3))
             + "#\n" + "".join(f"{f},{i + 4 + f // 3},{40 * i + f + 3}.25,12,30,60,0.9100,-1,-1,-1\n" for f in (1, 2, 3) for i in (1, 2, 3)),
    "mot17": "5" + "".join(f"{f},{i},{20 * i},10,30,60,{int(i < 3)},{(1, 2, 7, 12)[i % 4]},0.5\n" for f in (1, 2) for i in range(5))
             + "#\n" + "".join(f"{f},{9 - i},{20 * i + 2},10,30,60,1,-1,-1,-1\n" for f in (2, 1) for i in range(5)),
    "detections": "1\xef\xbb\xbf1,-1,649.441,231.502,44.417,86.13,0.995474,-1,-1,-1\r\n\r\n 1 ,-1, 252.783 ,207.732,35.8,96.6,.99,\n",
    "unordered": "1100000000,1,0,0,1,1,1\n1,1,0,0,0,0,1\n7,1,-5,-5,1e3,2E+1,0\n#\n7,1,0,0,9,9,1\n2,1,0,0,9,9,1\n",
    "broken": "01,2,nan,4,5,6,7\n#\n1,2,3\n",
}

# The first byte chooses (bit 0: XML, bit 1: a list of results, bit 2: a map of labels first); ground truth, "#", result.
AP_GT = ('{"info":{"a":[1,{}]},"images":[{"id":5,"file_name":"a/1.jpg"},{"id":2,"file_name":"2.png"}],"categories":[{"id":1,"name":"dog"},'
         '{"id":3,"name":"Air plane"}],"annotations":[{"id":1,"image_id":5,"category_id":1,"bbox":[1,2,30,40],"area":1024,"iscrowd":0},'
         '{"id":2,"image_id":5,"category_id":3,"bbox":[0,0,200,100],"iscrowd":1,"segmentation":{"counts":"\\u00e9","size":[1,2]}}]}')
AP_XML = ('<?xml version="1.0"?><!-- c --><annotation verified="yes"><filename>1.jpg</filename><object><name>dog &amp; cat</name><difficult>1'
          '</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax><ymax>40</ymax></bndbox><part/></object><object><name>'
          '<![CDATA[dog]]></name><bndbox><ymax>9</ymax><xmin>1</xmin><ymin>2</ymin><xmax>1</xmax></bndbox></object></annotation>')
AP_LINES = ('{"file":"%s","frame":0,"objects":[{"label":"DOG","score":0.9,"box":[1,2,30,40]},{"label":"aeroplane","score":5e-1,"box":[0,0,9,9],'
            '"mask":{"size":[1,2],"counts":"a"}},{"label":"hound","score":0.9,"box":[1,2,29,40]}]}\n\n')
AP = {
    "lines": "0" + AP_GT + "\n#\n" + AP_LINES % "1.jpg" + AP_LINES % "2.png",
    "list": "2" + AP_GT + '\n#\n[{"image_id":5,"category_id":1,"bbox":[1,2,30,40],"score":0.5},{"image_id":2,"category_id":9,"bbox":[0,0,1,1],"score":-1}]',
    "map": "4" + AP_GT + "\n#\n# words\nhound = dog\n#\n" + AP_LINES % "1.jpg",
    "voc": "1" + AP_XML + "\n#\n" + AP_LINES % "fuzz.png",
    "xml-cut": "1" + AP_XML[:-40],
    "nan": "0" + AP_GT.replace("1024", "NaN"),
    "deep": "0" + '{"x":' + "[" * 70,
}


def fnv1a(data):
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % (1 << 64)
    return value


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def bus_record(epoch, sequence, key, stream, kind, data):
    payload = struct.pack("<HHH", len(key), len(stream), len(kind)) + key + stream + kind + data
    length, rest = struct.pack("<I", len(payload)), struct.pack("<QQ", epoch, sequence) + payload
    return b"FMB1" + length + struct.pack("<I", crc32c(length + rest)) + rest


def motion_state(width, height, pixel_format, seen):
    samples = bytes((i * 37) & 255 for i in range(20 * width * height))
    grid = ((width + 3) // 4) * ((height + 3) // 4)
    header = struct.pack("<8s9I", b"FMMOTION", 1, 320, width, height, pixel_format, seen, 0, 0, 12345)
    if width == 0:
        samples, grid = b"", 0
    body = header + samples + struct.pack(f"<{grid}H", *range(100, 100 + grid))
    return body + struct.pack("<Q", fnv1a(body))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def part(data):
    return struct.pack("<I", len(data)) + data


def resume_state(kind, name, side, objects):
    """A stream with a gate and a hold; blocks of the grid are 8 pixels up to a side of 384."""
    mark = struct.pack("<BQqqIBqqqQ", kind, 99, 4_000_000_000, -1 << 63, 0xABCD, 1, 51200, 0, 4_040_000_000, 7) + part(name)
    blocks = ((side + 7) // 8) ** 2
    gate = struct.pack("<4Iq", side, side, 1, 3, 3_900_000_000) + b"".join(struct.pack("<HB", i * 7 & 4095, i & 1) for i in range(blocks))
    hold = struct.pack("<I", objects) + b"".join(struct.pack("<4ffiq4f", 1, 2, 30, 40, 0.5, i, i, 1, 2, 31, 41) for i in range(objects))
    body = part(b"s=1\n") + mark + part(b"") + part(gate) + part(b"") + part(hold)
    return struct.pack("<8sII", b"FMRESUME", 1, crc32c(body)) + body


def tracker_state(kind, dim, last, next_id, body):
    header = struct.pack("<8sI16sIBQQQ", b"FMTRACKS", 1, kind, dim, last > 0, last, next_id, len(body))
    return header + body + struct.pack("<Q", fnv1a(header + body))


def gallery(count, following, dim):
    values = [(i * 7 % 5 - 2) / 2 for i in range(count * dim)]
    return struct.pack(f"<HH{len(values)}f", count, following, *values)


def deepsort_track(track_id, x, hits, unseen, features):
    kalman = [x, 200.0, 0.4, 90.0, 1.5, -0.5, 0.0, 0.1] + [20.0, 20.0, 1e-2, 20.0] + [1.0, 1.0, 1e-6, 1.0] + [0.5, 0.5, 1e-9, 0.5]
    return struct.pack("<QiIII20d", track_id, 0, hits, unseen, unseen, *kalman) + gallery(*features, 4)


def deepsort_body(tracks, ended):
    body = struct.pack("<HI", 9, len(tracks)) + b"".join(deepsort_track(*t) for t in tracks) + struct.pack("<I", len(ended))
    return body + b"".join(struct.pack("<QiQ", track_id, 0, frame) + gallery(*features, 4) for track_id, frame, features in ended)


FILTER = [200.0, 0.4, 90.0, 1.5, -0.5, 0.0, 0.1] + [20.0, 20.0, 1e-2, 20.0] + [1.0, 1.0, 1e-6, 1.0] + [0.5, 0.5, 1e-9, 0.5]


def bytetrack_body(started, tracks):
    body = struct.pack("<BI", started, len(tracks))
    return body + b"".join(struct.pack("<QiIII20d", i, 0, hits, missed, age, x, *FILTER) for i, x, hits, missed, age in tracks)


def ocsort_body(frames, tracks):
    body = struct.pack("<II", frames, len(tracks))
    for track_id, x, streak, missed, age, seen in tracks:
        boxes = [v for k in range(9) for v in (x + k, 150.0, x + k + 40, 250.0)]
        state = [v for i in range(4) for v in (x if i == 0 else (0.0, 200.0, 4000.0, 0.4)[i], 1.5 if i < 2 else 0.0, 2.0, 0.1, 0.2)]
        body += struct.pack("<QiIIII", track_id, 0, streak, missed, age, seen)
        body += struct.pack("<36f2f20d20d", *boxes, 0.8, -0.6, *state, *state)
    return body


def head_seed(kind, flags, width, height, classes, batch, anchors, conf, values):
    return bytes((kind, flags, width, height, classes, batch, anchors, conf)) + struct.pack(f"<{len(values)}f", *values)


def archive(names):
    """A ZIP of stored records, as torch.jit.save and torch.save write them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name in names:
            z.writestr(zipfile.ZipInfo(f"net/{name}", (1980, 1, 1, 0, 0, 0)), name.encode() * 3)
    return out.getvalue()


def seeds():
    for name, text in YAML.items():
        yield "yaml", name, text.encode()
    yield "yaml", "latin1", b"a: \xe9\n"
    for name, text in TEXT.items():
        yield "text", name, text.encode()
    yield "text", "not-utf8", b"\xff\xfe\x80abc\xc3"
    for name, text in URL.items():
        yield "url", name, text.encode()
    yield "config", "full", CONFIG.encode()
    yield "config", "unknown", b"batch_sise: 16\n"
    yield "config", "range", b"conf_threshold: 7\nbatch_size: -1\n"
    yield "config", "types", b"streams: {a: 1}\nmodel_paths: [x]\ninput_size: 3\n"
    yield "config", "empty", b"\n"
    yield "model", "full", MODEL.encode()
    yield "model", "path", MODEL.replace("tiny.bin", "../tiny.bin").encode()
    yield "model", "url", MODEL.replace("https:", "file:").encode()
    yield "model", "short", b"name: x\ntask: detection\n"
    numbers = [12.5, 30.0, 8.0, 6.0, 0.9, 0.8, 0.1, 0.3]
    odd = [float("nan"), float("inf"), -float("inf"), 3e38, -1.0, 0.99, 1e-45]
    yield "head", "yolox-raw", head_seed(0, 2, 7, 5, 3, 1, 0, 60, numbers)
    yield "head", "yolov5-unit", head_seed(1, 1, 7, 7, 2, 0, 40, 60, [0.5, 0.4, 0.1, 0.2, 0.9, 0.8, 0.7])
    yield "head", "yolov8-first", head_seed(2, 8, 3, 3, 10, 1, 150, 30, numbers)
    yield "head", "yolov8-sigmoid", head_seed(2, 4, 3, 3, 79, 0, 100, 100, numbers + odd)
    waves = [0.5, 0.4, 0.9, 0.8, 0.95, 0.2, -0.3, 1.5, -2.0, 0.7, 3.0]
    yield "head", "seg-columns", head_seed(2, 8, 2, 7, 1, 40, 90, 60, waves)
    yield "head", "seg-rows-unit", head_seed(2, 25, 1, 3, 2, 200, 7, 30, waves[1:])
    yield "head", "seg-crop", head_seed(2, 2, 2, 8, 3, 255, 255, 20, waves + odd)
    yield "head", "semantic-ids", head_seed(2, 4, 1, 4, 5, 21, 60, 60, [1e-45, 3e-45, 7e-45, 1.0])
    yield "head", "odd", head_seed(1, 4, 3, 3, 7, 1, 90, 1, odd)
    for name, text in AP.items():
        yield "ap", name, text.encode()
    for name, text in MOT.items():
        yield "index", "good", b"\0"
    yield "index", "cut", b"\4"
    yield "index", "heads", b"\1" + bytes([0x80, 0, 40, 9, 0x80, 0, 0x8c, 3, 0x80, 0, 24, 200, 0x80, 0, 52, 7])
    yield "index", "block", b"\3" + bytes([0x80, 0, 0x44, 255, 0, 0x20, 0x50, 0x7f, 0, 0x20, 0x43, 0xff, 0, 0x80, 0x90, 0xff])
    yield "index", "quant", b"\2" + bytes(v for i in range(60) for v in (0, 0x20, 0x40 + i * 3 % 190, (0x7f, 0xc0, 0xff, 0x80)[i % 4]))
    yield "graph", "good", b"\0"
    yield "graph", "cut", b"\x08"
    yield "graph", "heads", b"\1" + bytes(v for at in range(64) for v in (0, 0, at, at * 37 % 256))
    yield "graph", "entry", b"\1" + bytes([0, 0, 28, 255, 0, 0, 29, 3])
    yield "graph", "levels", b"\1" + bytes([0, 0, 32, 9])
    yield "graph", "counts", b"\3" + bytes(v for n in range(100) for v in (0x40, n, 0x20, (9, 200, 255)[n % 3]))
    yield "graph", "links", b"\3" + bytes(v for n in range(200) for v in (0x40, n, 0x25 + n % 8 * 4, n % 6))
    yield "graph", "nodes", b"\3" + bytes(v for n in range(250) for v in (0x40, n, n % 32, (0x7f, 0xc0, 0xff, 0x80)[n % 4]))
    yield "graph", "upper", b"\7" + bytes(v for n in range(200) for v in (0x80, n // 64, n * 4 % 256, n % 5))
    yield "graph", "anywhere", b"\2" + bytes(v for n in range(60) for v in (0xc0 + n % 3, n * 7 % 256, n, n))
    yield "index", "ids", b"\2" + bytes(v for i in range(40) for v in (0, 0x80, 0x40 + i * 5 % 190, i * 7 % 256))
    yield "mot", name, text.encode("latin1")
    yield "bus", "records", b"".join(bus_record(5, i, b"framemill:results:gate", b"gate", b"result", b'{"frame":%d}' % i) for i in range(4))
    yield "bus", "gap", bus_record(5, 1, b"framemill:events", b"", b"command", b"{}") + b"FMB1 and more" + bus_record(6, 1, b"k", b"s", b"t", b"")
    yield "bus", "cut", bus_record(1, 2, b"k", b"s", b"t", b"x" * 40)[:-9]
    yield "bus", "tls", b"rediss://user:p%40ss@host.example:6380/3"
    yield "bus", "address", b"redis://:pass@[fe80::1]:6379"
    yield "bus", "socket", b"unix://u:p@/run/redis.sock?db=2"
    yield "motion", "fresh", motion_state(0, 0, 0, 0)
    yield "motion", "learning", motion_state(5, 4, 1, 7)
    yield "motion", "ready", motion_state(9, 6, 2, 20)
    lively = deepsort_body(
        [(1, 100.0, 3, 0, (9, 4)), (3, 200.0, 3, 12, (2, 2)), (0, 300.0, 1, 0, (1, 1))], [(2, 30, (1, 1)), (4, 40, (9, 0))]
    )
    yield "tracker", "deepsort-fresh", tracker_state(b"deepsort", 4, 0, 1, deepsort_body([], []))
    yield "tracker", "deepsort-lively", tracker_state(b"deepsort", 4, 50, 5, lively)
    yield "tracker", "deepsort-ids", tracker_state(b"deepsort", 4, 50, 3, lively)
    yield "tracker", "bytetrack-lively", tracker_state(b"bytetrack", 0, 50, 5, bytetrack_body(1, [(1, 100.0, 2, 0, 30), (4, 200.0, 2, 9, 20), (0, 300.0, 1, 0, 0)]))
    yield "tracker", "ocsort-lively", tracker_state(b"ocsort", 0, 50, 5, ocsort_body(3, [(1, 100.0, 3, 0, 30, 31), (4, 200.0, 1, 9, 20, 3 << 30), (0, 300.0, 1, 2, 2, 0)]))
    yield "tracker", "detections", bytes(range(256)) * 3
    script = archive(["data.pkl", "code/__torch__.py", "constants.pkl", "data/0", "version"])
    yield "torchfile", "script", script
    yield "torchfile", "script-cut", script[:-30]
    yield "torchfile", "checkpoint", archive(["data.pkl", "data/0", "version"])
    yield "torchfile", "pickle", b"\x80\x02}q\x00."
    yield "resume", "video", resume_state(0, b"", 40, 2)
    yield "resume", "folder", resume_state(4, b"7.png", 64, 0)
    yield "resume", "cut", resume_state(5, b"", 24, 3)[:-9]
    yield "motion", "rgb", motion_state(7, 3, 6, 20)


def main():
    for target, name, data in seeds():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
