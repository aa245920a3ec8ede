# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill search over a store whose rows are known: order, filters, table, JSON, the index file beside it, and what it says
when something is wrong."""
import json
import sqlite3
import struct
import subprocess
import sys

import harness

MAKE_STORE = sys.argv.pop(1) if len(sys.argv) > 1 else ""
T0 = 1_790_000_000  # 2026-09-21T14:13:20Z


class Search(harness.Case):
    def setUp(self):
        super().setUp()
        self.store = self.dir / "seen"
        self.store.mkdir()
        subprocess.run([MAKE_STORE, str(self.store)], check=True)
        self.db = sqlite3.connect(self.store / "store.db")
        self.db.executescript("""
            INSERT INTO streams(name, created_ns, meta) VALUES('gate', 0, '{"site": "north"}'), ('yard:2', 0, NULL);
            INSERT INTO models VALUES('tiny', 'object', 3);""")
        # Objects on a quarter circle: number i lies i * 5 degrees from (1, 0, 0), so its distance is known.
        import math
        for i in range(18):
            v = (math.cos(math.radians(5 * i)), math.sin(math.radians(5 * i)), 0.0)
            self.add(i, v, "person" if i % 3 else "car", 1 + i % 2, track=i // 6 + 1)
        for t in range(1, 4):
            self.db.execute("INSERT INTO tracks(id, stream_id, run_id, number, label, first_frame, last_frame, first_ns, last_ns, frames)"
                            " VALUES(?, 1, 1, ?, 'person', 1, 1, 0, 0, 6)", (t, 10 * t))
        self.db.commit()

    def tearDown(self):
        self.db.close()
        super().tearDown()

    def add(self, i, vector, label, stream, track=None, meta=None):
        time = (T0 + i) * 1_000_000_000
        frame = self.db.execute("INSERT INTO frames(stream_id, run_id, number, pts_ns, time_ns, stored_ns, width, height, bytes)"
                                " VALUES(?, 1, ?, ?, ?, 0, 640, 480, 0)", (stream, i, i * 40_000_000, time)).lastrowid
        det = self.db.execute("INSERT INTO detections(frame_id, stream_id, time_ns, label, class_id, score, x, y, w, h, track_id, meta)"
                              " VALUES(?, ?, ?, ?, 0, ?, 10, 20, 30, 40, ?, ?)",
                              (frame, stream, time, label, 0.5 + i / 100, track, json.dumps({"n": i}))).lastrowid
        self.db.execute("INSERT INTO features(kind, frame_id, detection_id, track_id, model, dim, vector) VALUES('object', ?, ?, ?, 'tiny', 3, ?)",
                        (frame, det, track, struct.pack("<3f", *vector)))

    def hits(self, *args):
        out = json.loads(self.call("search", "--store", self.store, "--json", *args, code=0).out)
        return out["hits"]

    def frames(self, *args):
        return [h["frame"] for h in self.hits(*args)]

    def test_label_alone_is_newest_first(self):
        self.assertEqual(self.frames("--text-label", "car"), [15, 12, 9, 6, 3, 0])
        self.assertEqual(self.frames("--text-label", "car", "--top", "2", "--stream", "gate"), [12, 6])
        hit = self.hits("--text-label", "car", "--where", "n=9")[0]
        self.assertEqual(hit, {"stream": "yard:2", "frame": 9, "frame_id": 10, "pts_ms": 360.0, "time": "2026-09-21T14:13:29.000Z",
                               "width": 640, "height": 480, "label": "car", "score": 0.59, "box": [10, 20, 30, 40], "track_id": 20})

    def test_track(self):
        # Track 10 is objects 0..5; the surest of them is 5. Its own objects are left out, the nearest is 6, then on.
        hits = self.hits("--track", "gate:10", "--top", "4")
        self.assertEqual([h["frame"] for h in hits], [6, 7, 8, 9])
        for h, degrees in zip(hits, (5, 10, 15, 20)):
            import math
            self.assertAlmostEqual(h["distance"], 1 - math.cos(math.radians(degrees)), places=5)

    def test_filters(self):
        self.assertEqual(self.frames("--track", "gate:10", "--stream", "yard:2"), [7, 9, 11, 13, 15, 17])
        self.assertEqual(self.frames("--track", "gate:10", "--where", "site=north"), [6, 8, 10, 12, 14, 16])
        self.assertEqual(self.frames("--track", "gate:10", "--text-label", "car"), [6, 9, 12, 15])
        self.assertEqual(self.frames("--track", "gate:10", "--score", "0.65"), [15, 16, 17])
        self.assertEqual(self.frames("--track", "gate:10", "--from", "2026-09-21T14:13:27", "--to", "2026-09-21T14:13:29Z"), [7, 8])
        self.assertEqual(self.frames("--track", "gate:10", "--where", "site=north", "--where", "n=8"), [8])
        self.assertEqual(self.frames("--track", "gate:10", "--zone", "door"), [])

    def test_table(self):
        lines = self.call("search", "--store", self.store, "--track", "gate:10", "--top", "2", code=0).out.splitlines()
        self.assertEqual(lines[0].split(), ["distance", "time", "(UTC)", "stream", "frame", "track", "label", "score", "box"])
        self.assertEqual(lines[1].split(), ["0.0038", "2026-09-21", "14:13:26.000", "gate", "6", "20", "car", "0.56", "10,20", "30x40"])
        self.assertEqual(len(lines), 3)
        self.assertEqual(self.call("search", "--store", self.store, "--text-label", "cow", code=0).out, "nothing found\n")

    def test_index_file(self):
        index = self.store / "index" / "tiny-object.fmx"
        want = self.frames("--track", "gate:10")
        self.assertTrue(index.is_file())
        bytes_ = bytearray(index.read_bytes())
        for i in (5, 4096 + 5, 9000):
            bytes_[i] ^= 1
        index.write_bytes(bytes_)
        p = self.call("search", "--store", self.store, "--track", "gate:10", "--json", code=0)
        self.assertEqual([h["frame"] for h in json.loads(p.out)["hits"]], want)
        self.assertIn("make it anew", p.err)
        self.db.execute("DELETE FROM features WHERE id = 7")
        self.add(90, (0.0, 0.0, 1.0), "person", 1)
        self.db.commit()
        self.assertEqual(self.frames("--track", "gate:10", "--top", "50"), [f for f in want if f != 6] + [16, 17, 90])

    def test_graph(self):
        # 3000 more in clusters around 30 directions, of three numbers: 0.95 of the nearest are found through the graph at least.
        import random
        rng = random.Random(1)
        centres = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(30)]
        for i in range(3000):
            self.add(100 + i, [c + 0.1 * rng.gauss(0, 1) for c in centres[i % 30]], "person", 1 + i % 2)
        self.db.commit()
        look = ("search", "--store", self.store, "--track", "gate:10", "--top", "40", "--json")
        graph = self.store / "index" / "tiny-object.fmx.graph"

        def search(*args, exact):
            p = self.call(*look, *args, code=0)
            out = json.loads(p.out)
            self.assertEqual(out["exact"], exact)
            return [h["frame"] for h in out["hits"]], p.err

        want, _ = search(exact=True)
        got, err = search("--approx", exact=True)
        self.assertEqual(got, want)
        self.assertIn("there is no graph yet", err)
        self.assertIn("3018 in the index, 0 in the graph", self.call("store", "index", self.store, code=0).out)
        self.assertFalse(graph.exists())
        self.assertIn("3018 in the index, 2048 in the graph", self.call("store", "index", self.store, "--graph", code=0).out)
        self.call("store", "verify", self.store, code=0)
        got, err = search("--approx", exact=False)
        self.assertGreaterEqual(len(set(got) & set(want)), 38)
        self.assertEqual(err, "")
        self.assertEqual(search(exact=True)[0], want)
        # A filter that leaves few is the exact scan's, and nothing is wrong with that.
        got, err = search("--approx", "--text-label", "car", exact=True)
        self.assertEqual((got, err), (search("--text-label", "car", exact=True)[0], ""))
        damaged = bytearray(graph.read_bytes())
        damaged[9000] ^= 1
        graph.write_bytes(damaged)
        self.assertIn("tiny-object.fmx.graph", self.call("store", "verify", self.store, code=1).out)
        p = self.call("store", "index", self.store, "--graph", code=0)
        self.assertIn("making it anew", p.err)
        self.call("store", "verify", self.store, code=0)
        graph.write_bytes(damaged[:5000])
        got, err = search("--approx", exact=True)
        self.assertEqual(got, want)
        self.assertIn("make it anew", err)

    def test_index_is_in_anothers_hands(self):
        import fcntl
        self.frames("--track", "gate:10")
        with open(self.store / "index" / "tiny-object.fmx.lock") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            self.refuse("store", "index", self.store, says="another process is at the index", code=1)
        self.refuse("store", "index", self.dir / "none", says="none", code=1)

    def test_sheet(self):
        seen = self.dir / "shapes"
        self.call("run", "testsrc:320x240@25,frames=4", "--detector", "shapes", "--store", seen, "--out", self.dir / "out", code=0)
        label = json.loads((self.dir / "out").glob("*.jsonl").__next__().read_text().splitlines()[0])["objects"][0]["label"]
        sheet = self.dir / "sheet.png"
        hits = json.loads(self.call("search", "--store", seen, "--text-label", label, "--json", "--sheet", sheet, code=0).out)["hits"]
        self.assertGreaterEqual(len(hits), 4)
        columns = min(len(hits), 6)
        width, height = struct.unpack(">II", sheet.read_bytes()[16:24])
        self.assertEqual((width, height), (columns * 176, -(-len(hits) // 6) * 208))
        self.refuse_sheet("--store", seen, "--text-label", label, "--sheet", "a.gif", says="a sheet's name ends in", code=2)
        self.refuse_sheet("--store", self.store, "--text-label", "car", "--sheet", "b.png", says="kept none", code=1)

    def refuse_sheet(self, *args, says, code):
        """The hits are shown all the same."""
        p = self.call("search", *args, code=code)
        self.assertIn(says, p.err)
        self.assertIn("stream", p.out)

    def test_refusals(self):
        self.refuse("search", says="--store DIR is missing")
        self.refuse("search", "--store", self.store, says="nothing to look for")
        self.refuse("search", "--store", self.store, "--image", "a.png", "--track", "gate:1", says="two things")
        self.refuse("search", "--store", self.dir, "--text-label", "x", says="is no store", code=1)
        self.refuse("search", "--store", self.store, "--track", "gate:77", says="no track 77 of stream 'gate'", code=1)
        for bad in ("gate", "gate:", "gate:x", ":3", "gate:0"):
            self.refuse("search", "--store", self.store, "--track", bad, says="is not STREAM:ID")
        for bad in ("yesterday", "2026-13-01", "2026-02-30", "2026-11-22T25:00", "2026-11-22T10:00:61", "2026-11-22x"):
            self.refuse("search", "--store", self.store, "--text-label", "x", "--from", bad, says="is not a time")
        self.refuse("search", "--store", self.store, "--text-label", "x", "--where", "novalue", says="KEY=VALUE")
        self.refuse("search", "--store", self.store, "--track", "gate:10", "--model", "other", says="no features of objects by other", code=1)
        self.refuse("search", "--store", self.store, "--text-label", "x", "--top", "0", says="--top")
        self.db.execute("PRAGMA user_version = 99")
        self.db.commit()
        self.refuse("search", "--store", self.store, "--text-label", "x", says="version 99", code=1)


if __name__ == "__main__":
    harness.main()
