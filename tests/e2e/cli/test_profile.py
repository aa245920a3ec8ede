# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""--profile: a page that is whole and safe, and whose times are those that the trace, /proc and this test's own clock tell."""
import collections
import json
import os
import pathlib
import signal
import time
import unittest

import check_page
import check_trace
import harness

TRACKED = ["--detector", "shapes", "--tracker", "deepsort", "--embedder", "colors", "--annotate"]
STAGES = {"decode", "enhance", "preprocess", "infer", "head", "track", "sink"}  # of threads
VIDEOS = [pathlib.Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi"), harness.DATA / "video" / "vtest_480x360.mp4"]
VIDEO = next((v for v in VIDEOS if v.is_file()), None)
HAS_MODEL = (harness.DATA / "models" / "yolox_nano_dyn.xml").is_file()


def total(t, kind):
    return sum(t[kind].values())


class Profile(harness.Case):
    def profile(self, *args, code=0, **kw):
        p = self.call("run", "--quiet", "--out", "o", "--profile", "p.html", "--report", "r.json", *args, code=code, **kw)
        return check_page.read(self.dir / "p.html"), json.loads((self.dir / "r.json").read_text()), p

    def check_threads(self, n):
        """Each thread's spans make up its life within 5 %. It works no shorter than the kernel says that it was on a core, and no
        longer than that, the time it stood in line for one, and what it may sleep on a lock: within 5 % of its life."""
        self.assertTrue({"fm-in-0", "fm-out-0", "fm-exec-0", "fm-profile"} <= {t["name"] for t in n["threads"]})
        for t in n["threads"]:
            busy, idle, life = total(t, "busy"), total(t, "idle"), t["life_s"]
            self.assertLessEqual(life, n["seconds"] + 0.5, t)
            self.assertAlmostEqual(busy + idle, life, delta=0.05 * life + 0.001, msg=str(t))
            self.assertLessEqual(t["cpu_s"], busy + 0.05 * life + 0.02, t)

    def check_computes(self, n, names):
        """Of threads that compute all the time that they are at work."""
        for t in n["threads"]:
            if t["name"] in names and "delayed_s" in t:
                self.assertLessEqual(total(t, "busy"), t["cpu_s"] + t["delayed_s"] + 0.05 * t["life_s"] + 0.02, t)

    def check_trace(self, n):
        """The trace is written by another way: by thread and stage both must have seen the same."""
        by_phase, names, lost = check_trace.check(self.dir / "t.json")
        self.assertEqual(lost, 0)
        traced, told = collections.Counter(), collections.Counter()
        for e in by_phase["X"]:
            traced[names[e["tid"]], e["name"]] += e["dur"] / 1e6
        for t in n["threads"]:
            for stage, s in t["busy"].items():
                if stage in STAGES:
                    told[t["name"], stage] += s
        self.assertEqual(set(traced), set(told))
        for key, s in traced.items():
            self.assertAlmostEqual(told[key], s, delta=0.01 * s + 0.001, msg=key)

    def check_report(self, page, report):
        n = page.numbers
        self.assertEqual((n["frames"], round(n["seconds"], 3)), (report["frames"], round(report["seconds"], 3)))
        rows = {r["stage"]: r for r in page.table("stage")}
        self.assertEqual(set(rows), set(report["stages"]))
        for name, s in report["stages"].items():
            self.assertEqual(rows[name]["count"].replace(",", ""), str(s["count"]))
            self.assertAlmostEqual(float(rows[name]["total, s"]), s["total_ms"] / 1e3, delta=0.001)
            self.assertAlmostEqual(float(rows[name]["p99"]), s["p99_ms"], delta=0.06)
        shares = sum(float(r["share, %"]) for r in rows.values() if r["share, %"])
        self.assertAlmostEqual(shares, 100, delta=0.5)
        for t in n["threads"]:
            self.assertLess(total(t, "busy") + total(t, "idle"), t["life_s"] * 1.001 + 0.001)
        pools = {r["pool"].rstrip(" *") for r in page.table("pool")}
        self.assertEqual(pools, set(report["pools"]))

    def test_synthetic(self):
        begin = time.monotonic()
        page, report, _ = self.profile(*TRACKED, "--threads", 1, "--trace", "t.json", "testsrc:320x240@25,frames=400")
        wall = time.monotonic() - begin
        n = page.numbers
        self.assertLess(n["seconds"], wall)
        self.check_threads(n)
        self.check_computes(n, {"fm-in-0", "fm-out-0"})
        self.check_trace(n)
        self.check_report(page, report)
        self.assertEqual({r["stream"]: r["frames"] for r in page.table("stream")}, {"testsrc": "400"})
        self.assertEqual([r["queue of"] for r in page.table("queue of")], ["testsrc"])

    @unittest.skipUnless(VIDEO, "no video: neither the package opencv-doc nor the data folder is there")
    def test_real_video(self):
        page, report, _ = self.profile("--detector", "motion", "--tracker", "ocsort", "--annotate", "--threads", 1, "--trace", "t.json",
                                       "--frames", 150, VIDEO)
        self.check_threads(page.numbers)
        self.check_computes(page.numbers, {"fm-out-0"})
        self.check_trace(page.numbers)
        self.check_report(page, report)

    @unittest.skipUnless(VIDEO and HAS_MODEL, "no video or no models in FM_DATA")
    def test_real_video_and_network(self):
        env = {"FRAMEMILL_MODEL_MIRROR": str(harness.DATA / "models"), "FRAMEMILL_MODELS": str(self.dir / "m")}
        self.call("models", "fetch", "yolox-nano", env=env, code=0)
        page, report, _ = self.profile("--tracker", "bytetrack", "--annotate", "--trace", "t.json", "--frames", 60, VIDEO, VIDEO, env=env)
        self.check_threads(page.numbers)
        self.check_trace(page.numbers)
        self.check_report(page, report)
        text = " ".join(page.text)
        self.assertIn("SHA-256", text)
        self.assertRegex(text, "sets? the pace|busy all the time")

    def tasks(self, pid):
        """Name and processor seconds of each thread, from the kernel."""
        out = {}
        hz = os.sysconf("SC_CLK_TCK")
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            text = (task / "stat").read_text()
            fields = text.rpartition(")")[2].split()
            out[int(task.name)] = (text.partition("(")[2].rpartition(")")[0], (int(fields[11]) + int(fields[12])) / hz)
        return out

    def test_processor_time_as_the_kernel_counts_it_and_ctrl_c(self):
        p = self.start("run", "--quiet", "--detector", "shapes", "--tracker", "bytetrack", "--profile", "p.html", "testsrc:160x120@50")
        for _ in range(3000):
            p.stdout.readline()
        first, began = self.tasks(p.pid), time.monotonic()
        for _ in range(2000):
            p.stdout.readline()
        before, lasted = self.tasks(p.pid), time.monotonic() - began
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130)
        n = check_page.read(self.dir / "p.html").numbers
        self.assertGreaterEqual(n["frames"], 5000)
        self.assertGreater(n["seconds"], lasted)
        self.check_threads(n)
        mine = {t["tid"]: t for t in n["threads"]}
        ours = {tid for tid, (name, _) in before.items() if name.startswith(("fm-in", "fm-out", "fm-exec", "fm-profile"))}
        self.assertEqual(ours, set(mine))
        for tid in ours:
            name, cpu = before[tid]
            self.assertEqual(mine[tid]["name"], name)
            # What it did after this look is at most what is left of its life.
            rest = n["seconds"] - lasted
            self.assertGreaterEqual(mine[tid]["cpu_s"] + 0.02, cpu, name)
            self.assertLessEqual(mine[tid]["cpu_s"], cpu + 0.05 * cpu + 0.1 * rest + 0.05, name)
            # Between the two looks no thread was longer on a core than it says that it worked in all.
            self.assertLessEqual(cpu - first[tid][1], total(mine[tid], "busy") * 1.05 + 0.03, name)

    def test_hostile_names(self):
        evil = "testsrc:48x48@25,frames=3"
        config = self.write("c.yaml", "streams:\n  - {name: \"</script><script>alert(1)</script>\", url: \"" + evil + "\"}\n"
                            "  - {name: \"a\\\"b'<i>&\", url: \"rtsp://user:" + harness.SECRET + "@127.0.0.1:1/<b>x\"}\n")
        page, _, _ = self.profile("--config", config, "--detector", "none", code=3)
        self.assertNotIn(harness.SECRET, (self.dir / "p.html").read_text())
        self.assertIn("<b>x", " ".join(page.text))  # the address, as text

    def test_bad_paths(self):
        self.refuse("run", "--detector", "none", "--out", "o", "--profile", "no/p.html", "testsrc:64x48@25", code=1,
                    says="the profile cannot be written to 'no/p.html': No such file")
        self.assertFalse((self.dir / "o" / "testsrc.jsonl").exists())
        if os.path.exists("/dev/full"):
            p = self.call("run", "--quiet", "--detector", "none", "--out", "o", "--profile", "/dev/full",
                          "testsrc:64x48@25,frames=3", code=1)
            self.assertIn("/dev/full", p.err)
            self.assertIn("No space left", p.err)
        (self.dir / "p.html").write_text("old")
        self.profile("--detector", "none", "no-such.mp4", code=3)
        self.assertEqual([f.name for f in self.dir.iterdir() if f.name.startswith("p.html")], ["p.html"])

    def test_a_long_run_stays_small(self):
        page, report, _ = self.profile("--detector", "none", "testsrc:48x48@25,frames=200000", *["testsrc:48x48@25,frames=1000"] * 40)
        self.assertEqual(report["frames"], 240000)
        self.assertLess((self.dir / "p.html").stat().st_size, 2 << 20)
        self.assertLess(report["memory"]["base"]["peak_bytes"], 4 << 20)
        self.assertEqual(len(page.numbers["streams"]), 41)
        self.assertIn("all other streams", " ".join(page.text))

    def test_what_sets_the_pace(self):
        """Where one part is made slow, the page says so."""
        # Decoding costs less than drawing and encoding, in every build: both are libav's.
        self.call("run", "--quiet", "--detector", "none", "--annotate", "--out", "made", "testsrc:640x480@25,frames=120", code=0)
        page, _, _ = self.profile("--detector", "none", "--annotate", "made/testsrc.mp4")
        self.assertIn("Delivery sets the pace", " ".join(page.text))
        page, _, _ = self.profile("--detector", "none", "--denoise", "nlm", "testsrc:640x480@25,frames=12")
        self.assertIn("Reading sets the pace", " ".join(page.text))
        self.assertIn("most of it with 'enhance'", " ".join(page.text))
        page, _, _ = self.profile("--detector", "none", "--realtime", "testsrc:64x48@25,frames=12")
        self.assertIn("The clock sets the pace", " ".join(page.text))

    def test_without_it_nothing_is_kept(self):
        p = self.call("run", "--quiet", "--detector", "none", "--out", "o", "testsrc:64x48@25,frames=3", code=0)
        self.assertEqual(p.err, "")
        self.assertEqual([f.name for f in self.dir.iterdir()], ["o"])

    def test_nothing_leaks(self):
        _, report, p = self.profile(*TRACKED, "--log-level", "debug", "testsrc:64x48@25,frames=30", "no-such.mp4", code=3)
        self.assertNotIn("leaks", p.err)
        pools = report["pools"]
        for name, module in (("frames", "frame"), ("tensors", "infer"), ("galleries", "track"), ("rings", "exec"), ("works", "pipeline"),
                             ("scratch", "pipeline")):
            self.assertEqual(pools[name]["module"], module)
            self.assertGreater(pools[name]["peak_bytes"], 0, name)
            self.assertLessEqual(pools[name]["current_bytes"], pools[name]["peak_bytes"], name)
        self.assertEqual(pools["works"]["in_use"], 0)  # all frames have left
        self.assertGreater(pools["works"]["resting"], 10)
        self.assertEqual(pools["rings"]["in_use"], 0)


class Checker(harness.Case):
    """The checker sees what is wrong."""
    def test_refuses(self):
        for body in ("<p>", "<p></div>", "<p onclick=x></p>", "<a href=x></a>", "<img>", "<script>x</script>"):
            with self.assertRaises(check_page.Bad, msg=body):
                check_page.Page("<html><style></style>" + body + "</html>")
        with self.assertRaises(check_page.Bad):
            check_page.Page("<html><style>a{background:url(x)}</style></html>")


if __name__ == "__main__":
    harness.main()
