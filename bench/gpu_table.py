"""What scripts/gpu-check writes, as Markdown."""

import importlib.metadata
import datetime
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass, field

from gpu_steps import Row


@dataclass
class Outcome:
    """How a part ended."""

    name: str
    fact: str
    fault: str
    """Empty if all went well."""
    seconds: float
    rows: list[Row] = field(default_factory=list)

    def markdown(self):
        verdict = f"FAILED: {self.fault}" if self.fault else f"ok: {self.fact}"
        return f"| {self.name} | {verdict.replace('|', '/')} | {self.seconds:.0f} |"


def markdown(device, driver, version, outcomes):
    parts = "\n".join(outcome.markdown() for outcome in outcomes)
    rows = [row for outcome in outcomes for row in outcome.rows]
    return f"""# {device}

`{shlex.join(["scripts/gpu-check", *sys.argv[1:]])}` on {datetime.date.today().isoformat()}, commit {commit()}: {version} against {peer()}, {driver}. {summary(outcomes)}

| part | result | s |
|---|---|---|
{parts}

{steps(rows) if rows else "No step was timed."}
"""


def steps(rows):
    lines = "\n".join(map(step_line, rows))
    return f"""| step | side | ms | samples/s | MFU | peak, GiB | plan, GiB | first step after, s | mean loss |
|---|---|---|---|---|---|---|---|---|
{lines}

{ratios(rows)}

A step is the median of a process's second step and later, and of the rounds', ours and JAX in turns. MFU counts the model's products, without those that remat makes a second time, against the card's peak rate for their kind. On a GPU the peaks are XLA's allocator's, compiling included, CUDA's own memory not. The plan is `graph --target`'s for our step. f32 is with `NVIDIA_TF32_OVERRIDE=0` and without Triton's products for both sides. Noise and samples are each program's own, so that losses agree on average only."""


def step_line(row):
    number = lambda value, form: "-" if value is None else format(value, form)
    cells = [
        row.workload,
        row.side,
        f"{1e3 * row.seconds:.4g}",
        f"{row.samples:.4g}",
        number(row.mfu, ".3f"),
        number(row.peak_gib, ".2f"),
        number(row.plan_gib, ".2f"),
        f"{row.first_step:.1f}",
        f"{row.loss:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def ratios(rows):
    sides = {(row.workload, row.side): row.seconds for row in rows}
    both = [name for name, side in sides if side == "ours" and (name, "JAX") in sides]
    told = [f"{name}: {sides[name, 'ours'] / sides[name, 'JAX']:.2f}" for name in both]
    return f"Our step's time as a share of JAX's: {'; '.join(told)}." if told else "No step was timed on both sides."


def summary(outcomes):
    failed = [outcome.name for outcome in outcomes if outcome.fault]
    seconds = sum(outcome.seconds for outcome in outcomes)
    named = f"; FAILED: {', '.join(failed)}" if failed else ""
    return f"{len(outcomes) - len(failed)} of {len(outcomes)} parts passed in {seconds:.0f} s{named}."


def commit():
    """Where the folder is a checkout; it may as well be a copy."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no checkout)"


def peer():
    return f"jax {importlib.metadata.version('jax')}, Python {platform.python_version()}"
