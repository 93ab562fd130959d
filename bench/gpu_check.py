"""Checks and measures the portable program on an NVIDIA GPU, beside the same steps in JAX (`scripts/gpu-check`).

Needs this folder, `make portable`'s files, and a Python that holds JAX with its CUDA 13 plugin; no network, no MPI. Every
part has a time limit, and one that fails or runs out says so in the table without ending the others. The table is
written anew after each part, so that what is known stays when the machine goes away.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from itertools import zip_longest

from gpu_steps import Workload, left, measure_steps
from gpu_table import Outcome, markdown, summary
from measure import Failed, assignments, measure, neutral_environment

TOTAL_SECONDS = 540
NEEDED_FILES = ["twinflow-xla", "golden", "twinflow_step.h5", "twinflow_sampler.h5"]


@dataclass(frozen=True)
class Place:
    """Where the check runs, and with what."""

    platform: str
    """cuda or cpu."""
    device: str
    """The GPU's name, or the processor."""
    portable: pathlib.Path
    scratch: pathlib.Path
    plans: dict
    """What gpu_steps.make_plan found."""

    @property
    def program(self):
        return str(self.portable / "twinflow-xla")

    @property
    def environment(self):
        """The program finds the CUDA plugin and NVIDIA's libraries among the packages of the Python that runs this."""
        return {"VIRTUAL_ENV": sys.prefix}

    def train(self, run, settings):
        """A training command with the run's folder and compiled programs in the scratch folder."""
        fixed = {"run.dir": self.scratch / run, "device.platform": self.platform, "device.cache_dir": self.scratch / "cache"}
        return [self.program, "train", *assignments({**fixed, **settings})]

    def run(self, command, ends, environment=None):
        """Runs a command to its end: what it printed. Raises Failed."""
        limit = left(ends)
        environment = {**neutral_environment(), **self.environment, **(environment or {})}
        try:
            done = subprocess.run(command, env=environment, timeout=limit, text=True, capture_output=True)
        except subprocess.TimeoutExpired:
            raise Failed(f"was stopped after {limit:.0f} s", command=command) from None
        if done.returncode != 0:
            raise Failed(f"ended with {done.returncode}", done.stderr + done.stdout, command)
        return done.stdout


def doctor(place, ends):
    command = [place.program, "doctor", "--config", "configs/toy.toml", "--set", f"device.platform={place.platform}"]
    output = place.run(command, ends)
    return "; ".join(re.findall(r"^ok +(?:XLA plugin|device) +(.*)", output, re.MULTILINE))


def golden(place, ends):
    values = {
        "TWINFLOW_TEST_PLATFORM": place.platform,
        "TWINFLOW_GOLDEN_STEP": str(place.portable / "twinflow_step.h5"),
        "TWINFLOW_GOLDEN_SAMPLER": str(place.portable / "twinflow_sampler.h5"),
        "NVIDIA_TF32_OVERRIDE": "0",
    }
    output = place.run([str(place.portable / "golden")], ends, values)
    return re.search(r"test result: ok. (\d+ passed)", output)[1]


def resumed_toy(place, ends):
    """Whether a run that SIGUSR1 stops in its flow-matching phase goes on as one that nothing stops."""
    steps = {"cuda": 2000, "cpu": 400}[place.platform]
    quiet = {"train.checkpoint_every": 0, "train.sample_every": 0, "train.log_every": 1, "sample.per_class": 10}
    settings = {"train.steps": steps, "flow.steps": steps // 2, **quiet}
    train = lambda run: [*place.train(run, settings), "--config", "configs/toy.toml"]
    unbroken, broken = place.scratch / "unbroken", place.scratch / "broken"
    measure("toy", train(unbroken), place.environment, left(ends))
    measure("toy, stopped", train(broken), place.environment, left(ends), steps // 4, signal.SIGUSR1)
    before = metrics(broken)
    if len(before) == steps:
        raise Failed("the run was over before it could be stopped")
    measure("toy, resumed", [place.program, "train", "--resume", str(broken)], place.environment, left(ends))
    both = metrics(unbroken), before + metrics(broken)[len(before) :]
    if differing := [step for step, (a, b) in enumerate(zip_longest(*both), 1) if a != b]:
        raise Failed(f"stopped after step {len(before)}: the metrics differ from step {differing[0]} on")
    weights = [exported_weights(place, run, ends) for run in (unbroken, broken)]
    if weights[0] != weights[1]:
        raise Failed(f"stopped after step {len(before)}: the metrics are equal, the exported weights differ")
    return f"stopped after step {len(before)} of {steps}: all metrics and {len(weights[0]):,} bytes of exported weights equal"


def metrics(run):
    """The lines of metrics.jsonl without what a clock says, and what compiling took."""
    timed = ("samples_per_second", "step_seconds", "communication_seconds", "peak_memory")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in timed} for line in lines]


def exported_weights(place, run, ends):
    """The bytes of a file that names neither the run's folder nor a time: equal weights give equal files."""
    file = run.with_suffix(".safetensors")
    place.run([place.program, "checkpoint", "export", str(run), "--out", str(file)], ends)
    return file.read_bytes()


