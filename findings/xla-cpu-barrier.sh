#!/bin/bash
# jax 0.10.2 (jaxlib 0.10.2), on the CPU: an optimization barrier does not keep a value from being computed several times. The
# barrier is in the program that XLA gets, and is gone before loops are joined: a sum of nine shifted products that two
# later loops read is written out in both, so that 18 multiplications per element are made in place of 9.
#
# Seen: barriers in the lowered program 1, in the compiled one 0; loops with the nine products 2, with the barrier and
# without it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat > "$work/barrier.py" <<'PYTHON'
import re

import jax
import jax.numpy as jnp


def sum_of_shifted(x, kernel):
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = ((i, j) for i in range(3) for j in range(3))
    return sum(padded[:, i : i + 16, j : j + 16] * kernel[i, j] for i, j in places)


def program(barrier):
    def of(x, kernel, weight):
        y = sum_of_shifted(x, kernel)
        y = jax.lax.optimization_barrier(y) if barrier else y
        rows = y.reshape(-1, y.shape[-1])
        # A product of matrices reads a whole array: each of them has a loop before it that makes its operand.
        return jnp.tanh(rows) @ weight, (rows * rows) @ weight

    return jax.jit(of).lower(jnp.ones((4, 16, 16, 64)), jnp.ones((3, 3, 64)), jnp.ones((64, 64)))


def loops_with_nine_products(text):
    bodies = re.findall(r"^%?fused_computation[^\n]*\{\n(.*?)^\}", text, re.M | re.S)
    return sum(len(re.findall(r" multiply\(", body)) >= 9 for body in bodies)


for barrier in (False, True):
    lowered = program(barrier)
    compiled = lowered.compile().as_text()
    seen = (lowered.as_text().count("optimization_barrier"), compiled.count("opt-barrier"), loops_with_nine_products(compiled))
    print("barrier" if barrier else "without", "lowered %d compiled %d loops %d" % seen)
    assert seen == (int(barrier), 0, 2), seen
PYTHON
env JAX_PLATFORMS=cpu "$work/env/bin/python" "$work/barrier.py"
