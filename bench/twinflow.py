"""The TwinFlow loss in plain JAX: graphs/src/twinflow, the same mathematics, each part only on the rows that use it.

Samples are [b, height, width, channels]; the batch's quarters are its parts e2e, mul, any and adv, in this order.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dit import velocity

FIRST_STEP = 0.01
BARRON_SCALE = 1e-3
MUL_REACH = 0.05


class Draws(NamedTuple):
    """The random numbers of a step: uniform times [b] or [b / 4], normal noise."""

    time: jax.Array
    any_target: jax.Array
    mul_target: jax.Array
    fake: jax.Array
    noise: jax.Array
    rectify_noise: jax.Array
    rectify_time: jax.Array


def draw(key, shape):
    """Draws for a batch of samples of this shape."""
    batch, *sample = shape
    keys = jax.random.split(key, len(Draws._fields))
    uniform, normal = jax.random.uniform, jax.random.normal
    return Draws(
        time=uniform(keys[0], (batch,)),
        any_target=uniform(keys[1], (batch,)),
        mul_target=uniform(keys[2], (batch,)),
        fake=normal(keys[3], (batch // 4, *sample)),
        noise=normal(keys[4], (batch, *sample)),
        rectify_noise=normal(keys[5], (batch // 4, *sample)),
        rectify_time=uniform(keys[6], (batch // 4,)),
    )


class Batch(NamedTuple):
    """What the main pass sees: noised samples, their path's velocity z - x, times and labels."""

    x_t: jax.Array
    v: jax.Array
    t: jax.Array
    r: jax.Array
    labels: jax.Array

    def rows(self, rows):
        return Batch(*(leaf[rows] for leaf in self))


def twinflow_loss(params, model, options, live, teacher, samples, labels, draws):
    """The loss and its terms. `live` are the same parameters as `params`, which alone get a gradient."""
    n = samples.shape[0] // 4
    e2e, guided, real, adv = slice(0, n), slice(n, 3 * n), slice(0, 3 * n), slice(3 * n, 4 * n)
    batch = noise_samples(model, live, samples, labels, draws)
    prediction = velocity(model, params, batch.x_t, batch.t, batch.r, labels)
    fixed = jax.lax.stop_gradient(prediction)

    v = jnp.concatenate([batch.v[e2e], guided_velocity(model, options, teacher, batch.rows(guided))])
    target = rcgm_target(model, options, teacher, batch.rows(real)._replace(v=v), fixed[real])
    weight = jnp.tan((1.0 - (batch.t[real] - batch.r[real])) * (math.pi / 2.5)) + 1.0
    base = jnp.sum(weight * distance(options, prediction[real], target)) / (4 * n)
    adversarial = jnp.sum(distance(options, prediction[adv], batch.v[adv])) / (4 * n)

    clean = batch.x_t[e2e] - per_sample(batch.t[e2e]) * fixed[e2e]
    difference = velocity_difference(model, live, clean, labels[e2e], draws.rectify_noise, draws.rectify_time)
    clamp = options["rectify_clamp"]
    target = fixed[e2e] + jnp.clip(difference, -clamp, clamp)
    rectify = options["rectify_weight"] * jnp.mean(distance(options, prediction[e2e], target))
    gap = jnp.mean(jnp.sqrt(jnp.mean(jnp.square(difference), axis=(1, 2, 3))))
    loss = base + adversarial + rectify
    return loss, {"loss": loss, "base": base, "adversarial": adversarial, "rectify": rectify, "gap": gap}


def noise_samples(model, live, samples, labels, draws):
    """Samples on their way to noise; on adv rows the model's own one-step samples, at negative times."""
    n = samples.shape[0] // 4
    fakes = draws.fake - velocity(model, live, draws.fake, jnp.ones(n), jnp.zeros(n), labels[3 * n :])
    x = jnp.concatenate([samples[: 3 * n], fakes])
    t = draws.time.at[:n].set(1.0)
    x_t = interpolate(x, draws.noise, t)
    r_mul, r_any = t - draws.mul_target * t * MUL_REACH, t - draws.any_target * t
    twin = -t[3 * n :]
    r = jnp.concatenate([jnp.zeros(n), r_mul[n : 2 * n], r_any[2 * n : 3 * n], twin])
    return Batch(x_t, draws.noise - x, jnp.concatenate([t[: 3 * n], twin]), r, labels)


def guided_velocity(model, options, teacher, batch):
    """v + e (F(x_t, t, t, c) - F(x_t, t, t, none)) inside the guidance range, both in one pass."""
    x_t, t = jnp.concatenate([batch.x_t, batch.x_t]), jnp.concatenate([batch.t, batch.t])
    none = jnp.full_like(batch.labels, model.classes)
    both = velocity(model, teacher, x_t, t, t, jnp.concatenate([batch.labels, none]))
    conditional, unconditional = jnp.split(both, 2)
    low, high = options["guidance_range"]
    inside = per_sample((low < batch.t) & (batch.t < high))
    return jnp.where(inside, batch.v + options["guidance"] * (conditional - unconditional), batch.v)


def rcgm_target(model, options, teacher, batch, prediction):
    """The prediction, corrected by how far it disagrees with a first step along v and `order` Euler steps to r."""
    x_t, v, t, r, labels = batch
    order, after_first = options["order"], jnp.maximum(t - FIRST_STEP, r)
    times = [after_first + (r - after_first) * (i / order) for i in range(order + 1)]
    x, integral = x_t - FIRST_STEP * v, 0.0
    for start, end in zip(times, times[1:]):
        step = velocity(model, teacher, x, start, end, labels) * per_sample(start - end)
        x, integral = x - step, integral + step
    span, short = t - r, t < r + FIRST_STEP
    prediction_weight = jnp.where(short, 1.0, span / FIRST_STEP)
    integral_weight = jnp.where(short, 1.0 / jnp.where(span == 0.0, 1.0, span), 1.0 / FIRST_STEP)
    weighted = per_sample(prediction_weight) * prediction - per_sample(integral_weight) * integral
    return prediction - jnp.clip(weighted - v, -1.0, 1.0)


def velocity_difference(model, live, clean, labels, noise, t):
    """F(x', t', t') - F(x', -t', -t') at clean estimates noised to t', both in one pass."""
    x, two_t = interpolate(clean, noise, t), jnp.concatenate([t, -t])
    both = velocity(model, live, jnp.concatenate([x, x]), two_t, two_t, jnp.concatenate([labels, labels]))
    real, fake = jnp.split(both, 2)
    return real - fake


def distance(options, prediction, target):
    """Barron's reweighted mean square of each sample, [b]."""
    mse, alpha = jnp.mean(jnp.square(prediction - target), axis=(1, 2, 3)), options["barron_alpha"]
    scaled = mse / ((BARRON_SCALE**2 + 1e-8) * abs(alpha - 2.0))
    return mse * jax.lax.stop_gradient((scaled + 1.0) ** ((alpha - 2.0) / 2.0)) / BARRON_SCALE


def interpolate(x, z, t):
    return per_sample(t) * z + per_sample(1.0 - t) * x


def per_sample(values_b):
    return values_b[:, None, None, None]