def workloads(on):
    """What is timed. NVIDIA_TF32_OVERRIDE speaks to cuBLAS alone; Triton's kernels always round f32 to TF32."""
    no_tf32 = {"NVIDIA_TF32_OVERRIDE": "0", "XLA_FLAGS": "--xla_gpu_enable_triton_gemm=false"}
    tiny = {"model.width": 64, "model.depth": 2, "model.heads": 4, "train.batch_size": 8} if on == "cpu" else {}
    bench, dit = "configs/bench-dit.toml", "configs/dit-xl-2.toml"
    steps = {"cuda": 30, "cpu": 4}[on]
    precision = lambda name: {"train.precision": name, **tiny}
    return [
        Workload("DiT-XL/2, bf16, remat", dit, {"flow.steps": 0, **tiny}, "bf16", {}, steps, rounds=2),
        Workload("bench-dit, f32", bench, precision("f32"), "f32", no_tf32, steps, rounds=1),
        Workload("bench-dit, f32 as TF32", bench, precision("f32"), "tf32", {}, steps, rounds=1),
        Workload("bench-dit, bf16", bench, precision("bf16"), "bf16", {}, steps, rounds=1),
    ]


def parts(on):
    """Name, limit in seconds and function of every part, which gives rows, a fact and what went wrong. What matters most
    comes first, for together the limits exceed the whole's."""
    fact = lambda part: lambda place, ends: ([], part(place, ends), "")
    steps = lambda workload: lambda place, ends: timed(place, ends, workload)
    return [
        ("doctor", 60, fact(doctor)),
        ("golden tests", 90, fact(golden)),
        ("toy, stopped and resumed", 90, fact(resumed_toy)),
        *((workload.name, 45 + 90 * workload.rounds, steps(workload)) for workload in workloads(on)),
    ]


def timed(place, ends, workload):
    rows, faults = measure_steps(place, ends, workload)
    return rows, f"{workload.rounds} x {workload.steps} steps on each side", faults


def missing(arguments):
    """What the check needs and does not find, a line each."""
    absent = [name for name in NEEDED_FILES if not (arguments.portable / name).is_file()]
    if absent:
        yield f"{', '.join(absent)} in {arguments.portable}/: `make portable` makes it (elsewhere: --portable FOLDER)"
    if not has_module("jax"):
        yield f"JAX in {sys.executable}: name a Python that holds it by PYTHON=PATH"
    elif arguments.platform == "cuda" and not has_module("jax_plugins.xla_cuda13"):
        yield f"JAX's CUDA 13 plugin in {sys.executable}: jax-cuda13-plugin and jax-cuda13-pjrt"
    if arguments.platform == "cuda" and isinstance(found := gpu(), str):
        yield f"an NVIDIA GPU: {found} (--platform cpu tries this script without one, on tiny sizes)"


def has_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def gpu():
    """The first GPU's name and driver; or why there is none."""
    query = ["nvidia-smi", "--id=0", "--query-gpu=name,driver_version", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        return "there is no nvidia-smi, which comes with NVIDIA's driver"
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    if answer.returncode != 0:
        return f"nvidia-smi says: {' '.join((answer.stdout + answer.stderr).split())}"
    name, driver = answer.stdout.strip().split(", ")
    return name, driver


def check(place, driver, arguments):
    """Runs the parts and writes the table after each: how they ended."""
    all_end = time.monotonic() + TOTAL_SECONDS * arguments.patience
    version = place.run([place.program, "--version"], time.monotonic() + 10).strip()
    outcomes = []
    for name, limit, part in parts(place.platform):
        if arguments.only not in name:
            continue
        started = time.monotonic()
        ends = min(started + limit * arguments.patience, all_end)
        print(f"{name} (at most {ends - started:.0f} s)", file=sys.stderr, flush=True)
        try:
            left(ends)
            rows, fact, fault = part(place, ends)
        except Failed as failure:
            print(failure, file=sys.stderr, flush=True)
            rows, fact, fault = [], "", failure.brief
        except Exception as error:  # such as output that is not as expected: the other parts go on all the same
            traceback.print_exc()
            rows, fact, fault = [], "", f"{type(error).__name__}: {error}"
        outcomes.append(Outcome(name, fact, fault, time.monotonic() - started, rows))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(markdown(place.device, driver, version, outcomes))
    return outcomes


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("--platform", choices=["cuda", "cpu"], default="cuda", help="cpu tries it all, on tiny sizes")
    portable = pathlib.Path("target/portable")
    parser.add_argument("--portable", type=pathlib.Path, default=portable, help="folder of `make portable`'s files")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file (docs/gpu.md; with --platform cpu gpu-check.md)")
    parser.add_argument("--only", default="", metavar="TEXT", help="run the parts with this in their names")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies all time limits, for a busy machine")
    arguments = parser.parse_args()
    default = "docs/gpu.md" if arguments.platform == "cuda" else "gpu-check.md"
    arguments.out = (arguments.out or pathlib.Path(default)).absolute()
    arguments.portable = arguments.portable.absolute()
    return arguments


def main():
    arguments = parse_arguments()
    os.chdir(pathlib.Path(__file__).parent.parent)
    if absent := list(missing(arguments)):
        sys.exit("\n".join(["gpu-check cannot start. It needs", *(f"  - {line}" for line in absent)]))
    on_gpu = arguments.platform == "cuda"
    device, driver = gpu() if on_gpu else (f"{platform.machine()} processor, tiny sizes", "no GPU")
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(arguments.platform, device, arguments.portable, pathlib.Path(scratch), {})
        outcomes = check(place, f"driver {driver}" if on_gpu else driver, arguments)
    print(arguments.out.read_text())
    print(f"gpu-check: {summary(outcomes)} The table is in {arguments.out}")
    sys.exit(any(outcome.fault for outcome in outcomes))


if __name__ == "__main__":
    main()
