"""Times a training step of the program and of bench/jax_peer.py on the same device, in turns (scripts/gpu-check)."""

import json
import pathlib
import re
import statistics
import sys
import time
import tomllib
from dataclasses import dataclass

from measure import Failed, assignments, measure

MIB_PER_GIB = 1024

# By a card's name in nvidia-smi: its target in the program, and the peak rates of dense products in TFLOP/s (NVIDIA's
# data sheets). A card with other clocks has other rates, so that an "H100 PCIe" has no entry.
CARDS = {
    r"NVIDIA A100\b.*": ("a100", {"bf16": 312.0, "tf32": 156.0, "f32": 19.5}),
    r"NVIDIA H100 80GB HBM3": ("h100", {"bf16": 989.4, "tf32": 494.7, "f32": 66.9}),
    r"NVIDIA H200": ("h200", {"bf16": 989.4, "tf32": 494.7, "f32": 66.9}),
    r"NVIDIA B200": ("b200", {"bf16": 2250.0, "tf32": 1125.0, "f32": 75.0}),
}


@dataclass(frozen=True)
class Workload:
    """A step to time."""

    name: str
    config: str
    settings: dict
    """Changes of the config, for both sides."""
    products: str
    """How products are made, as in CARDS."""
    environment: dict
    """For both sides."""
    steps: int
    """Of each process."""
    rounds: int

    def setting(self, section, key):
        config = tomllib.loads(pathlib.Path(self.config).read_text())
        return self.settings.get(f"{section}.{key}", config[section][key])


@dataclass(frozen=True)
class Plan:
    """What the program says of the step before it runs."""

    peak_mib: float
    model_flop: float
    """Products without those that remat makes a second time, which do not count in an MFU."""


@dataclass(frozen=True)
class Row:
    """One side of a workload. What is not known is None."""

    workload: str
    side: str
    seconds: float
    """Median over the rounds of a process's median step."""
    samples: float
    """A second."""
    mfu: float | None
    peak_gib: float | None
    plan_gib: float | None
    first_step: float
    """Seconds from the first process's start to the end of its first step."""
    loss: float


def measure_steps(place, ends, workload):
    """Runs both sides in turns: the rows of those that ran, and what went wrong with the others as a text."""
    faults, runs = [], {"ours": [], "JAX": []}
    # A plan that takes long must not keep the steps from being timed.
    plan_ends = time.monotonic() + left(ends) / 3
    plan = attempt(faults, "plan", lambda: make_plan(place, plan_ends, workload))
    sides = [("ours", lambda: ours(place, ends, workload)), ("JAX", lambda: jax(place, ends, workload))]
    for number in range(workload.rounds):
        for side, run in sides if number % 2 == 0 else sides[::-1]:
            if done := attempt(faults, side, run):
                runs[side].append(done)
    return [row(place, workload, plan, side, done) for side, done in runs.items() if done], "; ".join(faults)


def attempt(faults, what, function):
    try:
        return function()
    except Failed as failure:
        print(f"{what}: {failure}", file=sys.stderr, flush=True)
        faults.append(f"{what}: {failure.brief}")


def make_plan(place, ends, workload):
    """Compiled for the card's description where there is one, as people do before they queue a run; once for each step,
    whatever the environment makes of its products."""
    key = (workload.config, str(workload.settings))
    if key in place.plans:
        return place.plans[key]
    target = known(place.device)[0] if known(place.device) else "here"
    settings = {**workload.settings, "device.platform": place.platform}
    options = ["--program", "twinflow-step", "--target", target, "--json"]
    command = [place.program, "graph", "--config", workload.config, *assignments(settings), *options]
    program = json.loads(place.run(command, ends))["programs"][0]
    plan = Plan(program["memory"]["peak"] / 2**20, model_flop(program, workload.setting("model", "remat")))
    return place.plans.setdefault(key, plan)


def model_flop(program, remat):
    """The main pass goes through each block once forward and twice backward, under remat once more forward."""
    blocks = [cost["product_flops"] for scope, cost in program["scopes"].items() if scope.startswith("main/blocks")]
    again = sum(blocks) / 4 if remat == "blocks" else 0
    return program["cost"]["product_flops"] - again


def known(device):
    return next((card for pattern, card in CARDS.items() if re.fullmatch(pattern, device)), None)


def ours(place, ends, workload):
    """A run that is killed after its last step, before it writes a checkpoint and pictures: seconds, loss, peak in MiB."""
    run = f"run-{len(list(place.scratch.glob('run-*')))}"
    quiet = {"train.steps": workload.steps, "train.checkpoint_every": 0, "train.sample_every": 0, "train.log_every": 1}
    command = [*place.train(run, {**workload.settings, **quiet}), "--config", workload.config]
    environment = {**place.environment, **workload.environment}
    done = measure(f"{workload.name}, ours", command, environment, left(ends), stop_after=workload.steps)
    # The last line may be missing: the run is killed as soon as it has said that its last step is done.
    metrics = (place.scratch / run / "metrics.jsonl").read_text().splitlines()
    peak = json.loads(metrics[-1]).get("peak_memory")
    return done, peak / 2**20 if peak else done.peak_mib


def jax(place, ends, workload):
    """As `ours`; JAX's allocator says the peak itself."""
    options = ["--config", workload.config, "--steps", str(workload.steps), *assignments(workload.settings)]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(place.scratch / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    # Named, for without a usable GPU JAX would go on with the processor.
    environment = {"JAX_PLATFORMS": place.platform, **cache, **workload.environment}
    command = [sys.executable, "bench/jax_peer.py", *options]
    done = measure(f"{workload.name}, JAX", command, environment, left(ends))
    peak = re.search(r"^peak device memory (\d+)", done.output, re.MULTILINE)
    return done, int(peak[1]) / 2**20 if peak else done.peak_mib


def left(ends):
    if (seconds := ends - time.monotonic()) <= 0:
        raise Failed("no time was left for it")
    return seconds


def row(place, workload, plan, side, runs):
    seconds = statistics.median(run.step for run, _ in runs)
    card = known(place.device)
    rate = card and card[1][workload.products] * 1e12
    return Row(
        workload=workload.name,
        side=side,
        seconds=seconds,
        samples=workload.setting("train", "batch_size") / seconds,
        mfu=plan.model_flop / seconds / rate if plan and rate else None,
        peak_gib=max(peak for _, peak in runs) / MIB_PER_GIB,
        plan_gib=plan.peak_mib / MIB_PER_GIB if plan else None,
        first_step=runs[0][0].first_step,
        loss=statistics.mean(loss for run, _ in runs for loss in run.losses),
    )
