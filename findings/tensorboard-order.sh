#!/bin/bash
# TensorBoard 2.21.0: which of a run's event files is the later one is decided by their names alone. Writers put the
# clock's seconds into the name, so a resumed run on a host whose clock is behind sorts first; then the SessionLog.START
# of the first start is read after it and drops all that the resumed run wrote, although the events' own wall times are
# in order. So a resumed run has to name its file after the last one there, whatever its clock says.
#
# Seen, steps 1-5, then a restart that makes 4-7 (S is the first file's steps, R the resumed one's):
#   the resumed file sorts last:  S1 S2 S3 R4 R5 R6 R7
#   the resumed file sorts first: S1 S2 S3 S4 S5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check tensorboard==2.21.0 setuptools==80.9.0 numpy==2.4.6
cd "$work"
env/bin/python - <<'PYTHON'
import os, sys, tempfile
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

STARTED, RESUMED = 0.0, 1.0

def write(path, wall_time, steps, value):
    """An event file as trainers write it: version, session start, a scalar per step."""
    events = [Event(wall_time=wall_time, file_version="brain.Event:2"),
              Event(wall_time=wall_time, step=steps[0], session_log=SessionLog(status=SessionLog.START))]
    events += [Event(wall_time=wall_time + step, step=step,
                     summary=Summary(value=[Summary.Value(tag="loss", simple_value=value)])) for step in steps]
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())

def shown(resumed_name):
    folder = tempfile.mkdtemp(dir=".")
    write(f"{folder}/events.out.tfevents.0000005000.host.1", 5000, range(1, 6), STARTED)
    write(f"{folder}/events.out.tfevents.{resumed_name}.host.2", 6000, range(4, 8), RESUMED)
    accumulator = EventAccumulator(folder)
    accumulator.Reload()
    return " ".join(f"{'R' if event.value == RESUMED else 'S'}{event.step}" for event in accumulator.Scalars("loss"))

last, first = shown("0000006000"), shown("0000002400")
print("the resumed file sorts last: ", last)
print("the resumed file sorts first:", first)
sys.exit((last, first) != ("S1 S2 S3 R4 R5 R6 R7", "S1 S2 S3 S4 S5"))
PYTHON
