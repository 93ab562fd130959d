"""Measures a training process from outside: it says on its output when a step is done, and the system says how much
memory and processor time it took. The program and bench/jax_peer.py are so measured alike."""

import os
import pathlib
import re
import shlex
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

ERROR = re.compile(r"PROBLEM|FAILED|panicked|[Ee]rror\b|cannot|not enough")
LOG_LINE = re.compile(r"[IWE]\d{4} |WARNING: All log|=== Source Location|external/|\*{9}")
STEP_LINE = re.compile(rb"step (\d+)/\d+ .*\bloss (\S+)")


class Failed(Exception):
    """A process that ended badly, ran out of time or finished no step; or what it made is not right."""

    def __init__(self, what, output="", command=()):
        super().__init__("\n".join(filter(None, [shlex.join(command), output.rstrip(), what])))
        self.brief = " ".join(filter(None, [trouble(output), what]))


def trouble(output):
    """The last line that names an error with what follows, or the last line of all."""
    lines = [" ".join(line.strip(" │×").split()) for line in output.splitlines() if not LOG_LINE.match(line)]
    lines = [line for line in lines if line]
    errors = [number for number, line in enumerate(lines) if ERROR.search(line)]
    told = lines[errors[-1] : errors[-1] + 4] if errors else lines[-1:]
    return f"{' '.join(told)[:400]};" if told else ""


@dataclass
class Run:
    """What one process showed."""

    name: str
    first_step: float
    """Seconds from the process's start to the end of its first step."""
    steps: list[float]
    """Seconds of each further step."""
    cpu_steps: list[float]
    """Processor seconds of each further step, over all threads: other work on the machine hardly changes them."""
    losses: list[float]
    peak_mib: float
    """The largest resident memory of the whole process."""
    output: str
    """Standard output and error."""

    @property
    def step(self):
        return statistics.median(self.steps)

    @property
    def cpu_step(self):
        return statistics.median(self.cpu_steps)


def measure(name, command, environment=None, limit=None, stop_after=None, stop_by=signal.SIGKILL):
    """Runs a command to its end, or stops it by a signal once `stop_after` steps are done, and notes when it says that a
    step is done. Raises Failed, also where it takes longer than `limit` seconds."""
    environment = {**neutral_environment(), **(environment or {})}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    timer = threading.Timer(limit or threading.TIMEOUT_MAX, process.kill)
    timer.daemon = True
    timer.start()
    said, wall, cpu, losses = [], [], [], []
    for line in process.stdout:
        said.append(line)
        if found := STEP_LINE.match(line):
            wall.append(time.perf_counter() - began)
            cpu.append(cpu_seconds(process.pid))
            losses.append(float(found[2]))
            if len(wall) == stop_after:
                process.send_signal(stop_by)
    timer.cancel()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    output = b"".join(said).decode(errors="replace")
    if limit and time.perf_counter() - began >= limit:
        raise Failed(f"was stopped after {limit:.0f} s", output, command)
    was_stopped = stop_after is not None and len(wall) >= stop_after
    if not wall or (process.returncode != 0 and not was_stopped):
        raise Failed(f"ended with {process.returncode}", output, command)
    run = Run(name, wall[0], differences(wall), differences(cpu), losses, usage.ru_maxrss / 1024, output)
    then = f", then {run.step:.3g} s a step" if run.steps else ""
    print(f"{name}: first step after {run.first_step:.1f} s{then}", file=sys.stderr, flush=True)
    return run


def assignments(settings):
    """Settings as arguments of the program and of bench/jax_peer.py."""
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def neutral_environment():
    """The environment without what would hold for one of the two only, or mean different things to them."""
    foreign = ("JAX_", "XLA_", "NVIDIA_TF32_OVERRIDE")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


def differences(times):
    return [after - before for before, after in zip(times, times[1:])]


def cpu_seconds(pid):
    """User and system time of a process so far (proc(5): fields 14 and 15, counted after the name in brackets)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
