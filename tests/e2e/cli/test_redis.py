# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill run --redis against a real redis-server: what goes into files arrives there too, each entry once by its id, whatever
becomes of Redis or of framemill on the way; what cannot be sent waits on disk, within its bound; secrets stay secret."""
import collections
import contextlib
import json
import select
import signal
import subprocess
import time

import harness
import redis_server

FRAMES, SHAPES = 200, 4
FAST = f"testsrc:192x128@100,frames={FRAMES},shapes={SHAPES},seed=3"
RUN = ["run", "--detector", "shapes", "--tracker", "bytetrack", "--quiet", "--redis-producer", "p"]
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
RESULTS, EVENTS = "framemill:results:testsrc", "framemill:events"


class RedisCase(harness.Case):
    OPTIONS = ()
    built = None  # not asked yet

    def setUp(self):
        super().setUp()
        if not redis_server.SERVER:
            self.skipTest("redis-server is not installed")
        self.closing = contextlib.ExitStack()
        self.server = redis_server.Server(self.dir, *self.OPTIONS)
        self.closing.callback(self.server.kill)
        if RedisCase.built is None:
            checks = json.loads(self.call("doctor", "--json").out)
            RedisCase.built = any(c["name"] == "redis" and c["state"] == "ok" for c in checks)
        if not RedisCase.built:
            self.skipTest("built without hiredis or OpenSSL")

    def tearDown(self):
        self.closing.close()
        super().tearDown()

    def spool(self, producer):
        return self.dir / ".local/state/framemill/redis" / producer

    def settings(self, **keys):
        """A configuration file for keys that have no flag."""
        text = "".join(f"{k}: {json.dumps(v)}\n" for k, v in keys.items())
        return ["--config", self.write(f"c{len(list(self.dir.glob('c*')))}.yaml", text)]

    def command(self, *flags, url=None, out="o"):
        return [*RUN, "--redis", url or self.server.url, "--out", out, "--report", f"{out}.json", *flags]

    def report(self, out="o"):
        return json.loads((self.dir / f"{out}.json").read_text())["redis"]

    def wait_until(self, what, seconds=30):
        deadline = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), deadline, "waited in vain")
            select.select([], [], [], 0.01)

    def finish(self, p, code=0):
        out, err = p.communicate(timeout=100)
        self.assertEqual(p.returncode, code, err.decode()[-2000:])
        return err.decode()

    def lines_of(self, out="o"):
        return (self.dir / out / "testsrc.jsonl").read_text().splitlines()

    def check_all_arrived(self, outs=("o",), client=None):
        """Results are the lines of the files, in order; each id once; each track begins before it ends."""
        with contextlib.closing(client or self.server.client()) as c:
            results, events = c.stream(RESULTS), c.stream(EVENTS)
        self.assertEqual([f["data"] for _, f in results], [line for out in outs for line in self.lines_of(out)])
        ids = [f["id"] for _, f in results + events]
        self.assertEqual(max(collections.Counter(ids).values()), 1)
        kinds = collections.Counter(f["type"] for _, f in events)
        n = len(outs)
        self.assertEqual((kinds["stream_start"], kinds["stream_end"]), (n, n))
        tracks = {(out, o["track_id"]) for out in outs for line in self.lines_of(out) for o in json.loads(line)["objects"] if "track_id" in o}
        self.assertEqual((kinds["track_start"], kinds["track_end"]), (len(tracks), len(tracks)))
        sequence = [tuple(map(int, f["id"].split(":")[1:])) for _, f in events]
        self.assertEqual(sequence, sorted(sequence))
        return results, events


class Sending(RedisCase):
    def test_results_and_events(self):
        self.server.start()
        self.call(*self.command(), FAST, code=0)
        results, events = self.check_all_arrived()
        self.assertEqual({f["type"] for _, f in results}, {"result"})
        r = self.report()
        self.assertEqual((r["put"], r["sent"]), (len(results) + len(events),) * 2)
        self.assertEqual((r["dropped"], r["waiting"], r["repeated"]), (0, 0, 0))
        lines = [json.loads(x) for x in self.lines_of()]
        for _, f in events:
            data = json.loads(f["data"])
            self.assertEqual(f["stream"], "testsrc")
            if f["type"] == "track_start":
                of = [o for o in lines[data["frame"]]["objects"] if o.get("track_id") == data["track_id"]]
                self.assertEqual((of[0]["box"], of[0]["label"]), (data["box"], data["label"]))
            if f["type"] == "track_end":
                seen = [x["frame"] for x in lines if any(o.get("track_id") == data["track_id"] for o in x["objects"])]
                self.assertEqual((seen[0], seen[-1], len(seen)), (data["first_frame"], data["last_frame"], data["frames"]))
        self.assertEqual(list(self.spool("p").glob("*.spool")), [])

    def test_bounded_by_maxlen_and_without_results(self):
        self.server.start()
        self.call(*self.command(*self.settings(redis_max_results=100, redis_max_events=1)), FAST, code=0)
        with contextlib.closing(self.server.client()) as c:
            self.assertLess(c("XLEN", RESULTS), FRAMES)  # "about": whole nodes of a stream go
            c("FLUSHALL")
            self.call(*self.command(*self.settings(redis={"results": False})), FAST, code=0)
            self.assertEqual(c("XLEN", RESULTS), 0)
            self.assertEqual(len([1 for _, f in c.stream(EVENTS) if f["type"] == "track_end"]), SHAPES)

    def test_killed_and_restarted_in_mid_run(self):
        self.server.start()
        p = self.start(*self.command("--realtime"), FAST)
        with contextlib.closing(self.server.client()) as c:
            self.wait_until(lambda: c("XLEN", RESULTS) > 20)
        for _ in range(2):
            self.server.kill()
            self.server.start()
            with contextlib.closing(self.server.client()) as c:
                n = c("XLEN", RESULTS)
                self.wait_until(lambda: c("XLEN", RESULTS) > n or p.poll() is not None)
        self.finish(p)
        self.check_all_arrived()
        self.assertGreaterEqual(self.report()["reconnects"], 1)
        self.assertEqual(self.report()["waiting"], 0)

    def test_away_then_there(self):
        p = self.start(*self.command("--realtime"), FAST)
        self.wait_until(lambda: (self.dir / "o/testsrc.jsonl").exists() and len(self.lines_of()) > 50)
        self.server.start()
        self.finish(p)
        self.check_all_arrived()

    def test_full_in_mid_run(self):
        self.server.start()
        p = self.start(*self.command("--realtime"), FAST)
        with contextlib.closing(self.server.client()) as c:
            self.wait_until(lambda: c("XLEN", RESULTS) > 20)
            c("CONFIG", "SET", "maxmemory", "1")
            self.wait_until(lambda: len(self.lines_of()) > 60)
            there = c("XLEN", RESULTS)
            self.assertLess(there, len(self.lines_of()))
            c("CONFIG", "SET", "maxmemory", "0")
        self.finish(p)
        self.check_all_arrived()

    def test_stands_still_in_mid_run(self):
        self.server.start()
        p = self.start(*self.command("--realtime", *self.settings(redis_timeout=0.3)), FAST)
        with contextlib.closing(self.server.client()) as c:
            self.wait_until(lambda: c("XLEN", RESULTS) > 20)
        self.server.pause()
        self.wait_until(lambda: len(self.lines_of()) > 60)
        self.server.resume()
        self.finish(p)
        self.check_all_arrived()

    def test_slow(self):
        self.server.start()
        relay = redis_server.Relay(self.dir / "slow", self.server.socket, 0.05)
        self.closing.callback(relay.close)
        self.call(*self.command("--realtime", url=f"unix://{self.dir}/slow"), FAST, code=0)
        self.check_all_arrived()

    def test_answers_that_are_lost_make_no_doubles(self):
        self.server.start()
        relay = redis_server.LossyRelay(self.dir / "lossy", self.server.socket, 3)
        self.closing.callback(relay.close)
        self.call(*self.command("--realtime", *self.settings(redis_flush=60), url=f"unix://{self.dir}/lossy"), FAST, code=0)
        self.check_all_arrived()
        self.assertGreater(relay.lost, 3)
        self.assertGreater(self.report()["repeated"], 0)
        self.assertEqual(self.report()["sent"] + self.report()["repeated"], self.report()["put"])

    def test_a_key_of_another_kind_is_said_and_waits(self):
        self.server.start()
        with contextlib.closing(self.server.client()) as c:
            c("SET", EVENTS, "x")
            flags = self.settings(redis_flush=0.5)
            err = self.call(*[f for f in self.command(*flags) if f != "--quiet"], FAST, code=0).err
            self.assertIn("WRONGTYPE", err)
            self.assertIn("wait in", err)
            c("DEL", EVENTS)
        self.call(*self.command(out="o2"), FAST, code=0)
        self.check_all_arrived(outs=("o", "o2"))


class Spool(RedisCase):
    def test_what_was_left_goes_out_with_the_next_run(self):
        flags = self.settings(redis_flush=0)
        err = self.call(*[f for f in self.command(*flags) if f != "--quiet"], FAST, code=0).err
        self.assertIn("wait in", err)
        waiting = self.report()["waiting"]
        self.assertEqual(waiting, self.report()["put"])
        self.server.start()
        self.call(*self.command(out="o2"), FAST, code=0)
        self.check_all_arrived(outs=("o", "o2"))
        self.assertEqual(self.report("o2")["sent"], waiting + self.report("o2")["put"])

    def test_killed_ourselves(self):
        p = self.start(*self.command("--realtime"), FAST)
        self.wait_until(lambda: (self.dir / "o/testsrc.jsonl").exists() and len(self.lines_of()) > 60)
        p.kill()
        p.communicate()
        written = len(self.lines_of())
        self.server.start()
        self.call(*self.command(out="o2"), FAST, code=0)
        with contextlib.closing(self.server.client()) as c:
            results = [f for _, f in c.stream(RESULTS)]
        first = [f["data"] for f in results[:-FRAMES]]
        # What a kill may cost: the queue in memory, which waits ten milliseconds for company.
        self.assertEqual(first, self.lines_of()[:len(first)])
        self.assertGreater(len(first), written - 50)
        self.assertEqual([f["data"] for f in results[-FRAMES:]], self.lines_of("o2"))

    def test_full_drops_the_oldest_and_counts(self):
        src = "testsrc:192x128@100,frames=6000,shapes=8,seed=3"
        flags = self.settings(redis_flush=0, redis_spool_bytes=1 << 20)
        err = self.call(*[f for f in self.command(*flags) if f != "--quiet"], src, code=0).err
        r = self.report()
        self.assertIn("is full", err)
        self.assertGreater(r["dropped"], 0)
        self.assertEqual(r["put"], r["dropped"] + r["waiting"])
        self.assertLessEqual(r["spool_peak_bytes"], 1 << 20)
        self.assertLessEqual(sum(f.stat().st_size for f in self.spool("p").glob("*.spool")), 1 << 20)
        self.server.start()
        self.call(*self.command(out="o2"), "--frames", "1", src, code=0)
        with contextlib.closing(self.server.client()) as c:
            got = [f["data"] for _, f in c.stream(RESULTS)][:-1]
        self.assertEqual(got, self.lines_of()[-len(got):])  # the newest, without a hole
        self.assertGreater(len(got), 500)

    def test_damage_costs_what_is_damaged(self):
        self.call(*self.command(*self.settings(redis_flush=0)), FAST, code=0)
        put = self.report()["put"]
        segment = next(self.spool("p").glob("*.spool"))
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 0x20
        segment.write_bytes(data[:-5])
        self.server.start()
        self.call(*self.command("--frames", "1", out="o2"), FAST, code=0)
        r = self.report("o2")
        self.assertEqual(r["sent"], put - 2 + r["put"])
        self.assertGreater(r["spool_damaged_bytes"], 0)

    def test_one_process_a_producer(self):
        self.server.start()
        p = self.start(*self.command("--realtime"), FAST)
        self.wait_until(lambda: (self.spool("p") / "lock").exists() and (self.spool("p") / "lock").stat().st_size > 0)
        q = self.call(*self.command(out="o2"), FAST, code=1)
        self.assertIn(f"process {p.pid}", q.err)
        other = [f if f != "p" else "q" for f in self.command(out="o3")]
        self.call(*other, FAST, code=0)
        self.finish(p)

    def test_a_new_spool_brings_no_old_ids(self):
        self.server.start()
        self.call(*self.command(), FAST, code=0)
        harness.shutil.rmtree(self.spool("p"))
        self.call(*self.command(out="o2"), FAST, code=0)
        self.check_all_arrived(outs=("o", "o2"))


class Secrets(RedisCase):
    def test_password_and_user(self):
        self.server.options = ("--requirepass", harness.SECRET)
        self.server.start()
        url = self.server.url.replace("unix://", f"unix://:{harness.SECRET}@")
        self.call(*self.command(url=url), FAST, code=0)
        c = self.server.client()
        c("AUTH", harness.SECRET)
        self.check_all_arrived(client=c)
        flags = self.settings(redis_flush=0.5, log_level="debug")
        for wrong in (self.server.url, self.server.url.replace("unix://", f"unix://:no{harness.SECRET}@")):
            p = self.call(*[f for f in self.command(*flags, url=wrong, out="o2") if f != "--quiet"], FAST, code=0)
            self.assertIn("user or password is wrong or missing", p.err)
            self.assertNotIn(harness.SECRET, p.err)
        c = self.server.client()
        c("AUTH", harness.SECRET)
        c("ACL", "SETUSER", "mill", "on", f">{harness.SECRET}x", "resetkeys", "~framemill:*", "-@all", "+select", "+script|load", "+evalsha",
          "+xadd", "+get", "+set", "+xgroup|create", "+xreadgroup", "+xack")
        c("DEL", RESULTS, EVENTS)
        c.close()
        harness.shutil.rmtree(self.spool("p"))
        password = self.write("password", harness.SECRET + "x\n")
        flags = self.settings(redis_password_file=str(password))
        self.call(*self.command(*flags, url=self.server.url.replace("unix://", "unix://mill@"), out="o3"), FAST, code=0)
        c = self.server.client()
        c("AUTH", harness.SECRET)
        self.check_all_arrived(outs=("o3",), client=c)

    def test_addresses_that_are_refused(self):
        for url in ("http://x", f"redis://:{harness.SECRET}@", f"redis://u:{harness.SECRET}@host:99999/0", "redis://h/x", "unix://rel", "redis://h:0",
                    "unix:///" + "x" * 200, f"redis://u:{harness.SECRET}%zz@h"):
            p = self.refuse(*RUN, "--redis", url, FAST, says="is no address of Redis")
            self.assertNotIn(harness.SECRET, p.err)
        self.refuse(*RUN, "--redis-commands", FAST, says="--redis URL")


class Commands(RedisCase):
    CLIP = "testsrc:192x128@50,shapes=2,seed=5"

    def setUp(self):
        super().setUp()
        self.server.start()
        self.redis = self.server.client()
        self.closing.callback(self.redis.close)
        self.run_flags = ["--redis-commands", "--realtime", *self.settings(redis_allow=["testsrc", "http"], max_streams=3)]
        self.process = None

    def begin(self, *inputs, out="o"):
        self.process = self.start(*self.command(*self.run_flags, out=out), *inputs)
        self.closing.callback(lambda p=self.process: (p.kill(), p.communicate()))
        self.wait_until(self.listens)

    def listens(self):
        try:
            return self.redis("XINFO", "GROUPS", "framemill:commands") != [] and self.redis("XINFO", "CONSUMERS", "framemill:commands", "p") != []
        except redis_server.Reply:
            return False

    def say(self, **fields):
        """Sends a command and returns its answer."""
        entry = self.redis("XADD", "framemill:commands", "*", *[w for kv in fields.items() for w in kv])
        found = []

        def answered():
            found[:] = [json.loads(f["data"]) for _, f in self.redis.stream(EVENTS) if f["type"] == "command" and json.loads(f["data"])["entry"] == entry]
            return found

        self.wait_until(answered)
        self.assertEqual(len(found), 1)
        self.wait_until(lambda: self.redis("XPENDING", "framemill:commands", "p")[0] == 0)
        return found[0]

    def length(self, stream):
        return self.redis("XLEN", f"framemill:results:{stream}")

    def stands_still(self, stream, other):
        """Nothing comes of one while 25 results of the other do: half a second of its clock, and more than a ring holds of it."""
        before, until = self.length(stream), self.length(other) + 25
        self.wait_until(lambda: self.length(other) > until)
        return self.length(stream) == before

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.finish(self.process, code=130)
        return json.loads((self.dir / "o.json").read_text())["streams"]

    def test_streams_come_pause_and_go(self):
        self.begin()
        self.assertEqual(self.say(command="add", stream="a", url=self.CLIP)["ok"], True)
        self.wait_until(lambda: self.length("a") > 10)
        self.assertTrue(self.say(command="add", stream="b", url=self.CLIP)["ok"])
        self.assertTrue(self.say(command="pause", stream="a")["ok"])
        self.wait_until(lambda: self.length("b") > 10)
        self.wait_until(lambda: self.stands_still("a", "b"))
        n = self.length("a")
        self.assertTrue(self.say(command="resume", stream="a")["ok"])
        self.wait_until(lambda: self.length("a") > n + 10)
        self.assertTrue(self.say(command="remove", stream="a")["ok"])
        self.wait_until(lambda: any(f["type"] == "stream_end" and f["stream"] == "a" for _, f in self.redis.stream(EVENTS)))
        n, b = self.length("a"), self.length("b")
        self.wait_until(lambda: self.length("b") > b + 10)
        self.assertEqual(self.length("a"), n)
        streams = self.end()
        self.assertEqual({k: v["error"] for k, v in streams.items()}, {"a": None, "b": None})
        for name, v in streams.items():
            lines = [json.loads(x) for x in (self.dir / "o" / f"{name}.jsonl").read_text().splitlines()]
            frames = [x["frame"] for x in lines]
            self.assertEqual((frames, len(frames)), (sorted(set(frames)), v["frames"]))  # a slow machine drops some
            data = [f["data"] for _, f in self.redis.stream(f"framemill:results:{name}")]
            self.assertEqual([json.loads(d) for d in data], lines)

    def test_doing_it_twice_is_as_good_as_once(self):
        self.begin()
        for _ in range(2):
            self.assertTrue(self.say(command="add", stream="a", url=self.CLIP)["ok"])
        self.assertIn("has not ended", self.say(command="add", stream="a", url=self.CLIP + ",noise=1")["error"])
        for what in ("pause", "pause", "resume", "resume", "remove", "remove"):
            self.assertTrue(self.say(command=what, stream="a")["ok"], what)
        self.assertEqual(list(self.end()), ["a"])

    def test_what_is_refused(self):
        self.begin()
        secret = f"rtsp://u:{harness.SECRET}@h/x"
        for fields, says in (({"command": "add", "stream": "a", "url": "/etc/passwd"}, "redis_allow"), ({"command": "add", "stream": "a", "url": secret}, "redis_allow"),
                             ({"command": "add", "stream": "a", "url": "file:///etc/passwd"}, "redis_allow"), ({"command": "add", "stream": "a"}, "needs"),
                             ({"command": "add", "stream": "a", "url": "http://"}, "host"), ({"command": "remove", "stream": "a"}, "no stream 'a'"),
                             ({"command": "pause"}, "no stream"), ({"command": "stop"}, "unknown command"), ({"x": "y"}, "unknown command")):
            answer = self.say(**fields)
            self.assertEqual(answer["ok"], False)
            self.assertIn(says, answer["error"])
            self.assertNotIn(harness.SECRET, json.dumps(answer))
        for name in "abc":
            self.assertTrue(self.say(command="add", stream=name, url=self.CLIP)["ok"])
        self.assertIn("max_streams", self.say(command="add", stream="d", url=self.CLIP)["error"])
        self.assertTrue(self.say(command="remove", stream="b")["ok"])
        self.wait_until(lambda: self.say(command="add", stream="d", url=self.CLIP)["ok"])
        self.assertTrue(self.say(command="remove", stream="a")["ok"])
        self.wait_until(lambda: "is there already" in self.say(command="add", stream="a", url=self.CLIP)["error"])
        self.assertEqual(set(self.end()), {"a", "c", "d"})

    def test_for_another_producer(self):
        self.begin()
        self.redis("XADD", "framemill:commands", "*", "command", "add", "stream", "z", "url", self.CLIP, "producer", "other")
        self.assertTrue(self.say(command="add", stream="a", url=self.CLIP, producer="p")["ok"])
        self.assertEqual(list(self.end()), ["a"])

    def test_given_while_nobody_was_there_and_through_a_kill_of_redis(self):
        self.begin(self.CLIP)
        self.process.kill()
        self.process.communicate()
        self.redis("XADD", "framemill:commands", "*", "command", "add", "stream", "a", "url", self.CLIP)
        # Handed out and never acknowledged, as by a process that died over it.
        self.redis("XREADGROUP", "GROUP", "p", "framemill", "STREAMS", "framemill:commands", ">")
        self.redis("XADD", "framemill:commands", "*", "command", "add", "stream", "b", "url", self.CLIP)
        self.begin(out="o2")
        self.wait_until(lambda: self.length("a") > 5 and self.length("b") > 5)
        self.redis.close()
        self.server.kill()
        self.server.start()
        self.redis = self.server.client()
        self.closing.callback(self.redis.close)
        self.assertTrue(self.say(command="remove", stream="a")["ok"])
        self.process.send_signal(signal.SIGINT)
        self.finish(self.process, code=130)
        ids = [f["id"] for key in (EVENTS, "framemill:results:a", "framemill:results:b") for _, f in self.redis.stream(key)]
        self.assertEqual(len(ids), len(set(ids)))

    def test_the_run_stays_without_streams(self):
        self.begin("testsrc:64x48@25,frames=3")
        self.wait_until(lambda: self.length("testsrc") == 3)
        self.assertTrue(self.say(command="add", stream="a", url=self.CLIP)["ok"])
        self.assertEqual({k: v["frames"] > 0 for k, v in self.end().items()}["testsrc"], True)


class Tls(RedisCase):
    def setUp(self):
        super().setUp()
        for ca in ("ca", "other"):
            self.openssl("req", "-x509", *KEY, "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2", "-subj", f"/CN={ca}")
        for name, alt in (("good", "DNS:localhost,IP:127.0.0.1"), ("stranger", "DNS:elsewhere.example")):
            self.openssl("req", *KEY, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            self.write("ext", f"subjectAltName={alt}\n")
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem",
                         "-days", "2", "-extfile", "ext")
        with contextlib.closing(redis_server.socket.create_server(("127.0.0.1", 0))) as s:
            self.port = s.getsockname()[1]

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True, capture_output=True)

    def serve(self, name):
        self.server.kill()
        self.server.options = ("--tls-port", self.port, "--tls-cert-file", self.dir / f"{name}.pem", "--tls-key-file", self.dir / f"{name}.key",
                               "--tls-ca-cert-file", self.dir / "ca.pem", "--tls-auth-clients", "no", "--bind", "127.0.0.1")
        self.server.start()

    def attempt(self, ca, host="localhost", out="o"):
        flags = self.settings(redis_ca=str(self.dir / ca), redis_flush=1)
        command = [f for f in self.command(*flags, url=f"rediss://{host}:{self.port}/0", out=out) if f != "--quiet"]
        return self.call(*command, FAST, code=0).err

    def test_tls(self):
        self.serve("good")
        self.attempt("ca.pem")
        self.check_all_arrived()
        self.attempt("ca.pem", host="127.0.0.1", out="o2")
        self.check_all_arrived(outs=("o", "o2"))
        self.assertEqual(self.report("o2")["waiting"], 0)

    def test_wrong_authority_and_wrong_host(self):
        self.serve("good")
        self.assertIn("certificate is not good", self.attempt("other.pem"))
        self.assertEqual(self.report()["sent"], 0)
        self.serve("stranger")
        self.assertRegex(self.attempt("ca.pem", out="o2"), "certificate is not good: .*ostname mismatch")
        self.assertEqual(self.report("o2")["sent"], 0)
        self.refuse(*RUN, *self.settings(redis_ca=str(self.dir / "good.key")), "--redis", "rediss://h", FAST, says="redis_ca")


if __name__ == "__main__":
    harness.main()
