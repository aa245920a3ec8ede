# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Trains the detector: python3 train.py CLASSES.txt TRAIN.json VAL.json RUN --hours 2.4

RUN gets plan.json (how long and how, fixed when the run begins), checkpoint.pt (taken up from there when it exists), log.jsonl, plot.svg and, at the end,
best.pt: a running mean of the weights, whose digest the log's last line has. --hours times a few steps and plans as many as fit; --steps says how many.
AdamW (Loshchilov and Hutter 2019), the rate rises over WARM of the steps and falls along a cosine; batches of --size, the last part of --last-size with
fewer mosaics, so that pictures look as they do in use. Batches hang on seed and step only: the same plan gives the same weights on the same machine and
number of threads, stopped and taken up or not. Batches under 16 on one thread are many times slower: PyTorch 1.13 leaves 1x1 convolutions to plain
loops then."""
import argparse
import ctypes
import hashlib
import json
import math
import pathlib
import sys
import time

import cv2
import numpy as np
import torch

from data import Pictures, batch, read_classes
from detect import Trained
from evaluate import on_pictures
from loss import detection_loss
from model import Shape, cells, pretrained, restored
from plot import write_plot

WARM, LEAST_RATE = 0.03, 0.02      # shares of the steps and of the rate
BACKBONE_RATE = 0.3                # of the others' rate: those weights are good already
FROZEN = ("stem.", "stages.0.")    # edges and colours; backward through them costs a tenth of a step
DECAY, CLIP = 0.05, 10.0
KEEP, KEEP_RISE = 0.999, 1000      # of the running mean, and steps until it is that slow
LOG_EVERY, CHECKPOINT_EVERY, VALIDATIONS = 20, 100, 10
FOR_STEPS = 0.93                   # of --hours; the rest is for validation and checkpoints


def keep_memory():
    """The C library gives large blocks back to the system and gets them again, zeroed, at every layer; told to keep them a step is a quarter shorter."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        m_trim_threshold, m_mmap_max = -1, -4
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, -1)


def prepare(seed, threads):
    keep_memory()
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def rate_at(step, steps, rate):
    warm = max(1, round(WARM * steps))
    if step < warm:
        return rate * (step + 1) / warm
    return rate * (LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))


def optimizer_of(net):
    """Norms and biases do not decay; the backbone learns slower, and what FROZEN names not at all."""
    for name, parameter in net.backbone.named_parameters():
        parameter.requires_grad_(not name.startswith(FROZEN))
    groups = []
    for part, scale in ((net.backbone, BACKBONE_RATE), (net.neck, 1.0), (net.heads, 1.0)):
        for decays in (True, False):
            chosen = [p for p in part.parameters() if p.requires_grad and (p.ndim > 1) == decays]
            groups.append({"params": chosen, "weight_decay": DECAY if decays else 0.0, "scale": scale})
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=1e-3)


@torch.no_grad()
def follow(mean, net, step):
    """The running mean of weights and of the norms' statistics."""
    keep = KEEP * (1 - math.exp(-(step + 1) / KEEP_RISE))
    state = net.state_dict()
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[name], 1 - keep)
        else:
            value.copy_(state[name])


def digest(state):
    """Of names and values, whatever file they lie in."""
    h = hashlib.sha256()
    for name in sorted(state):
        h.update(name.encode())
        h.update(state[name].contiguous().numpy().tobytes())
    return h.hexdigest()


def write_whole(path, write):
    new = path.with_name(path.name + ".new")
    write(new)
    new.replace(path)


class Training:
    """Network, mean and optimiser after `step` steps of the plan."""

    def __init__(self, plan, pictures, shape, start=pretrained):
        torch.manual_seed(plan["seed"])
        self.plan, self.pictures, self.shape, self.step = plan, pictures, shape, 0
        self.net = start(shape).to(memory_format=torch.channels_last)
        self.mean = restored(self.net.state_dict(), shape).to(memory_format=torch.channels_last)
        self.adam = optimizer_of(self.net)
        self.shares = pictures.shares(shape.classes)
        self.grids = {size: cells(size, size) for size in (plan["size"], plan["last_size"])}

    def is_last(self, step):
        return step >= (1 - self.plan["last"]) * self.plan["steps"]

    def one(self):
        """A step -> loss and its parts."""
        plan, last = self.plan, self.is_last(self.step)
        size, mosaics = (plan["last_size"], plan["last_mosaics"]) if last else (plan["size"], plan["mosaics"])
        x, objects = batch(self.pictures, self.shares, plan["seed"], self.step, plan["batch"], size, mosaics)
        self.net.train()
        rate = rate_at(self.step, plan["steps"], plan["rate"])
        for group in self.adam.param_groups:
            group["lr"] = rate * group["scale"]
        loss, of_class, of_box = detection_loss(*self.net(x), self.grids[size], objects)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.adam.step()
        follow(self.mean, self.net, self.step)
        self.step += 1
        return float(loss.detach()), of_class, of_box

    def save(self, path):
        state = {"step": self.step, "net": self.net.state_dict(), "mean": self.mean.state_dict(), "adam": self.adam.state_dict(), "plan": self.plan,
                 "random": torch.get_rng_state()}
        write_whole(path, lambda new: torch.save(state, new))

    def load(self, path):
        state = torch.load(path, map_location="cpu")
        if state["plan"] != self.plan:
            raise SystemExit(f"train: '{path}' belongs to another plan")
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.adam.load_state_dict(state["adam"])
        torch.set_rng_state(state["random"])
        self.step = state["step"]


