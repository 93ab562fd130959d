"""Times the program against bench/jax_peer.py, process by process in turns, and writes what came out as Markdown.

Each process is a fresh one; the order turns round from round to round, so that what changes slowly on the machine falls
on all alike.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass

from measure import Failed, assignments, measure

CONFIG = "configs/bench-dit.toml"


class Bench:
    """The processes to measure."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.count = arguments, folder, 0

    def ours(self, name, precision, cache=None, program=None):
        """A run from an empty compile cache, or one step from the cache that another run left. Gives the cache too."""
        self.count += 1
        run = self.folder / f"run-{self.count}"
        settings = {
            "run.dir": run,
            "device.cache_dir": cache or f"{run}-cache",
            "train.precision": precision,
            "train.steps": 1 if cache else self.arguments.steps,
        }
        command = [program or self.arguments.program, "train", "--config", CONFIG, *assignments(settings)]
        return measure(name, command), settings["device.cache_dir"]

    def ours_f32(self):
        cold, cache = self.ours("ours f32", "f32")
        return [cold, self.ours("ours f32 cached", "f32", cache)[0]]

    def ours_bf16(self):
        return [self.ours("ours bf16", "bf16")[0]]

    def before(self, precision):
        return [self.ours(f"before {precision}", precision, program=self.arguments.before)[0]]

    def jax(self, precision, layers="scan"):
        peer = [self.arguments.python, "bench/jax_peer.py", "--config", CONFIG, "--steps", str(self.arguments.steps)]
        name = f"jax {precision}" if layers == "scan" else f"jax {precision} {layers}"
        return [measure(name, [*peer, "--set", f"train.precision={precision}", "--layers", layers])]

    def round(self, backwards):
        """Each kind of process once, by name."""
        kinds = [
            self.ours_f32,
            lambda: self.jax("f32"),
            self.ours_bf16,
            lambda: self.jax("bf16"),
            lambda: self.jax("f32", "loop"),
        ]
        if self.arguments.before:
            # Beside what it is compared with.
            kinds[1:1] = [lambda: self.before("f32")]
            kinds[4:4] = [lambda: self.before("bf16")]
        runs = [run for kind in (reversed(kinds) if backwards else kinds) for run in kind()]
        return {run.name: run for run in runs}


@dataclass
class Row:
    """A line of the table: medians over the rounds."""

    what: str
    ours: float
    jax: float | None
    value: float
    """What the goal is about: the ratio, unless `what` says otherwise."""
    goal: float | None = None
    """The largest value wanted."""
    noise: float = 1.0
    """By which factor measuring may exceed the goal."""

    def verdict(self):
        if self.goal is None:
            return "-"
        return f"at most {self.goal:g}: {'met' if self.value <= self.goal * self.noise else 'missed'}"

    def markdown(self):
        jax = "-" if self.jax is None else f"{self.jax:.4g}"
        return f"| {self.what} | {self.ours:.4g} | {jax} | {self.value:.2f} | {self.verdict()} |"


def rows(rounds):
    """The table. A ratio is the median of the rounds' own ratios, as its two sides ran close together."""

    def median(number):
        return statistics.median(map(number, rounds))

    def of(name, number):
        return median(lambda runs: number(runs[name]))

    def against(what, number, ours, other, goal=None, noise=1.0):
        ratio = median(lambda runs: number(runs[ours]) / number(runs[other]))
        return Row(what, of(ours, number), of(other, number) if "jax" in other else None, ratio, goal, noise)

    step, cpu, peak = (lambda run: run.step), (lambda run: run.cpu_step), (lambda run: run.peak_mib)
    first = lambda run: run.first_step
    beyond_a_step = median(lambda runs: first(runs["ours f32 cached"]) - step(runs["ours f32"]))
    bf16_goal = 0.75 if has_bf16() else None
    since = [
        against(f"{what}, {precision}, against the program before", number, f"ours {precision}", f"before {precision}", goal)
        for what, number, goal in [("step", step, 1.02), ("processor time of a step", cpu, None), ("peak memory", peak, None)]
        for precision in ("f32", "bf16")
        if "before f32" in rounds[0]
    ]
    return since + [
        against("step, f32, s", step, "ours f32", "jax f32", 1.0, noise=1.03),
        against("the same, JAX's blocks unrolled", step, "ours f32", "jax f32 loop", 1.0, noise=1.03),
        against("step, bf16, s; its ratio to our own f32", step, "ours bf16", "ours f32", bf16_goal),
        against("step, bf16, s", step, "ours bf16", "jax bf16"),
        against("start to the end of the first step, f32, s", first, "ours f32", "jax f32", 0.7),
        Row("the same from the compile cache; less one step", of("ours f32 cached", first), None, beyond_a_step, 1.0),
        against("peak memory, f32, MiB", peak, "ours f32", "jax f32", 1.0),
        against("peak memory, bf16, MiB", peak, "ours bf16", "jax bf16", 1.0),
        against("processor time of a step, f32, s", cpu, "ours f32", "jax f32"),
        against("processor time of a step, bf16, s", cpu, "ours bf16", "jax bf16"),
    ]


