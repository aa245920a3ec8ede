# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill enhance on videos: what is kept to the byte and to the tick (ffmpeg and ffprobe look), what is left behind when it ends early, what is
refused. Exit code 77 where ffmpeg is missing."""
import functools
import http.server
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import harness

if not shutil.which("ffmpeg"):
    print("skipped: no ffmpeg")
    sys.exit(77)


def ffmpeg(*args, cwd):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, args)], cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def probe(path, *args):
    return subprocess.run(["ffprobe", "-v", "error", *args, "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True).stdout.split()


def times(path, kind):
    return [x.strip(",") for x in probe(path, "-select_streams", kind, "-show_entries", "packet=pts_time") if x.strip(",")]


def sizes(path):
    return probe(path, "-select_streams", "v", "-show_entries", "stream=codec_name,width,height")[0]


def copied(path):
    """A digest of the sound's packets."""
    return subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-"], capture_output=True, check=True).stdout


def decodes(path):
    """Frames that a player gets out of it."""
    return len(probe(path, "-select_streams", "v", "-show_entries", "frame=pts_time"))


class Video(harness.Case):
    def film(self, name="film.mp4", *extra, seconds=2, size="160x120", rate="30000/1001", graph="noise=alls=15:allf=t"):
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100", "-t", seconds, "-vf", graph,
               "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-metadata", "title=A film", *extra, name, cwd=self.dir)
        return self.dir / name

    def test_sound_and_times_are_kept(self):
        film = self.film()
        for name, kinds in (("a.mp4", "h264"), ("b.mkv", "h264"), ("c.mov", "h264"), ("d.avi", "mpeg4")):
            p = self.call("enhance", film, "-o", name, "--denoise", "nlm:h=6", "--color", "auto", code=0)
            self.assertEqual((p.out, p.err), ("", ""))
            self.assertEqual(sizes(self.dir / name), f"{kinds},160,120")
            self.assertEqual(copied(self.dir / name), copied(film), name)
            self.assertEqual(decodes(self.dir / name), 60)
        self.assertEqual(sorted(times(self.dir / "a.mp4", "v"), key=float), sorted(times(film, "v"), key=float))
        self.assertEqual(times(self.dir / "a.mp4", "a"), times(film, "a"))
        self.assertIn("film", probe(self.dir / "a.mp4", "-show_entries", "format_tags=title"))

    def test_variable_rate_and_a_late_start(self):
        film = self.film("film.mkv", "-fps_mode", "vfr", graph="select='not(between(n,10,25))+eq(n,13)',setpts=PTS+0.5/TB", seconds=3)
        self.call("enhance", film, "-o", "o.mkv", "--color", "auto", code=0)
        want = sorted(map(float, times(film, "v")))
        self.assertGreater(max(b - a for a, b in zip(want, want[1:])), 0.3)
        self.assertEqual(sorted(map(float, times(self.dir / "o.mkv", "v"))), want)
        self.assertEqual(times(self.dir / "o.mkv", "a"), times(film, "a"))

    def test_codecs(self):
        film = self.film(seconds=1)
        for codec, name in (("hevc", "a.mp4"), ("vp9", "a.webm"), ("ffv1", "a.mkv"), ("mpeg4", "a.avi")):
            p = self.call("enhance", film, "-o", name, "--codec", codec, "--color", "auto", "--frames", 10)
            if p.returncode == 1 and "no encoder for codec" in p.err:
                continue  # of this libavcodec
            self.assertEqual(p.returncode, 0, p.err)
            self.assertEqual((sizes(self.dir / name), decodes(self.dir / name)), (f"{codec},160,120", 10))
        sizes_of = []
        for quality in (15, 35):
            self.call("enhance", film, "-o", "q.mp4", "--quality", quality, "--preset", "fast", "--color", "auto", code=0)
            sizes_of.append((self.dir / "q.mp4").stat().st_size)
        self.assertGreater(sizes_of[0], 2 * sizes_of[1])

    def test_enlarged_compared_and_odd(self):
        film = self.film(seconds=1, size="98x62")
        self.call("enhance", film, "-o", "big.mp4", "--sr", "lanczos:2", "--compare", "both.mkv", "--frames", 5, code=0)
        self.assertEqual(sizes(self.dir / "big.mp4"), "h264,196,124")
        self.assertEqual(sizes(self.dir / "both.mkv"), "h264,392,124")
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=35x21:rate=5", "-t", 1, "-c:v", "ffv1", "-pix_fmt", "yuv444p", "odd.mkv", cwd=self.dir)
        self.call("enhance", "odd.mkv", "-o", "same.mkv", "--codec", "ffv1", "--color", "saturation=1.2", code=0)
        self.assertEqual(probe(self.dir / "same.mkv", "-show_entries", "stream=width,height,pix_fmt"), ["35,21,yuv444p"])
        self.call("enhance", "odd.mkv", "-o", "cut.mp4", "--color", "saturation=1.2", code=0)
        self.assertEqual(sizes(self.dir / "cut.mp4"), "h264,34,20")

    def test_what_is_done_to_it_is_what_is_done_to_its_pictures(self):
        """Saturation looks at one pixel at a time: frames of the video, lossless, against ffmpeg's frames through pictures, within a level of rounding."""
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=5", "-t", 1, "-c:v", "ffv1", "-pix_fmt", "yuv444p", "in.mkv", cwd=self.dir)
        self.call("enhance", "in.mkv", "-o", "out.mkv", "--codec", "ffv1", "--color", "saturation=0.5", code=0)
        for name in ("in", "out"):
            ffmpeg("-i", f"{name}.mkv", "-pix_fmt", "yuv444p", "-f", "rawvideo", f"{name}.yuv", cwd=self.dir)
        a, b = (self.dir / "in.yuv").read_bytes(), (self.dir / "out.yuv").read_bytes()
        self.assertEqual(len(a), len(b))
        size = 64 * 48
        for frame in range(len(a) // (3 * size)):
            for plane in (1, 2):
                at = (3 * frame + plane) * size
                self.assertTrue(all(abs((y - 128) - (x - 128) / 2) <= 1.01 for x, y in zip(a[at:at + size], b[at:at + size])))

    def wait_for(self, path, size, process):
        for _ in range(600):
            if path.exists() and path.stat().st_size > size:
                return
            self.assertIsNone(process.poll(), process.stderr.read() if process.poll() is not None else "")
            time.sleep(0.05)
        self.fail(f"{path} does not grow")

    def planes(self, name):
        """Luma of every frame."""
        ffmpeg("-i", name, "-pix_fmt", "gray", "-f", "rawvideo", "raw", cwd=self.dir)
        return (self.dir / "raw").read_bytes()

    def test_over_time_no_frame_is_lost_or_moved(self):
        """Before stands beside after: the frame that came in, though what comes out comes later. One frame alone is a video, too."""
        self.film("in.mkv", "-c:v", "ffv1", "-an", size="64x48", rate="10", seconds=1)
        for frames, how in ((10, "nlm-t:h=12"), (10, "nlm-t:h=12:frames=5"), (1, "nlm-t:h=12:frames=5"), (2, "nlm-t")):
            self.call("enhance", "in.mkv", "-o", "out.mkv", "--codec", "ffv1", "--denoise", how, "--frames", frames, "--compare", "both.mkv", code=0)
            before, after, both = (self.planes(x) for x in ("in.mkv", "out.mkv", "both.mkv"))
            self.assertEqual(len(after), frames * 64 * 48)
            self.assertEqual(sorted(times(self.dir / "out.mkv", "v"), key=float), sorted(times(self.dir / "in.mkv", "v"), key=float)[:frames])
            rows = [both[i:i + 128] for i in range(0, len(both), 128)]
            self.assertEqual(b"".join(r[:64] for r in rows), before[:len(after)])
            self.assertEqual(b"".join(r[64:] for r in rows), after)
            self.assertNotEqual(before[:len(after)], after)

    def test_killed_it_plays_up_to_there(self):
        film = self.film(seconds=60, graph="null")
        p = self.start("enhance", film, "-o", "out.mp4", "--denoise", "nlm:h=12", "--threads", 1)
        part = self.dir / "out.mp4.part"
        self.wait_for(part, 60000, p)
        p.kill()
        p.communicate()
        self.assertFalse((self.dir / "out.mp4").exists())
        self.assertGreater(decodes(part), 30)

    def test_interrupted_it_ends_there_and_is_whole(self):
        film = self.film(seconds=60, graph="null")
        p = self.start("enhance", film, "-o", "out.mkv", "--denoise", "nlm:h=12", "--threads", 1)
        self.wait_for(self.dir / "out.mkv.part", 30000, p)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130)
        self.assertFalse((self.dir / "out.mkv.part").exists())
        n = decodes(self.dir / "out.mkv")
        self.assertTrue(5 < n < 1700, n)

    def test_a_full_disk_leaves_nothing_behind(self):
        film = self.film(seconds=4)
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        self.refuse("enhance", film, "-o", "out.mp4", "--quality", 5, "--color", "auto", says="out.mp4", code=1, preexec_fn=limit)
        self.assertEqual([x.name for x in self.dir.iterdir() if x.name.startswith("out")], [])

    def test_damage_is_left_out_and_said(self):
        film = self.film("film.ts", "-bsf:v", "noise=amount=20000", seconds=3)
        p = self.call("enhance", film, "-o", "out.mp4", "--color", "auto")
        self.assertIn(p.returncode, (0, 3), p.err)
        self.assertGreater(decodes(self.dir / "out.mp4"), 20)
        whole = self.film("whole.mp4", seconds=3).read_bytes()
        (self.dir / "cut.mp4").write_bytes(whole[:len(whole) // 2])
        p = self.call("enhance", "cut.mp4", "-o", "c.mp4", "--color", "auto")
        self.assertIn(p.returncode, (1, 3), p.err)
        self.assertEqual(p.err.count("\n"), 1, p.err)

    def test_from_a_web_server(self):
        film = self.film("film.mp4", "-movflags", "faststart", seconds=1)
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(self.dir)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            self.call("enhance", f"http://127.0.0.1:{server.server_port}/film.mp4", "-o", "o.mp4", "--color", "auto", code=0)
        finally:
            server.shutdown()
        self.assertEqual(decodes(self.dir / "o.mp4"), decodes(film))
        self.assertEqual(copied(self.dir / "o.mp4"), copied(film))

    def test_what_is_refused(self):
        film = self.film(seconds=1)
        ffmpeg("-f", "lavfi", "-i", "sine", "-t", 1, "song.mp3", cwd=self.dir)
        self.write("text.mp4", "not a video")
        for args, says, code in (
            ([film, "-o", "x.png", "--color", "auto"], "ends in .mp4", 2),
            ([film, "-o", film, "--color", "auto"], "choose another output", 2),
            ([film, "-o", "x.mp4", "--codec", "ffv1", "--quality", "3", "--color", "auto"], "loses nothing", 2),
            ([film, "-o", "x.mp4", "--preset", "quick", "--color", "auto"], "ultrafast", 2),
            ([film, "-o", "x.mp4", "--quality", "80", "--color", "auto"], "51", 2),
            ([film, "-o", "no/x.mp4", "--color", "auto"], "no/x.mp4", 1),
            ([film, "-o", "x.mp4"], "nothing to do", 2),
            (["song.mp3", "-o", "x.mp4", "--color", "auto"], "song.mp3", 1),
            (["text.mp4", "-o", "x.mp4", "--color", "auto"], "text.mp4", 1),
            (["testsrc:64x48@5", "-o", "x.mp4", "--color", "auto"], "test source", 1),
        ):
            self.refuse("enhance", *args, says=says, code=code)
        self.assertEqual([x.name for x in self.dir.iterdir() if x.name.startswith("x.")], [])


if __name__ == "__main__":
    harness.main()
