# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill run --store and framemill store: what a run kept is what it wrote beside it, comes out as plain files and goes in again, and is looked
after; what is damaged or held by somebody else is said."""
import csv
import json
import time

import harness

FRAMES, SHAPES = 40, 4
SRC = f"testsrc:192x128@25,frames={FRAMES},shapes={SHAPES},seed=3"
RUN = ["run", "--detector", "shapes", "--tracker", "bytetrack", "--quiet"]


class Store(harness.Case):
    def setUp(self):
        super().setUp()
        p = self.call("store", "--help")
        if p.returncode == 0 and "SQLite" in self.call(*RUN, "--store", "probe", "--frames", "1", SRC).err:
            self.skipTest("built without SQLite or libturbojpeg")

    def fill(self, *flags):
        self.call(*RUN, "--out", "o", "--store", "st", *flags, SRC, code=0)

    def counts(self, store="st"):
        return json.loads(self.call("store", "stat", store, "--json", code=0).out)

    def test_what_a_run_keeps_is_what_it_writes(self):
        self.fill("--mot-box", "detection")
        lines = self.lines((self.dir / "o" / "testsrc.jsonl").read_text())
        c = self.counts()
        self.assertEqual((c["streams"], c["frames"]), (1, FRAMES))
        self.assertEqual(c["objects"], sum(len(x["objects"]) for x in lines))
        self.assertEqual(c["tracks"], len({o["track_id"] for x in lines for o in x["objects"] if "track_id" in o}))
        self.call("store", "verify", "st", code=0)
        self.call("store", "export", "st", "mot", "--format", "mot", code=0)
        texts = [(self.dir / path).read_text().splitlines() for path in ("mot/testsrc.txt", "o/testsrc.mot.txt")]
        self.assertEqual(sorted(texts[0]), sorted(texts[1]))  # objects of one score may change places

    def test_out_as_coco_and_csv_and_in_again(self):
        self.fill()
        self.call("store", "export", "st", "coco", "--format", "coco", "--pictures", code=0)
        coco = json.loads((self.dir / "coco" / "testsrc.json").read_text())
        self.assertEqual(len(coco["images"]), FRAMES)
        self.assertEqual({c["name"] for c in coco["categories"]} & {"red", "green", "blue", "yellow"}, {"red", "green", "blue", "yellow"})
        for image in coco["images"]:
            self.assertTrue((self.dir / "coco" / image["file_name"]).read_bytes().startswith(b"\xff\xd8"))
        self.call("store", "export", "st", "csv", "--format", "csv", "--pictures", code=0)
        self.call("store", "import", "st2", "csv", code=0)
        before, after = self.counts(), self.counts("st2")
        for key in ("frames", "objects", "tracks"):
            self.assertEqual(after[key], before[key], key)
        self.call("store", "export", "st2", "csv2", "--format", "csv", "--pictures", code=0)
        rows = [list(csv.reader((self.dir / d / "testsrc.csv").read_text().splitlines())) for d in ("csv", "csv2")]
        self.assertEqual(rows[0], rows[1])
        for path in (self.dir / "csv" / "testsrc").iterdir():
            self.assertEqual((self.dir / "csv2" / "testsrc" / path.name).read_bytes(), path.read_bytes())

    def test_what_is_kept_is_chosen(self):
        for keep, pictures in (("none", 0), ("crops", SHAPES), ("frames", FRAMES + SHAPES)):
            self.call(*RUN, "--store", keep, "--store-keep", keep, SRC, code=0)
            c = self.counts(keep)
            self.assertEqual((c["frames"], c["pictures"]), (FRAMES, pictures), keep)
        self.call(*RUN, "--store", "fifth", "--store-every", "5", SRC, code=0)
        self.assertEqual(self.counts("fifth")["pictures"], FRAMES // 5 + SHAPES)

    def test_a_second_run_goes_on_and_pruning_deletes(self):
        self.fill()
        self.fill()
        self.assertEqual(self.counts()["frames"], 2 * FRAMES)
        self.assertIn("0 frames deleted", self.call("store", "prune", "st", code=0).out)
        self.assertIn(f"{2 * FRAMES} frames deleted", self.call("store", "prune", "st", "--max-bytes", "1000", code=0).out)
        self.assertEqual(self.counts()["frames"], 0)
        self.call("store", "verify", "st", code=0)

    def test_damage_is_found_and_mended(self):
        self.fill()
        segment = next((self.dir / "st" / "segments").iterdir())
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 0x40
        segment.write_bytes(data)
        p = self.call("store", "verify", "st", code=1)
        self.assertEqual(p.out.count("\n"), 1)
        self.assertIn("store rebuild st", p.err)
        self.call("store", "rebuild", "st")
        self.call("store", "verify", "st", code=0)
        self.assertEqual(self.counts()["frames"], FRAMES)

    def test_two_writers(self):
        p = self.start(*RUN, "--store", "st", "--realtime", "testsrc:192x128@25,frames=1000,shapes=4")
        try:
            for _ in range(200):
                if (self.dir / "st" / "store.db").exists():
                    break
                time.sleep(0.05)
            q = self.call(*RUN, "--store", "st", SRC)
            self.assertNotEqual(q.returncode, 0)
            self.assertIn(str(p.pid), q.err)
        finally:
            p.terminate()
            p.communicate(timeout=60)

    def test_what_is_refused(self):
        self.refuse("store", "stat", "nowhere", says="nowhere", code=1)
        self.write("file", "x")
        self.refuse("store", "stat", "file", says="file", code=1)
        self.refuse("store", "export", "st", "out", "--format", "xml", says="coco")


if __name__ == "__main__":
    harness.main()