def cpu_info():
    return pathlib.Path("/proc/cpuinfo").read_text()


def has_bf16():
    return "avx512_bf16" in cpu_info()


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def environment(arguments):
    """What the numbers belong to."""
    commit = output_of("git", "rev-parse", "--short", "HEAD")
    if output_of("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    versions = (
        "import importlib.metadata as m, platform as p;"
        "print(*(f'{x} {m.version(x)}' for x in ('jax', 'jaxlib')), f'Python {p.python_version()}', sep=', ')"
    )
    plugin = re.search(r"^xla-cpu-pjrt==(\S+)", pathlib.Path("scripts/cpu-plugin.txt").read_text(), re.MULTILINE)
    model = re.search(r"^model name\s*: (.*)", cpu_info(), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "avx512_bf16": has_bf16(),
        "commit": commit,
        "ours": f"{output_of(arguments.program, '--version')} (CPU plugin {plugin[1]})",
        "jax": output_of(arguments.python, "-c", versions),
        "date": datetime.date.today().isoformat(),
        "before": arguments.before and arguments.before_commit,
        "command": shlex.join(["python3", "bench/compare.py", *sys.argv[1:]]),
    }


def markdown(steps, found, table, rounds):
    lines = "\n".join(row.markdown() for row in table)
    losses = {name: statistics.mean(loss for runs in rounds for loss in runs[name].losses) for name in rounds[0]}
    means = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items() if name != "ours f32 cached")
    before = f"The program before is that of commit {found['before']}.\n\n" if found["before"] else ""
    bf16 = "with" if found["avx512_bf16"] else "without"
    return f"""# Speed against JAX

`{found["command"]}` (`make bench` runs it with 3 rounds of 8 steps), on {found["date"]}, commit {found["commit"]}: {found["ours"]} against {found["jax"]}, on {found["cores"]} cores of an {found["processor"]} {bf16} AVX512-BF16.

`{CONFIG}` against `bench/jax_peer.py`, the same step in plain JAX: {len(rounds)} rounds of fresh processes in turns, {steps} steps each. A process's step time is the median of its second step and later; columns are medians over the rounds, and a ratio is the median of the rounds' own ratios.

| | ours | JAX | ratio | goal |
|---|---|---|---|---|
{lines}

{before}Up to the end of the first step a process starts, traces and compiles; nothing was compiled before, but for the line about the cache. Peak memory is that of the whole process; ours ends with a checkpoint and pictures, JAX's with its last step.

Mean loss over all steps (weights, noise and samples are each program's own): {means}.
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/twinflow-xla", help="the program")
    parser.add_argument("--before", help="the program of an earlier commit, to be compared with in turns")
    parser.add_argument("--before-commit", default="unnamed", help="that commit")
    parser.add_argument("--python", default=".venv-bench/bin/python", help="a Python with JAX")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="steps of each process, at least 2")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file for the results")
    parser.add_argument("--json", type=pathlib.Path, help="JSON file for every number measured")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.steps < 2:
        parser.error("at least 1 round of 2 steps")
    return arguments


def main():
    os.chdir(pathlib.Path(__file__).parent.parent)
    arguments = parse_arguments()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, pathlib.Path(folder))
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            try:
                rounds.append(bench.round(backwards=number % 2 == 1))
            except Failed as failure:
                sys.exit(str(failure))
    found, table = environment(arguments), rows(rounds)
    text = markdown(arguments.steps, found, table, rounds)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)
    if arguments.json:
        measured = [{**asdict(run), "output": None} for runs in rounds for run in runs.values()]
        numbers = {"environment": found, "table": [asdict(row) for row in table], "runs": measured}
        arguments.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
