#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/ without a container engine: hadolint over the Dockerfiles (skipped by name where it is not installed), shell scripts,
docker-compose.yml against the keys of the Compose Specification and rules of our own, the example configuration against the
command's schema, the cluster files' shape.

    check_deploy.py ROOT FRAMEMILL
"""
import json
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import unittest

import yaml

ROOT, COMMAND = pathlib.Path(sys.argv[1]), sys.argv[2]
DEPLOY = ROOT / "deploy"

# Of the Compose Specification, https://github.com/compose-spec/compose-spec/blob/main/spec.md: what this file uses of it.
TOP = {"name", "services", "networks", "volumes", "secrets"}
SERVICE = {"profiles", "image", "build", "environment", "command", "entrypoint", "deploy", "restart", "read_only", "user", "cap_drop",
           "security_opt", "tmpfs", "volumes", "secrets", "depends_on", "healthcheck", "stop_grace_period", "networks", "logging", "ports"}
HEALTH = {"test", "interval", "timeout", "start_period", "retries"}


def compose():
    return yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())


class Files(unittest.TestCase):
    def test_hadolint(self):
        tool = shutil.which("hadolint") or shutil.which("hadolint", path=str(ROOT / ".deps/test/bin"))
        if not tool:
            self.skipTest("hadolint is not installed")
        files = sorted(DEPLOY.glob("Dockerfile*"))
        self.assertEqual([f.name for f in files], ["Dockerfile", "Dockerfile.cuda", "Dockerfile.ray"])
        p = subprocess.run([tool, *files], capture_output=True, text=True)
        self.assertEqual((p.returncode, p.stdout), (0, ""), p.stdout + p.stderr)
        bad = subprocess.run([tool, "-"], input="FROM debian\nRUN cd /x && sudo ls\n", capture_output=True, text=True)
        self.assertNotEqual(bad.returncode, 0, "hadolint finds nothing at all")

    def test_dockerfiles_say_what_they_must(self):
        for f in DEPLOY.glob("Dockerfile*"):
            text = f.read_text()
            self.assertRegex(text.rsplit("FROM", 1)[1], r"\nUSER 10001:10001\n(ENTRYPOINT|HEALTHCHECK)", f.name)
            for script in re.findall(r"deploy/image/(\w+\.sh)|/opt/framemill/image/(\w+\.sh)", text):
                path = DEPLOY / "image" / "".join(script)
                self.assertTrue(path.stat().st_mode & stat.S_IXUSR, path)
        for name in ("Dockerfile", "Dockerfile.cuda"):
            text = (DEPLOY / name).read_text()
            self.assertIn("HEALTHCHECK", text)
            self.assertIn("MODEL_PATH=/models", text)

    def test_scripts(self):
        for f in [*DEPLOY.glob("image/*.sh"), ROOT / "tests/tools/check_image.sh"]:
            subprocess.run(["sh", "-n", f], check=True)

    def test_ignored(self):
        ignored = (ROOT / ".dockerignore").read_text().split()
        for name in (".git", ".deps", "build*", "models", "data"):
            self.assertIn(name, ignored)


class Compose(unittest.TestCase):
    def setUp(self):
        self.all = compose()
        self.services = self.all["services"]

    def test_keys(self):
        self.assertEqual({k for k in self.all if not k.startswith("x-")}, TOP)
        for name, s in self.services.items():
            self.assertLessEqual(set(s), SERVICE, name)
            self.assertLessEqual(set(s.get("healthcheck", {})), HEALTH, name)

    def test_what_is_named_is_there(self):
        for name, s in self.services.items():
            self.assertLessEqual(set(s["networks"]), set(self.all["networks"]), name)
            self.assertLessEqual(set(s.get("secrets", [])), set(self.all["secrets"]), name)
            self.assertLessEqual(set(s.get("depends_on", [])), set(self.services), name)
            for v in s.get("volumes", []):
                source = v.split(":")[0]
                if not source.startswith("./"):
                    self.assertIn(source, self.all["volumes"], name)
                elif source not in ("./models", "./data"):  # the user's
                    self.assertTrue((DEPLOY / source).exists(), source)
            if "build" in s:
                self.assertTrue((DEPLOY / s["build"]["context"] / s["build"]["dockerfile"]).is_file(), name)

    def test_safe_by_default(self):
        for name, s in self.services.items():
            self.assertEqual(s["restart"], "unless-stopped", name)
            self.assertEqual(s["cap_drop"], ["ALL"], name)
            self.assertEqual(s["security_opt"], ["no-new-privileges:true"], name)
            self.assertTrue(s.get("read_only") or name == "grafana", name)
            self.assertTrue("build" in s or re.search(r":v?\d+\.\d+", s["image"]), f"{name}: a version, not 'latest'")
            self.assertNotRegex(json.dumps(s), r"(?i)passw(or)?d[=:] ?[\"']?[a-z0-9]{3}", name)
            for port in s.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), f"{name}: {port} is open to all")
        self.assertTrue(self.all["networks"]["inner"]["internal"])
        self.assertNotIn("ports", self.services["redis"])

    def test_processors(self):
        for name in ("processor", "processor-gpu"):
            s = self.services[name]
            self.assertEqual(s["user"], "10001:10001")
            self.assertEqual((s["environment"]["MODEL_PATH"], s["environment"]["BATCH_SIZE"]), ("/models", "16"))
            self.assertEqual(s["volumes"], ["./models:/models:ro", "./data:/data"])
            self.assertIn("test", s["healthcheck"])
        gpu = self.services["processor-gpu"]
        self.assertEqual(gpu["profiles"], ["gpu"])
        self.assertIn("CUDA_VISIBLE_DEVICES", gpu["environment"])
        self.assertEqual(gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"], ["gpu"])
        for name in ("prometheus", "grafana", "redis-exporter"):
            self.assertEqual(self.services[name]["profiles"], ["monitoring"])

    def test_example_configuration(self):
        schema = json.loads(subprocess.run([COMMAND, "help", "--schema"], check=True, capture_output=True, text=True).stdout)["properties"]
        site = yaml.safe_load((DEPLOY / "site.yaml").read_text())
        self.assertLessEqual(set(site), set(schema))
        self.assertLessEqual(set(site["redis"]), set(schema["redis"]["properties"]))
        self.assertEqual(site["redis"]["password_file"], "/run/secrets/redis_password")
        # Everything that the processor writes lies in its one writable folder.
        for path in (site["out"], site["redis"]["spool"]):
            self.assertTrue(path.startswith("/data/"), path)

    def test_monitoring(self):
        for f in DEPLOY.glob("monitoring/**/*.yml"):
            self.assertIsInstance(yaml.safe_load(f.read_text()), dict, f)
        board = json.loads((DEPLOY / "monitoring/grafana/dashboards/framemill.json").read_text())
        source = yaml.safe_load((DEPLOY / "monitoring/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
        self.assertEqual({p["datasource"]["uid"] for p in board["panels"]}, {source["uid"]})


class Clusters(unittest.TestCase):
    def test_ray(self):
        c = yaml.safe_load((DEPLOY / "ray/cluster.yaml").read_text())
        self.assertLessEqual({"cluster_name", "provider", "auth", "docker", "head_start_ray_commands", "worker_start_ray_commands"}, set(c))
        self.assertEqual(len(c["provider"]["worker_ips"]), c["max_workers"])

    def test_kuberay(self):
        c = yaml.safe_load((DEPLOY / "ray/kuberay.yaml").read_text())
        self.assertEqual((c["apiVersion"], c["kind"]), ("ray.io/v1", "RayCluster"))
        for group in [c["spec"]["headGroupSpec"], *c["spec"]["workerGroupSpecs"]]:
            pod = group["template"]["spec"]
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            names = {v["name"] for v in pod["volumes"]}
            for container in pod["containers"]:
                self.assertFalse(container["securityContext"]["allowPrivilegeEscalation"])
                self.assertEqual(container["securityContext"]["capabilities"]["drop"], ["ALL"])
                self.assertEqual(set(container["resources"]), {"requests", "limits"})
                self.assertEqual({m["name"] for m in container["volumeMounts"]}, names)
        version = re.search(r"RAY_VERSION=([\d.]+)", (DEPLOY / "Dockerfile.ray").read_text()).group(1)
        self.assertEqual(c["spec"]["rayVersion"], version)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
