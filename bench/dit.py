"""DiT with adaLN-Zero and two times in plain JAX: graphs/src/models/dit.rs and graphs/src/nn, the same mathematics.

Suffixes name an array's axes: b batch, t tokens, d width, h heads, k width of a head.
"""

import functools
import math
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TIME_FEATURES = 256


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def bf16_einsum(spec, a, b):
    """einsum of bf16 operands with f32 sums. Its own gradient, as JAX's would multiply f32 by bf16, at f32's speed."""
    return jnp.einsum(spec, a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def bf16_einsum_forward(spec, a, b):
    a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    return jnp.einsum(spec, a, b, preferred_element_type=jnp.float32), (a, b)


def bf16_einsum_backward(spec, operands, gradient):
    a, b = operands
    inputs, result = spec.split("->")
    left, right = inputs.split(",")
    return bf16_einsum(f"{result},{right}->{left}", gradient, b), bf16_einsum(f"{left},{result}->{right}", a, gradient)


bf16_einsum.defvjp(bf16_einsum_forward, bf16_einsum_backward)


class Model(NamedTuple):
    """Sizes, and how products and layers are computed."""

    height: int
    channels: int
    classes: int
    width: int
    depth: int
    heads: int
    mlp_ratio: int
    patch: int
    remat: str
    einsum: Callable
    scan: bool


def init_params(model, rng):
    """Initial parameters, made by numpy: JAX would spend longer on compiling their draws than on drawing."""
    def linear(inputs, outputs, weight):
        return {"weight": weight((inputs, outputs)).astype(np.float32), "bias": np.zeros(outputs, np.float32)}

    def xavier(shape):
        return rng.uniform(-1.0, 1.0, shape) * math.sqrt(6.0 / sum(shape))

    def normal(shape):
        return rng.normal(0.0, 0.02, shape)

    d, patch_size = model.width, model.patch**2 * model.channels
    times = lambda: {"up": linear(TIME_FEATURES, d, normal), "down": linear(d, d, normal)}
    block = lambda: {
        "modulation": linear(d, 6 * d, np.zeros),
        "qkv": linear(d, 3 * d, xavier),
        "out": linear(d, d, xavier),
        "up": linear(d, model.mlp_ratio * d, xavier),
        "down": linear(model.mlp_ratio * d, d, xavier),
    }
    blocks = [block() for _ in range(model.depth)]
    return {
        "patch_embedding": linear(patch_size, d, xavier),
        "time": times(),
        "target_time": times(),
        "class_embedding": normal((model.classes + 1, d)).astype(np.float32),
        "blocks": jax.tree.map(lambda *leaves: np.stack(leaves), *blocks) if model.scan else blocks,
        "final_modulation": linear(d, 2 * d, np.zeros),
        "final_projection": linear(d, patch_size, np.zeros),
    }


def velocity(model, params, x, t, r, labels):
    """The velocity of samples x [b, height, width, channels] from time t to r, both f32 [b]."""
    dense = functools.partial(linear, model)
    times = time_embedding(dense, params["time"], t) + time_embedding(dense, params["target_time"], r)
    condition_bd = jax.nn.silu(times + params["class_embedding"][labels])
    side = model.height // model.patch
    x_btd = dense(patchify(model, x), params["patch_embedding"]) + positions(side, model.width)
    block = functools.partial(transformer_block, model, condition_bd=condition_bd)
    if model.remat == "blocks":
        # Of a block only its input is kept. In a scan XLA cannot share the two passes anyway, so nothing need prevent it.
        block = jax.checkpoint(block, prevent_cse=not model.scan)
    if model.scan:
        x_btd, _ = jax.lax.scan(lambda x_btd, layer: (block(x_btd, layer), None), x_btd, params["blocks"])
    else:
        x_btd = functools.reduce(block, params["blocks"], x_btd)
    shift, scale = jnp.split(dense(condition_bd, params["final_modulation"]), 2, axis=-1)
    return unpatchify(model, dense(modulate(layer_norm(x_btd), shift, scale), params["final_projection"]))


def transformer_block(model, x_btd, layer, condition_bd):
    dense = functools.partial(linear, model)
    modulation = jnp.split(dense(condition_bd, layer["modulation"]), 6, axis=-1)
    shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = modulation
    attended = attention(model, modulate(layer_norm(x_btd), shift_1, scale_1), layer)
    x_btd = x_btd + gate_1[:, None] * attended
    hidden = jax.nn.gelu(dense(modulate(layer_norm(x_btd), shift_2, scale_2), layer["up"]), approximate=True)
    return x_btd + gate_2[:, None] * dense(hidden, layer["down"])


def attention(model, x_btd, layer):
    b, t, d = x_btd.shape
    heads = (b, t, 3, model.heads, d // model.heads)
    q_bhtk, k_bhtk, v_bhtk = linear(model, x_btd, layer["qkv"]).reshape(heads).transpose(2, 0, 3, 1, 4)
    scale = 1.0 / math.sqrt(d // model.heads)
    weights_bhts = jax.nn.softmax(model.einsum("bhtk,bhsk->bhts", q_bhtk * scale, k_bhtk))
    mixed_bhtk = model.einsum("bhts,bhsk->bhtk", weights_bhts, v_bhtk)
    return linear(model, mixed_bhtk.transpose(0, 2, 1, 3).reshape(b, t, d), layer["out"])


def linear(model, x, layer):
    spec = "bti,io->bto" if x.ndim == 3 else "bi,io->bo"
    return model.einsum(spec, x, layer["weight"]) + layer["bias"]


def layer_norm(x):
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + 1e-6)


def modulate(x_btd, shift_bd, scale_bd):
    return x_btd * (1.0 + scale_bd[:, None]) + shift_bd[:, None]


def frequencies(count):
    return 1e4 ** (-np.arange(count) / count)


def time_embedding(dense, layers, t):
    angles = t[:, None] * (1000.0 * frequencies(TIME_FEATURES // 2)).astype(np.float32)
    features = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    return dense(jax.nn.silu(dense(features, layers["up"])), layers["down"])


def positions(side, width):
    """Sines and cosines of each token's row and column, [side * side, width]."""
    angles = np.arange(side)[:, None] * frequencies(width // 4)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    return np.concatenate([np.repeat(waves, side, axis=0), np.tile(waves, (side, 1))], axis=-1).astype(np.float32)


def patchify(model, x):
    side, p = model.height // model.patch, model.patch
    x = x.reshape(-1, side, p, side, p, model.channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, side * side, p * p * model.channels)


def unpatchify(model, x_btd):
    side, p = model.height // model.patch, model.patch
    x = x_btd.reshape(-1, side, side, p, p, model.channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, model.height, model.height, model.channels)
