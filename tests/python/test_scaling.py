# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The simulation behind docs/scaling.md against what can be said without it, and the page against the simulation."""
import collections
import os
import pathlib
import sys
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(os.environ.get("FM_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(ROOT / "bench/ray"))

import plot  # noqa: E402
import scaling  # noqa: E402
import simulate  # noqa: E402

EASY = {"node_fps": 60.0, "driver_step_s": 0.0, "driver_worker_s": 0.0, "driver_take_s": 1e-6, "driver_record_s": 1e-6, "driver_start_s": 1e-3,
        "driver_place_s": 0.0, "record_bytes": 700.0, "start_s": 1.0, "recovery_s": 0.1, "move_s": 0.1, "pixels_node_fps": 40.0, "pixels_driver_s": 1e-6,
        "pixels_driver_cpu_s": 1e-6, "pixel_bytes": 1e6, "node_mtbf_s": 0.0}


def costs(**other):
    return simulate.Costs(**{**EASY, **other})


class Near(unittest.TestCase):
    def near(self, got, wanted, part=0.01):
        self.assertAlmostEqual(got / wanted, 1, delta=part, msg=f"{got} against {wanted}")


class Framemill(Near):
    def test_one_node_gives_what_it_makes(self):
        self.near(simulate.Cluster(costs(), 1).run(100)["fps"], 60)

    def test_nodes_add_up_while_nothing_is_short(self):
        self.near(simulate.Cluster(costs(), 37).run(20)["fps"], 37 * 60)

    def test_the_drivers_thread_is_the_limit(self):
        for take_most, limit in ((1, 1 / 11e-3), (10, 1 / 2e-3), (50, 1 / 1.2e-3)):
            short = costs(driver_record_s=1e-3, driver_take_s=1e-2, take_most=take_most)
            self.near(simulate.driver_limit(short), limit)
            got = simulate.Cluster(short, 40).run(20)
            self.near(got["fps"], limit)
            self.near(got["records_a_take"], take_most)
            self.near(got["load"], 1)

    def test_steps_that_look_at_each_worker_are_the_limit(self):
        # A step of 40 workers takes 4.4 ms and brings 10 records of each, but for those that ask while it ends.
        short = costs(node_fps=6000.0, driver_worker_s=1e-4, driver_take_s=1e-5, driver_record_s=0.0, take_most=10, latency_s=1e-6)
        self.near(simulate.driver_limit(short), 400 / 4.4e-3)
        self.near(simulate.Cluster(short, 40).run(3)["fps"], 400 / 4.4e-3, 0.03)

    def test_the_link_is_the_limit(self):
        self.near(simulate.Cluster(costs(bytes_per_s=7e5), 40).run(20)["fps"], 1000, 0.02)

    def test_a_take_out_and_back_is_the_limit_where_it_brings_one_record(self):
        # Out, back and the driver's work: 2 x 50 ms and nothing.
        self.near(simulate.Cluster(costs(latency_s=0.05, take_most=1), 1).run(100)["fps"], 10)

    def test_load_is_work_done(self):
        got = simulate.Cluster(costs(driver_record_s=1e-3, driver_take_s=2e-3), 2).run(50)
        self.near(got["load"], got["fps"] * (1e-3 + 2e-3 / got["records_a_take"]))

    def test_a_full_buffer_stops_the_node(self):
        worker = simulate.Worker(0.0, costs(buffer=10, take_most=64))
        worker.add(0.0, 0, 0)
        worker.add(0.0, 1, 0)
        worker.advance(5.0)
        self.assertEqual(sorted(worker.take()), [(0, 0, 5), (1, 0, 5)])
        worker.advance(5.0)                                   # the one that waited for room
        self.assertEqual(worker.take(), [(0, 5, 1)])

    def test_streams_take_turns_across_takes(self):
        worker, seen, begin = simulate.Worker(0.0, costs(take_most=4)), collections.Counter(), {7: 10, 8: 20, 9: 30}
        for stream, first in begin.items():
            worker.add(0.0, stream, first)
        for now in range(1, 20):
            worker.advance(now / 10)
            for stream, first, count in worker.take():
                self.assertEqual(first, begin[stream] + seen[stream])
                seen[stream] += count
        self.assertGreater(min(seen.values()), 20)
        self.assertLessEqual(max(seen.values()) - min(seen.values()), 1)

    def test_every_frame_comes_once_though_nodes_are_lost(self):
        lossy = costs(node_mtbf_s=15.0, detect_s=0.5, driver_record_s=2e-4)
        cluster = simulate.Cluster(lossy, 20, seed=3, keep=True)
        got = cluster.run(60)
        self.assertGreater(got["losses"], 40)
        self.assertGreater(got["repeats"], 0)
        for frames in cluster.log:
            self.assertGreater(len(frames), 100)
            self.assertEqual(frames, list(range(len(frames))))

    def test_losses_cost_the_time_that_nodes_are_away(self):
        # Away until it is known, another one has started, and a stream has moved there; and half a checkpoint of each stream is made again.
        lossy = costs(node_fps=10.0, node_mtbf_s=100.0, detect_s=3.0, buffer=4, checkpoint_every=10)
        got = simulate.Cluster(lossy, 20, seed=1).run(1500)
        wanted = (100 - (4 + 1) * 5 / 10) / (100 + 3 + 1 + 0.1)
        self.assertAlmostEqual(simulate.kept(lossy), wanted)
        self.near(got["fps"], 20 * 10 * wanted, 0.015)

    def test_a_seed_decides_everything(self):
        lossy = costs(node_mtbf_s=15.0, detect_s=0.5)
        runs = [simulate.Cluster(lossy, 10, seed=s).run(30) for s in (5, 5, 6)]
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_several_drivers_share_the_nodes(self):
        short = costs(driver_record_s=1e-3)
        self.near(simulate.spread(short, 200, 4, 20), 4000)
        self.near(simulate.spread(short, 3, 4, 20), 180)

    def test_where_it_bends(self):
        # 0.95 x n x 60 > 1000 from 17.5 on.
        short = costs(driver_record_s=1e-3)
        bend = scaling.bends_at(lambda n: simulate.Cluster(short, n).run(20)["fps"], 60)
        self.assertIn(bend, (17, 18, 19))
        self.assertIsNone(scaling.bends_at(lambda n: 60 * n, 60))

    def test_start(self):
        self.near(simulate.start_up(costs(), 10), 10 * 1e-3 + 1)
        # Each of 8 streams looks at as many workers as have answered.
        self.near(simulate.start_up(costs(streams_per_node=8, driver_place_s=0.1), 3), 1 + 1e-3 + 8 * 0.1 * (1 + 2 + 3))


class Pixels(Near):
    def test_limits(self):
        self.near(simulate.pixels_fps(costs(), 1), 40, 0.02)
        self.near(simulate.pixels_fps(costs(), 10), 400, 0.02)
        self.near(simulate.pixels_fps(costs(pixels_driver_s=2e-3), 100), 500, 0.02)
        self.near(simulate.pixels_fps(costs(pixels_driver_s=1e-3, pixels_driver_cpu_s=8e-3, driver_cores=2), 100), 250, 0.02)
        self.near(simulate.pixels_fps(costs(bytes_per_s=1e8), 100), 100, 0.02)

    def test_what_is_under_way_hides_sending(self):
        # One batch of 16 takes 0.4 s to compute and 0.16 s to send: hidden behind the one before.
        self.near(simulate.pixels_fps(costs(bytes_per_s=1e8), 1), 40, 0.02)


class Page(unittest.TestCase):
    def test_plot_holds_each_curve(self):
        curves = [plot.Curve("a < b", [(1, 10), (1000, 3000)]), plot.Curve("c", [(1, 20), (10, 200)], dashed=True)]
        root = xml.etree.ElementTree.fromstring(plot.svg("t & u", "x", "y", curves))
        lines = root.findall("{*}polyline")
        self.assertEqual(len(lines), 2)
        texts = [t.text for t in root.findall("{*}text")]
        self.assertLessEqual({"t & u", "a < b", "c", "1,000", "10,000"}, set(texts))
        first, last = [tuple(map(float, p.split(","))) for p in lines[0].get("points").split()]
        self.assertLess(first[0], last[0])
        self.assertGreater(first[1], last[1])                # more is higher up

    def test_the_page_says_what_the_costs_give(self):
        page, (parts, plotted) = (ROOT / "docs/scaling.md").read_text(), scaling.page_parts()
        for part in parts.values():
            self.assertIn(part, page, "bench/ray/scaling.py --write makes the page anew")
        self.assertEqual((ROOT / "docs/scaling.svg").read_text(), plotted)


if __name__ == "__main__":
    unittest.main()
