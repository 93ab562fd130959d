"""Times a SANA-shaped step, forward and backward, against the same network in diffusers and PyTorch, step by step in
turns, and writes what came out as Markdown.

All sides compute with the same weights on the same batch, and must agree on the loss. Every side is a process that runs
one step when asked to; while it does, the others wait.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

from compare import cpu_info, has_bf16, output_of

STEP = "target/release/examples/sana_step"
SIZES = dict(batch=32, side=16, channels=32, width=512, depth=8, heads=16, cross_heads=8, text_tokens=64, text_width=512)
SIDES = (16, 32, 64)
"""Of the latents whose steps are compared with each other: 256, 1,024 and 4,096 tokens."""
SIDES_BATCH = 4
TICKS = os.sysconf("SC_CLK_TCK")
GOAL = 0.8
CLOSE = 1e-3
"""Largest relative difference of losses and norms of gradients from those of PyTorch in f32; in bf16 products round."""


@dataclass
class Side:
    """A process that runs a step when asked to."""

    name: str
    command: list
    seconds: list = field(default_factory=list)
    processor: list = field(default_factory=list)
    values: tuple = ()
    """Loss and norm of the gradients."""

    def start(self):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self.answer("ready")

    def answer(self, wanted=""):
        line = self.process.stdout.readline()
        if not line.startswith(wanted) or not line:
            sys.exit(f"{shlex.join(self.command)}\n{self.name} ended or said {line!r}: run it alone to see why")
        return line

    def step(self):
        before = self.processor_seconds()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, *values = map(float, self.answer().split())
        self.seconds.append(seconds)
        self.processor.append(self.processor_seconds() - before)
        self.values = tuple(values)

    def processor_seconds(self):
        """Of all threads so far. The norm of the gradients is in it, a fraction of a second."""
        numbers = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(numbers[11]) + int(numbers[12])) / TICKS

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def peer(arguments, folder, *more):
    return [arguments.python, "bench/sana_peer.py", str(folder), *more]


def make(arguments, folder, **changes):
    """Weights and a batch."""
    subprocess.run(peer(arguments, folder, "--make", json.dumps(SIZES | changes)), check=True)
    return folder


def in_turns(sides, rounds):
    """Steps of each side, one after the other; the order turns round from round to round."""
    for side in sides:
        side.start()
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            side.step()
        print(f"round {number + 1} of {rounds}: " + told(sides), file=sys.stderr, flush=True)
    for side in sides:
        side.stop()
    return sides


def told(sides):
    return ", ".join(f"{side.name} {side.seconds[-1]:.2f} s" for side in sides)


def against_pytorch(arguments, folder, precision):
    ours = Side("ours", [STEP, str(folder), precision])
    modes = [Side(mode, peer(arguments, folder, "--precision", precision, "--mode", mode)) for mode in ("eager", "compile")]
    in_turns([ours, *modes], arguments.rounds)
    for mine, other in zip(ours.values, modes[0].values):
        if abs(mine - other) > CLOSE * abs(other):
            sys.exit(f"{precision}: ours gives {ours.values} (loss, norm of gradients), PyTorch {modes[0].values}")
    return ours, modes


def row(precision, ours, modes):
    """Against the faster of PyTorch's two. A ratio is the median of the rounds' own ratios."""
    best = min(modes, key=lambda side: statistics.median(side.seconds))
    ratio = statistics.median(a / b for a, b in zip(ours.seconds, best.seconds))
    processor = statistics.median(a / b for a, b in zip(ours.processor, best.processor))
    seconds = " | ".join(f"{statistics.median(side.seconds):.2f}" for side in [ours, *modes])
    loss = ", ".join(f"{side.values[0]:.5f}" for side in [ours, best])
    verdict = "met" if ratio <= GOAL else "missed"
    return f"| {precision} | {seconds} | {ratio:.2f} ({best.name}) | {processor:.2f} | {verdict} | {loss} |"


def by_tokens(arguments, folder):
    """Our step at each number of tokens, in turns."""
    sides = []
    for side in SIDES:
        made = make(arguments, folder / f"side-{side}", batch=SIDES_BATCH, side=side)
        sides.append(Side(f"{side * side} tokens", [STEP, str(made), "f32"]))
    return in_turns(sides, arguments.rounds)


def token_row(side, tokens):
    seconds = statistics.median(side.seconds)
    return f"| {tokens} | {seconds:.3f} | {1e6 * seconds / tokens / SIDES_BATCH:.1f} |"


def markdown(arguments, rows, tokens):
    model = re.search(r"^model name\s*: (.*)", cpu_info(), re.MULTILINE)
    family = re.search(r"^cpu family\s*: (.*)", cpu_info(), re.MULTILINE)
    commit = output_of("git", "rev-parse", "--short", "HEAD")
    if output_of("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    version = "import torch, diffusers; print(f'PyTorch {torch.__version__}, diffusers {diffusers.__version__}')"
    lines, token_lines = "\n".join(rows), "\n".join(tokens)
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"""# Speed of a SANA-shaped step against PyTorch

`{shlex.join(["python3", "bench/sana.py", *sys.argv[1:]])}` (`make bench-sana`), on {datetime.date.today().isoformat()}, commit {commit}: against {output_of(arguments.python, "-c", version)}, on {len(os.sched_getaffinity(0))} cores of an {model[1] if model else "?"} (family {family[1] if family else "?"}) {"with" if has_bf16() else "without"} AVX512-BF16. Load of the machine at the end, over 1, 5 and 15 minutes: {load}.

A SANA network of width {SIZES["width"]}, depth {SIZES["depth"]}, {SIZES["heads"]} heads, {SIZES["side"] ** 2} tokens, {SIZES["text_tokens"]} prompt tokens, batch {SIZES["batch"]}: loss and gradients of all weights, forward and backward, on the same weights and batch in diffusers' `SanaTransformer2DModel` (`bench/sana_peer.py`) and here (`tests/examples/sana_step.rs`). {arguments.rounds} rounds of a step each in turns, after one that is not counted. Seconds are medians; a ratio is the median of the rounds' own ratios, to the faster of PyTorch's eager and compiled step. bf16: products in bf16, weights and sums in f32 (PyTorch: autocast).

| products | ours, s | eager, s | compiled, s | ratio | of processor time | goal: at most {GOAL} | loss: ours, PyTorch |
|---|---|---|---|---|---|---|---|
{lines}

Our step by tokens, f32, batch {SIDES_BATCH}:

| tokens | s | us a token and sample |
|---|---|---|
{token_lines}
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=".venv-bench-torch/bin/python", help="a Python with PyTorch and diffusers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file for the results")
    return parser.parse_args()


def main():
    os.chdir(pathlib.Path(__file__).parent.parent)
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        made = make(arguments, folder / "step")
        rows = [row(precision, *against_pytorch(arguments, made, precision)) for precision in ("f32", "bf16")]
        tokens = [token_row(side, size * size) for side, size in zip(by_tokens(arguments, folder), SIDES)]
    text = markdown(arguments, rows, tokens)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
