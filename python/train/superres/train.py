# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Trains the network: python3 train.py DATA.npz RUN --steps 40000

RUN gets checkpoint.pt (also taken up from there when it exists), log.csv and best.pt. L1 loss, Adam, the rate rises over 500 steps and falls along a
cosine; what is kept is a running mean of the weights. The same seed gives the same weights on the same machine and number of threads."""
import argparse
import math
import pathlib
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F

from net import Net

PATCH, BATCH, RATE, LEAST_RATE, WARM, KEEP = 48, 16, 1e-3, 1e-6, 500, 0.999
WATCH_EVERY = 1000


class Pairs:
    def __init__(self, path, kind):
        with np.load(path) as data:
            n = sum(name.startswith(f"{kind}_large_") for name in data.files)
            self.large = [data[f"{kind}_large_{i}"] for i in range(n)]
            self.small = [data[f"{kind}_small_{i}"] for i in range(n)]
        self.fit = [i for i, s in enumerate(self.small) if min(s.shape) >= PATCH]

    def batch(self, rng):
        small = np.empty((BATCH, 1, PATCH, PATCH), np.float32)
        large = np.empty((BATCH, 1, 2 * PATCH, 2 * PATCH), np.float32)
        for k in range(BATCH):
            i = self.fit[rng.integers(len(self.fit))]
            y = rng.integers(self.small[i].shape[0] - PATCH + 1)
            x = rng.integers(self.small[i].shape[1] - PATCH + 1)
            s = self.small[i][y:y + PATCH, x:x + PATCH]
            b = self.large[i][2 * y:2 * (y + PATCH), 2 * x:2 * (x + PATCH)]
            turn, flip = rng.integers(4), rng.integers(2)
            s, b = np.rot90(s, turn), np.rot90(b, turn)
            small[k, 0], large[k, 0] = (s[:, ::-1], b[:, ::-1]) if flip else (s, b)
        return torch.from_numpy(small / 255), torch.from_numpy(large / 255)


def psnr(net, pairs, most=60):
    with torch.no_grad():
        values = []
        for small, large in list(zip(pairs.small, pairs.large))[:most]:
            out = net(torch.from_numpy(small[None, None].astype(np.float32) / 255))[0, 0].numpy() * 255
            error = (np.clip(out, 0, 255) - large)[2:-2, 2:-2]
            values.append(10 * math.log10(255**2 / np.mean(error**2)))
        return sum(values) / len(values)


def rate_at(step, steps):
    if step < WARM:
        return RATE * (step + 1) / WARM
    return LEAST_RATE + (RATE - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * (step - WARM) / max(1, steps - WARM)))


def load(path, net, mean, adam):
    state = torch.load(path)
    net.load_state_dict(state["net"])
    mean.load_state_dict(state["mean"])
    adam.load_state_dict(state["adam"])
    return state["step"], state["rng"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=40000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)
    train, watch = Pairs(args.data, "train"), Pairs(args.data, "watch")
    net, mean = Net(), Net()
    mean.load_state_dict(net.state_dict())
    adam = torch.optim.Adam(net.parameters(), lr=RATE)
    step, checkpoint = 0, args.run / "checkpoint.pt"
    if checkpoint.exists():
        step, rng.bit_generator.state = load(checkpoint, net, mean, adam)
    log = open(args.run / "log.csv", "a", encoding="utf-8")
    begin, first, loss_sum = time.monotonic(), step, 0.0
    while step < args.steps:
        small, large = train.batch(rng)
        for group in adam.param_groups:
            group["lr"] = rate_at(step, args.steps)
        loss = F.l1_loss(net(small), large)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        adam.step()
        with torch.no_grad():
            keep = min(KEEP, (step + 1) / (step + 10))
            for a, b in zip(mean.parameters(), net.parameters()):
                a.lerp_(b, 1 - keep)
        loss_sum += float(loss)
        step += 1
        if step % WATCH_EVERY == 0 or step == args.steps:
            each = (time.monotonic() - begin) / (step - first)
            line = f"{step},{loss_sum / WATCH_EVERY:.6f},{psnr(mean, watch):.4f},{rate_at(step - 1, args.steps):.2e}"
            loss_sum = 0.0
            log.write(line + "\n")
            log.flush()
            print(f"step {step} of {args.steps}: loss, PSNR, rate {line.split(',', 1)[1]}; {1000 * each:.0f} ms a step, "
                  f"{each * (args.steps - step) / 60:.0f} min left", file=sys.stderr)
            torch.save({"net": net.state_dict(), "mean": mean.state_dict(), "adam": adam.state_dict(), "step": step,
                        "rng": rng.bit_generator.state}, str(checkpoint) + ".new")
            pathlib.Path(str(checkpoint) + ".new").replace(checkpoint)
    torch.save(mean.state_dict(), args.run / "best.pt")


if __name__ == "__main__":
    main()
