"""Optimizer steps on lists of torch tensors: UPDATES.

Each one computes the step of keras up to rounding on the variables of keras, so that
the saved state is the same. keras calls some twenty operations per variable; here there
are a few for all variables together.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from math import cos, pi, sqrt
from typing import Any

import keras
import torch
from torch import Tensor

from keras_dae.system.private import adam_moments, learning_rate, torch_lists
from keras_dae.training.optimizers import HeldRate, KernelMuon, LinearDecay

LISTS = torch_lists()
Tensors = list[Tensor] | tuple[Tensor, ...]
# A number, or a tensor that a CUDA graph reads at each replay.
Rate = float | Tensor


class Update:
    """One optimizer's step on the variables it was built for."""

    def __init__(self, optimizer: Any, variables: list[Any]) -> None:
        if not optimizer.built:
            optimizer.build(variables)
        self.optimizer = optimizer
        self.weights = [variable.value for variable in variables]
        self.dense = _are_dense(self.weights)
        self.iterations = optimizer.iterations.value
        self.step = int(self.iterations)

    def __call__(self, gradients: Tensors) -> None:
        """Move the weights by one step."""
        self.move(self.next_rates(), gradients)

    def next_rates(self) -> tuple[float, ...]:
        """Return the rates for the next step, and count that step."""
        rate = rate_at(learning_rate(self.optimizer), self.step)
        self.step += 1
        return self.rates(rate)

    def move(self, rates: Sequence[Rate], gradients: Tensors) -> None:
        """Change weights, moments and the step counter of keras.

        Args:
            rates: result of `next_rates`, as numbers or as tensors.
            gradients: gradients of the weights, in order.
        """
        self.change(rates, gradients)
        self.iterations.add_(1)

    def rates(self, rate: float) -> tuple[float, ...]:
        """Return the rates of a step, given its number from 1."""
        raise NotImplementedError

    def change(self, rates: Sequence[Rate], gradients: Tensors) -> None:
        """Change weights and moments with these rates."""
        raise NotImplementedError


class AdamUpdate(Update):
    """Adam of keras."""

    def __init__(self, optimizer: Any, variables: list[Any]) -> None:
        super().__init__(optimizer, variables)
        means, squares = adam_moments(optimizer)
        self.means = _in_order_of(self.weights, means)
        self.squares = _in_order_of(self.weights, squares)

    def rates(self, rate: float) -> tuple[float, ...]:
        """Return Adam's rate."""
        adam = self.optimizer
        return (rate * _correction(self.step, adam.beta_1, adam.beta_2),)

    def change(self, rates: Sequence[Rate], gradients: Tensors) -> None:
        """Change weights and moments with these rates."""
        adam = self.optimizer
        moments = (self.means, self.squares)
        settings = (adam.beta_1, adam.beta_2, adam.epsilon)
        given = (self.weights, gradients, *moments)
        _adam(*given, rates[0], *settings, dense=self.dense)


class MuonUpdate(Update):
    """`KernelMuon`: kernels in groups of one size, Adam for the rest."""

    def __init__(self, optimizer: Any, variables: list[Any]) -> None:
        super().__init__(optimizer, variables)
        means = _in_order_of(self.weights, optimizer.momentums)
        squares = optimizer.adam_velocities
        self.rest = [n for n, square in enumerate(squares) if square is not None]
        self.kernels = [n for n, square in enumerate(squares) if square is None]
        self.rest_means = [means[place] for place in self.rest]
        self.rest_squares = [squares[place].value for place in self.rest]
        self.means = [means[place] for place in self.kernels]

    def rates(self, rate: float) -> tuple[float, ...]:
        """Return the rate of kernels, and the rate of Adam for the rest."""
        muon = self.optimizer
        correction = _correction(self.step, muon.adam_beta_1, muon.adam_beta_2)
        return rate, rate * muon.adam_lr_ratio * correction

    def change(self, rates: Sequence[Rate], gradients: Tensors) -> None:
        """Change weights and moments with these rates."""
        muon = self.optimizer
        settings = (muon.adam_beta_1, muon.adam_beta_2, muon.epsilon)
        _adam(
            [self.weights[place] for place in self.rest],
            [gradients[place] for place in self.rest],
            *(self.rest_means, self.rest_squares),
            rates[1],
            *settings,
            dense=self.dense,
        )
        found = [_ordered(gradients[n], self.weights[n]) for n in self.kernels]
        LISTS.foreach_mul_(self.means, muon.momentum)
        LISTS.foreach_add_(self.means, found)
        ahead: Tensors = self.means
        if muon.nesterov:
            ahead = LISTS.foreach_add(found, self.means, alpha=muon.momentum)
        coefficients = (muon.muon_a, muon.muon_b, muon.muon_c)
        matrices = [one.reshape(-1, one.shape[-1]) for one in ahead]
        steps = orthogonal(matrices, muon.ns_steps, coefficients)
        for place, step in zip(self.kernels, steps, strict=True):
            scale = (
                1.0 if muon.rms_rate is None else muon.rms_rate * sqrt(max(step.shape))
            )
            weight, rate = self.weights[place], rates[0]
            if isinstance(rate, Tensor):
                weight.addcmul_(step.reshape(weight.shape), rate, value=-scale)
            else:
                weight.sub_(step.reshape(weight.shape), alpha=rate * scale)


# The supported optimizers.
UPDATES: dict[Any, type[Update]] = {
    keras.optimizers.Adam: AdamUpdate,
    KernelMuon: MuonUpdate,
}


def update_of(optimizer: Any, variables: list[Any]) -> Update:
    """Return the step of `optimizer`, one for which `is_plain` holds."""
    # On torch keras creates a separate class for each of its optimizers.
    made = next(u for kind, u in UPDATES.items() if isinstance(optimizer, kind))
    return made(optimizer, variables)


