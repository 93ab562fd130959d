"""A TwinFlow step of a DiT config in plain JAX, as one would write it there: the peer of `make bench` and `scripts/gpu-check`.

The same model, losses, optimizer and averages as the program's own (graphs/src); initial values, random numbers and
samples are its own. Prints a line after each finished step. It implements the program's
defaults and reads the rest from the config, where every setting that it needs is written out.
"""

import argparse
import functools
import math
import pathlib
import time
import tomllib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dit import Model, bf16_einsum, init_params
from twinflow import draw, twinflow_loss


class State(NamedTuple):
    step: jax.Array
    params: dict
    teacher: dict
    teacher_decay: jax.Array
    ema: dict
    first: dict
    second: dict
    updates: jax.Array
    key: jax.Array


def init_state(params, config):
    copy = lambda: jax.tree.map(jnp.array, params)
    zeros = lambda: jax.tree.map(lambda leaf: jnp.array(np.zeros_like(leaf)), params)
    return State(
        step=jnp.array(0, jnp.uint32),
        params=copy(),
        teacher=copy(),
        teacher_decay=jnp.array(config["twinflow"]["teacher_decay"] / 2.0, jnp.float32),
        ema=copy(),
        first=zeros(),
        second=zeros(),
        updates=jnp.array(0, jnp.uint32),
        key=jax.random.key(config["run"]["seed"]),
    )


def train_step(model, config, state, samples, labels):
    """Where loss or gradient are not finite, nothing but `step` changes."""
    key = jax.random.fold_in(state.key, state.step)
    live = jax.lax.stop_gradient(state.params)
    loss = lambda key, samples, labels: jax.value_and_grad(twinflow_loss, has_aux=True)(
        state.params, model, config["twinflow"], live, state.teacher, samples, labels, draw(key, samples.shape)
    )
    (_, terms), gradients = mean_over_micro_batches(loss, config["train"]["micro_batches"], key, samples, labels)
    grad_norm = jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradients)))
    finite = jnp.isfinite(grad_norm) & jnp.isfinite(terms["loss"])
    updated = update(config, state, clip(config["optimizer"]["clip_norm"], gradients, grad_norm))
    chosen = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, state)
    return chosen._replace(step=state.step + 1), {**terms, "grad_norm": grad_norm}


def mean_over_micro_batches(loss, count, key, samples, labels):
    """What `loss(key, samples, labels)` gives, one micro-batch after the other, so that one at a time is in memory."""
    if count == 1:
        return loss(key, samples, labels)
    parts = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), (samples, labels))
    one = lambda k, samples, labels: loss(jax.random.fold_in(key, k), samples, labels)
    add = lambda total, part: (jax.tree.map(jnp.add, total, one(*part)), None)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(loss, key, samples, labels))
    total, _ = jax.lax.scan(add, zeros, (jnp.arange(count), *parts))
    return jax.tree.map(lambda leaf: leaf / count, total)


def clip(limit, gradients, norm):
    """Gradients shortened to the global norm `limit`; 0 is off."""
    if limit == 0.0:
        return gradients
    scale = jnp.minimum(limit / (norm + 1e-6), 1.0)
    return jax.tree.map(lambda leaf: leaf * scale, gradients)


def update(config, state, gradients):
    """AdamW without weight decay, then both averages."""
    adam, teacher_decay = config["optimizer"], config["twinflow"]["teacher_decay"]
    beta_1, beta_2 = adam["betas"]
    updates = state.updates + 1
    rate = adam["learning_rate"] * jnp.minimum((state.step + 1) / adam["warmup_steps"], 1.0)
    correction_1, correction_2 = (-1.0 / jnp.expm1(updates * math.log(beta)) for beta in (beta_1, beta_2))

    mix = lambda decay: lambda old, new: decay * old + (1.0 - decay) * new
    first = jax.tree.map(mix(beta_1), state.first, gradients)
    second = jax.tree.map(lambda old, new: mix(beta_2)(old, jnp.square(new)), state.second, gradients)
    direction = lambda m, v: m * correction_1 / (jnp.sqrt(v * correction_2) + adam["eps"])
    params = jax.tree.map(lambda p, m, v: p - rate * direction(m, v), state.params, first, second)

    m = state.teacher_decay
    ema_decay = jnp.minimum((1.0 + state.updates) / (10.0 + state.updates), config["train"]["ema_decay"])
    return state._replace(
        params=params,
        teacher=jax.tree.map(mix(m), state.teacher, params),
        teacher_decay=m + (1.0 - m) * (teacher_decay - m) / 2.0,
        ema=jax.tree.map(mix(ema_decay), state.ema, params),
        first=first,
        second=second,
        updates=updates,
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/bench-dit.toml", help="the program's settings")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one setting")
    parser.add_argument("--layers", choices=["scan", "loop"], default="scan", help="how the blocks follow one another")
    parser.add_argument("--cost", action="store_true", help="print XLA's count of the step's operations, and stop")
    return parser.parse_args()


def read_config(path, assignments):
    """The settings, changed as the program's own --set does: a value that is no TOML is a text."""
    config = tomllib.loads(pathlib.Path(path).read_text())
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        section, _, key = name.partition(".")
        try:
            config[section][key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            config[section][key] = value
    return config


def build_model(config, layers):
    sizes = config["data"] | config["model"]
    return Model(
        **{name: sizes[name] for name in Model._fields if name in sizes},
        einsum=jnp.einsum if config["train"]["precision"] == "f32" else bf16_einsum,
        scan=layers == "scan",
    )


def synthetic_batches(model, rng, batch, count):
    """Uniform noise in [-1, 1) with uniform labels, f32 [count, b, height, width, channels] and i32 [count, b]."""
    images = rng.uniform(-1.0, 1.0, (count, batch, model.height, model.height, model.channels)).astype(np.float32)
    return images, rng.integers(0, model.classes, (count, batch), np.int32)


def main():
    arguments = parse_arguments()
    config = read_config(arguments.config, arguments.set)
    model = build_model(config, arguments.layers)
    rng = np.random.default_rng(config["run"]["seed"])
    params = init_params(model, rng)
    print("parameters", sum(leaf.size for leaf in jax.tree.leaves(params)), flush=True)
    state = init_state(params, config)
    images, labels = synthetic_batches(model, rng, config["train"]["batch_size"], arguments.steps)
    step = jax.jit(functools.partial(train_step, model, config), donate_argnums=0)
    if arguments.cost:
        print(step.lower(state, images[0], labels[0]).compile().cost_analysis())
        return
    ended = time.perf_counter()
    for k in range(arguments.steps):
        state, metrics = step(state, images[k], labels[k])
        numbers = "  ".join(f"{name} {float(value):.6f}" for name, value in jax.device_get(metrics).items())
        began, ended = ended, time.perf_counter()
        print(f"step {k + 1}/{arguments.steps}  {numbers}  {ended - began:.3f} s", flush=True)
    # The CPU's allocator keeps no count.
    if memory := jax.local_devices()[0].memory_stats():
        print("peak device memory", memory["peak_bytes_in_use"])


if __name__ == "__main__":
    main()
