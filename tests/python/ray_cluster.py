# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""A Ray cluster of several nodes on this machine, of the test's own."""
import os
import signal
import time

import harness

# Ray's processes need not know the machine's own cluster, nor anybody theirs.
os.environ.pop("RAY_ADDRESS", None)
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_initial_delay_ms": "0", "RAY_health_check_period_ms": "500",
               "RAY_health_check_timeout_ms": "500", "RAY_health_check_failure_threshold": "4"}

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    ray = None

SOURCE = "testsrc:192x128@25,frames={frames},seed={seed}"


def slow(delay_us):
    """A network of the library's own that takes so long for a picture."""
    return harness.SHAPES | {"detector": f"shapes:size=96x64:delay_us={delay_us}", "threads": 1, "batch_size": 1}


class Nodes:
    """A head without cores, and nodes with one each."""

    def __init__(self, nodes, **head):
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **head})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(nodes)]
        self.address = self.cluster.address
        ray.init(address=self.address, log_to_driver=False, configure_logging=False)

    def kill_raylet_of(self, node_id):
        """As a machine that goes dark: its actors' parent is gone without a word."""
        node = next(n for n in self.nodes if n.node_id == node_id)
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def close(self):
        ray.shutdown()
        self.cluster.shutdown()


def kill(pid, sig=signal.SIGKILL):
    os.kill(pid, sig)


def wait_for(what, seconds=60):
    """Until what() gives something, which is returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not come in {seconds} s")
