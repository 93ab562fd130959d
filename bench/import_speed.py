"""Times the import of pictures against bench/pillow_peer.py, process by process in turns, and writes what came out as
Markdown. Needs a Python with Pillow, h5py and numpy, which runs this too.
"""

import argparse
import datetime
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import h5py
import numpy
import PIL
from PIL import Image

PEER = "bench/pillow_peer.py"
MOST_RATIO, MOST_MIB = 1 / 1.5, 1000


@dataclass
class Set:
    """Pictures to import."""

    name: str
    count: int
    side: int
    ending: str
    resolution: int
    ours: list = field(default_factory=list)
    peer: list = field(default_factory=list)


@dataclass
class Run:
    seconds: float
    cpu_seconds: float
    """Processor time of all its processes: other work on the machine hardly changes it."""
    peaks_mib: list
    """The largest resident memory of each process."""


def picture(random, side, transparent):
    """Smooth light and shapes at several sizes with a little noise, as photographs have them."""
    layers = numpy.zeros((side, side, 3), "float32")
    for cells, weight in ((2, 90), (5, 60), (16, 40), (side // 4, 18)):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), "uint8"))
        layers += weight / 128 * (numpy.asarray(noise.resize((side, side), Image.Resampling.BICUBIC), "float32") - 128)
    layers += random.normal(128, 4, layers.shape)
    pixels = layers.clip(0, 255).astype("uint8")
    if not transparent:
        return Image.fromarray(pixels)
    y, x = numpy.mgrid[:side, :side] - (side - 1) / 2
    alpha = ((side / 2 - numpy.hypot(x, y)) * 64).clip(0, 255).astype("uint8")
    return Image.fromarray(numpy.dstack([pixels, alpha]))


def make(folder, pictures):
    """The same pictures at every call."""
    random = numpy.random.default_rng(20261129)
    folder.mkdir()
    for number in range(pictures.count):
        image = picture(random, pictures.side, pictures.ending == "png")
        options = {"quality": 90} if pictures.ending == "jpg" else {}
        image.save(folder / f"{number:05}.{pictures.ending}", **options)
        (folder / f"{number:05}.txt").write_text(f"picture number {number} of {pictures.count}\n")


def run(command):
    """One process from its start to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        sys.exit(f"{shlex.join(command)} ended with {process.returncode}\n{output}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, [usage.ru_maxrss / 1024]), output


def turn(arguments, folder, pictures, is_ours):
    target = folder / ("ours.h5" if is_ours else "peer.h5")
    target.unlink(missing_ok=True)
    source, side = str(folder / pictures.name), str(pictures.resolution)
    if is_ours:
        measured, _ = run(
            [arguments.program, "data", "import", "--pictures", source, "--resolution", side, "--out", str(target)]
        )
        pictures.ours.append(measured)
    else:
        measured, output = run([sys.executable, PEER, source, side, str(target)])
        measured.peaks_mib = [float(peak) for peak in output.split()]
        pictures.peer.append(measured)
    name = "ours" if is_ours else "Pillow"
    print(f"{pictures.name}, {name}: {measured.seconds:.2f} s ({measured.cpu_seconds:.2f} s of processors), {measured.peaks_mib} MiB", file=sys.stderr, flush=True)


def difference(folder, pictures):
    """The mean difference of the two files' pixels: both made the same pictures."""
    with h5py.File(folder / "ours.h5") as ours, h5py.File(folder / "peer.h5") as peer:
        shape = (pictures.count, pictures.resolution, pictures.resolution, 3)
        if ours["images"].shape != shape or peer["images"].shape != shape:
            sys.exit(f"the files of {pictures.name} hold other pictures than {shape}")
        some = slice(None, None, max(1, pictures.count // 100))
        return numpy.abs(ours["images"][some].astype(int) - peer["images"][some]).mean()


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def row(pictures):
    seconds = lambda runs: statistics.median(run.seconds for run in runs)
    cpu = lambda runs: statistics.median(run.cpu_seconds for run in runs)
    ratio = statistics.median(ours.seconds / peer.seconds for ours, peer in zip(pictures.ours, pictures.peer))
    peak = max(max(run.peaks_mib) for run in pictures.ours)
    of_peer = " + 2 x ".join(f"{max(peaks):.0f}" for peaks in zip(*(run.peaks_mib for run in pictures.peer)))
    spread = ", ".join(f"{ours.seconds / peer.seconds:.2f}" for ours, peer in zip(pictures.ours, pictures.peer))
    met = [ratio <= MOST_RATIO, peak <= MOST_MIB]
    verdicts = " and ".join("met" if goal else "missed" for goal in met)
    what = f"{pictures.count:,} {pictures.ending.upper()}s of {pictures.side} x {pictures.side} to {pictures.resolution}"
    cells = [what, f"{seconds(pictures.ours):.2f}", f"{seconds(pictures.peer):.2f}", f"{ratio:.2f} ({spread})"]
    cells.append(f"{cpu(pictures.ours):.2f} / {cpu(pictures.peer):.2f}")
    return "| " + " | ".join([*cells, f"{peak:.0f}", of_peer, verdicts]) + " |"


def markdown(arguments, sets, differences):
    commit = output_of("git", "rev-parse", "--short", "HEAD")
    if output_of("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    model = re.search(r"^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    command = shlex.join(["python3", "bench/import_speed.py", *sys.argv[1:]])
    rows = "\n".join(row(pictures) for pictures in sets)
    equal = " and ".join(f"{found:.3f} ({pictures.name})" for pictures, found in zip(sets, differences))
    busy = f" {arguments.note}" if arguments.note else ""
    return f"""# Speed of importing pictures

`{command}` (`make import-speed` runs it), on {datetime.date.today().isoformat()}, commit {commit}: {output_of(arguments.program, "--version")} against Pillow {PIL.__version__} in two processes with h5py {h5py.__version__} (`{PEER}`), Python {platform.python_version()}, on {len(os.sched_getaffinity(0))} cores of an {model[1] if model else platform.machine()}.{busy}

Pictures are made by the script, the same every time: smooth colours and shapes of several sizes with noise; PNGs with a transparent rim, JPEGs of quality 90. Each side decodes, lays transparent pictures over white, resizes with antialias (bilinear), cuts out the middle and writes one HDF5 file with captions; ours writes checksums too and reads its file back. {arguments.rounds} rounds of fresh processes in turns, the first of them turning round from round to round; seconds are medians, a ratio is the median of the rounds' own (in brackets). Peak memory, MiB, is the most of all rounds: of our one process, and of Python's main process and twice its larger worker.

| | ours, s | Pillow, s | ratio | processor time, ours / Pillow, s | peak memory, ours | Pillow | goals: ratio at most {MOST_RATIO:.2f}, memory at most {MOST_MIB} MiB |
|---|---|---|---|---|---|---|---|
{rows}

The two files' pixels differ by {equal} levels of 255 in the mean of a hundred pictures.
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/twinflow-xla", help="the program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the pictures, to try the script")
    parser.add_argument("--note", help="a sentence about the machine, such as what else ran on it")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file for the results")
    return parser.parse_args()


def main():
    os.chdir(pathlib.Path(__file__).parent.parent)
    arguments = parse_arguments()
    count = lambda all_of_them: max(1, round(arguments.share * all_of_them))
    sets = [Set("small", count(3786), 64, "png", 32), Set("photos", count(5000), 512, "jpg", 256)]
    differences = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for pictures in sets:
            make(folder / pictures.name, pictures)
            for number in range(arguments.rounds):
                for is_ours in (True, False) if number % 2 == 0 else (False, True):
                    turn(arguments, folder, pictures, is_ours)
            differences.append(difference(folder, pictures))
    text = markdown(arguments, sets, differences)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