@cache
def _plain_types() -> set[type[Any]]:
    """Return the classes of supported optimizers, without those derived from them."""
    return {type(kind()) for kind in UPDATES}


def is_plain(optimizer: Any) -> bool:
    """Return whether `optimizer` is supported, with all of its settings."""
    return (
        type(optimizer) in _plain_types()
        and not (getattr(optimizer, "amsgrad", False) or optimizer.use_ema)
        and not (
            optimizer.weight_decay or getattr(optimizer, "adam_weight_decay", None)
        )
        and not (optimizer.clipnorm or optimizer.clipvalue or optimizer.global_clipnorm)
        and not (optimizer.gradient_accumulation_steps or optimizer.loss_scale_factor)
    )


def rate_at(schedule: Any, step: int) -> float:
    """Return the learning rate of `step`, in plain Python for speed if possible."""
    if type(schedule) is LinearDecay:
        return float(schedule.rate * max(min(schedule.slopes(step)), 0))
    if type(schedule) is HeldRate:
        risen = min(step / schedule.warmup_steps, 1) if schedule.warmup_steps else 1
        return float(schedule.rate * schedule.share * risen)
    if type(schedule) is not keras.optimizers.schedules.CosineDecay:
        rate = schedule(step) if callable(schedule) else schedule
        return float(rate)
    peak, start = schedule.warmup_target, schedule.initial_learning_rate
    if peak is not None and step < schedule.warmup_steps:
        return float(start + (peak - start) * step / schedule.warmup_steps)
    if peak is None:
        peak, done = start, step
    else:
        done = step - schedule.warmup_steps
    left = 0.5 * (1 + cos(pi * min(done / schedule.decay_steps, 1)))
    return float(peak * ((1 - schedule.alpha) * left + schedule.alpha))


def _are_dense(weights: Tensors) -> bool:
    """Return whether each weight occupies a contiguous piece of memory."""
    return all(torch.empty_like(one).stride() == one.stride() for one in weights)


@cache
def _late_step(device: torch.device) -> Tensor:
    """Return a step so late that torch's Adam makes no bias correction.

    Here the rate includes the correction, as in keras, which adds epsilon to the root
    without correction.
    """
    return torch.tensor(1e9, device=device)


def _correction(step: int, beta_1: float, beta_2: float) -> float:
    """Return the factor of Adam's rate at `step`, from 1."""
    return sqrt(1 - beta_2**step) / (1 - beta_1**step)


def _in_order_of(weights: Tensors, variables: list[Any]) -> list[Tensor]:
    """Return the values of variables, reordered in memory like the weights."""
    for weight, variable in zip(weights, variables, strict=True):
        variable.value.data = _ordered(variable.value.detach(), weight)
    return [variable.value for variable in variables]


def _ordered(values: Tensor, weight: Tensor) -> Tensor:
    """Return `values` with the strides of `weight`, copied if necessary."""
    if values.stride() == weight.stride():
        return values
    return torch.empty_like(weight).copy_(values)


def _adam(
    weights: Tensors,
    gradients: Tensors,
    means: Tensors,
    squares: Tensors,
    rate: Rate,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    *,
    dense: bool,
) -> None:
    if dense:
        # In one pass that ignores strides: all have those of the weights.
        alike = [_ordered(*pair) for pair in zip(gradients, weights, strict=True)]
        steps = [_late_step(weights[0].device)] * len(weights)
        LISTS.fused_adam_(
            *(weights, alike, means, squares, [], steps),
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            eps=epsilon,
            weight_decay=0,
            amsgrad=False,
            maximize=False,
        )
        return
    LISTS.foreach_lerp_(means, gradients, 1 - beta_1)
    LISTS.foreach_mul_(squares, beta_2)
    LISTS.foreach_addcmul_(squares, gradients, gradients, 1 - beta_2)
    divisors = LISTS.foreach_sqrt(squares)
    LISTS.foreach_add_(divisors, epsilon)
    if isinstance(rate, Tensor):
        moves = LISTS.foreach_div(means, divisors)
        LISTS.foreach_mul_(moves, -rate)
        LISTS.foreach_add_(weights, moves)
    else:
        LISTS.foreach_addcdiv_(weights, means, divisors, -rate)


def orthogonal(
    matrices: Tensors, steps: int, coefficients: tuple[float, float, float]
) -> list[Tensor]:
    """Return each matrix orthogonalized approximately by Newton-Schulz iteration.

    Each step multiplies a matrix by a polynomial of its Gram matrix. The polynomials
    commute, so they are multiplied first, for all matrices with the same narrow side
    together. These products are small.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    tall = [one if one.shape[0] >= one.shape[1] else one.T for one in matrices]
    for place, one in enumerate(tall):
        groups[one.shape[1]].append(place)
    found: list[Tensor] = list(matrices)
    a, b, c = coefficients
    for places in groups.values():
        gram = torch.stack([tall[place].T @ tall[place] for place in places])
        # The iteration needs matrices of norm at most 1; the trace is the squared norm.
        traces = gram.diagonal(dim1=1, dim2=2).sum(1)
        norms = (traces.sqrt() + 1e-7).view(-1, 1, 1)
        gram /= norms * norms
        diagonal = a * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        product = norms.reciprocal()
        for step in range(steps):
            factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).add_(diagonal)
            product = product @ factor if step else product * factor
            if step + 1 < steps:
                gram = factor @ gram @ factor
        for place, factors in zip(places, product, strict=True):
            turned = tall[place] @ factors
            found[place] = turned if tall[place] is matrices[place] else turned.T
    return found