def seconds_of(plan, pictures, shape, last):
    """Of a step, timed on a network that is thrown away; the first is not counted."""
    trial = Training({**plan, "steps": 10, "last": 1.0 if last else 0.0}, pictures, shape)
    times = []
    for _ in range(4):
        begin = time.monotonic()
        trial.one()
        times.append(time.monotonic() - begin)
    return float(np.median(times[1:]))


def steps_in(hours, plan, pictures, shape):
    each = [seconds_of(plan, pictures, shape, last) for last in (False, True)]
    mean = each[0] * (1 - plan["last"]) + each[1] * plan["last"]
    print(f"a step: {each[0]:.2f} s at {plan['size']}, {each[1]:.2f} s at {plan['last_size']}", file=sys.stderr)
    return max(1, int(hours * 3600 * FOR_STEPS / mean))


def plan_of(args, pictures, shape):
    path = args.run / "plan.json"
    if path.exists():
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["pictures"] != len(pictures.images):
            raise SystemExit(f"train: '{path}' was made for {plan['pictures']} pictures, these are {len(pictures.images)}; give another RUN")
        return plan
    plan = {name: getattr(args, name) for name in ("seed", "batch", "size", "last_size", "last", "mosaics", "last_mosaics", "rate", "threads")}
    plan["pictures"] = len(pictures.images)
    plan["steps"] = args.steps or steps_in(args.hours, plan, pictures, shape)
    write_whole(path, lambda new: new.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8"))
    return plan


class Log:
    """JSON lines; those after the checkpoint are dropped when a run is taken up: they are written again."""

    def __init__(self, path, step):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self.file = open(path, "a", encoding="utf-8")

    def write(self, **values):
        self.file.write(json.dumps(values) + "\n")
        self.file.flush()


def validate(training, pictures, classes):
    found = on_pictures(Trained(training.mean, training.plan["last_size"]), pictures, classes)
    return {"mAP50": round(found["mAP50"], 4), "AP50": {k: round(v, 4) for k, v in found["AP50"].items() if v == v}}


def progress(training, losses, each):
    plan = training.plan
    left = each * (plan["steps"] - training.step)
    epoch = training.step * plan["batch"] / plan["pictures"]
    print(f"\rstep {training.step} of {plan['steps']}, epoch {epoch:.1f}: loss {losses[0]:.3f} (class {losses[1]:.3f}, box {losses[2]:.3f}), "
          f"{plan['batch'] / each:.1f} pictures/s, {left / 60:.0f} min left ", end="", file=sys.stderr, flush=True)


def run(training, log, folder, val, classes):
    plan, sums, since, begin = training.plan, np.zeros(3), 0, time.monotonic()
    watch_every = max(1, plan["steps"] // VALIDATIONS)
    while training.step < plan["steps"]:
        sums += training.one()
        since += 1
        done = training.step == plan["steps"]
        if training.step % LOG_EVERY == 0 or done:
            each, means = (time.monotonic() - begin) / since, [round(float(v), 5) for v in sums / since]
            progress(training, means, each)
            log.write(step=training.step, loss=means[0], of_class=means[1], of_box=means[2], pictures_per_second=round(plan["batch"] / each, 2))
            sums, since, begin = np.zeros(3), 0, time.monotonic()
        paused = time.monotonic()
        if training.step % watch_every == 0 or done:
            found = validate(training, val, classes)
            log.write(step=training.step, **found)
            print(f"\nmAP50 {found['mAP50']:.3f}", file=sys.stderr)
        if training.step % CHECKPOINT_EVERY == 0 or done:
            training.save(folder / "checkpoint.pt")
            write_plot(folder / "log.jsonl", folder / "plot.svg")
        begin += time.monotonic() - paused


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("classes", "train", "val", "run"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--hours", type=float, default=2.4)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--more", type=pathlib.Path, nargs="*", default=[], help="further annotated pictures, as distill.py makes them")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--last-size", type=int, default=416)
    parser.add_argument("--last", type=float, default=0.15, help="share of the steps at --last-size")
    parser.add_argument("--mosaics", type=float, default=0.7, help="share of pictures that are four")
    parser.add_argument("--last-mosaics", type=float, default=0.3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    prepare(args.seed, args.threads)
    args.run.mkdir(parents=True, exist_ok=True)
    classes = read_classes(args.classes)
    shape = Shape(classes=len(classes))
    pictures, val = Pictures(args.train, classes), Pictures(args.val, classes)
    for path in args.more:
        pictures.extend(Pictures(path, classes))
    training = Training(plan_of(args, pictures, shape), pictures, shape)
    if (args.run / "checkpoint.pt").exists():
        training.load(args.run / "checkpoint.pt")
    torch.set_num_threads(training.plan["threads"])
    log = Log(args.run / "log.jsonl", training.step)
    if training.step == 0:
        log.write(step=0, plan=training.plan)
    run(training, log, args.run, val, classes)
    write_whole(args.run / "best.pt", lambda new: torch.save(training.mean.state_dict(), new))
    log.write(step=training.step, weights_sha256=digest(training.mean.state_dict()))


if __name__ == "__main__":
    main()
