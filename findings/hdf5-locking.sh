#!/bin/bash
# h5py 3.16.0 (HDF5 2.0.0): what the environment says of locks overrules the program. With HDF5_USE_FILE_LOCKING=TRUE or
# BEST_EFFORT a file opened with `locking=False` is locked all the same; with FALSE one with `locking=True` is not.
# So a program that must work where there are no locks has to set the variable itself, before it opens a file. And
# "best effort" is for file systems that know no locks: a file that another process holds is refused.
#
# Seen, reading a file that another descriptor holds locked:
#   HDF5_USE_FILE_LOCKING  locking=False  locking=True  locking='best-effort'
#   not set                opened         refused       refused
#   TRUE                   refused        refused       refused
#   BEST_EFFORT            refused        refused       refused
#   FALSE                  opened         opened        opened
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check h5py==3.16.0 numpy==2.4.6
cd "$work"
cat > open.py <<'PYTHON'
import fcntl, os
import h5py

holder = os.open("held.h5", os.O_RDWR)
fcntl.flock(holder, fcntl.LOCK_EX)
answers = []
for locking in (False, True, "best-effort"):
    try:
        h5py.File("held.h5", "r", locking=locking).close()
        answers.append("opened")
    except OSError as error:
        assert "unable to lock file" in str(error), error
        answers.append("refused")
print(*answers)
PYTHON
unset HDF5_USE_FILE_LOCKING
env/bin/python -c 'import h5py; h5py.File("held.h5", "w").close()'
rc=0
row() { # name in the table, what is expected, environment
    local seen
    seen=$(env ${3:+HDF5_USE_FILE_LOCKING=$3} env/bin/python open.py)
    printf '%-12s %s\n' "$1" "$seen"
    [ "$seen" = "$2" ] || rc=1
}
row "not set" "opened refused refused" ""
row TRUE "refused refused refused" TRUE
row BEST_EFFORT "refused refused refused" BEST_EFFORT
row FALSE "opened opened opened" FALSE
exit $rc
