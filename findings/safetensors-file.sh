#!/bin/bash
# safetensors 0.8.0 (Python, numpy 2.4.6): `save_file` makes files of mode 0600 whatever the umask allows. With two or
# more entries of metadata it writes the same tensors as different bytes from call to call, since the metadata are a
# hash map. So an export for others has to be given its mode, and files are compared tensor by tensor, never by a hash.
#
# Seen with umask 022:
#   a plain file has mode 0644, safetensors' 0600
#   64 files of the same tensors and 4 entries of metadata: 20 different contents, one content without the header
#   (how many differs from run to run; there are 24 orders)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cd "$work"
umask 022
env/bin/python - <<'PYTHON'
import os, sys
import numpy as np
from safetensors.numpy import save_file

def mode(path):
    return f"{os.stat(path).st_mode & 0o777:04o}"

def after_header(content):
    return content[8 + int.from_bytes(content[:8], "little"):]

tensors = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
metadata = {"format": "pt", "step": "100", "seed": "0", "model": "mlp"}
contents = []
for i in range(64):
    save_file(tensors, f"{i}.safetensors", metadata=metadata)
    contents.append(open(f"{i}.safetensors", "rb").read())
open("plain", "w").close()
headers, bodies = len(set(contents)), len(set(map(after_header, contents)))
print(f"a plain file has mode {mode('plain')}, safetensors' {mode('0.safetensors')}")
print(f"64 files of the same tensors and 4 entries of metadata: {headers} different contents, "
      + ("one content" if bodies == 1 else f"{bodies} contents") + " without the header")
sys.exit(not (mode("plain") == "0644" and mode("0.safetensors") == "0600" and headers > 1 and bodies == 1))
PYTHON
