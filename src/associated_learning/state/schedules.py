"""Learning rates over the updates of a run: warm-up, then constant, linear, cosine or steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from associated_learning.errors import InputError
from associated_learning.state.optimizers import Schedule

__all__ = ["ScheduleName", "make_schedule", "turn_schedule"]

ScheduleName = Literal["constant", "linear", "cosine", "milestones"]

# the released image code: a tenth at 40, 60 and 80 %, a half at 90 % of the epochs
_MILESTONES = ((0.4, 0.1), (0.6, 0.1), (0.8, 0.1), (0.9, 0.5))


def make_schedule(name: ScheduleName, *, steps: int, warmup: float = 0) -> Schedule | None:
    """Return a schedule by its name, to be advanced every update; None where nothing changes.

    Every learning rate of an optimizer is multiplied by the same factor. In the warm-up it
    rises from 0 to 1; then it is 1 ("constant"), falls on a straight line ("linear") or on half
    a cosine ("cosine") to 0 at the last update, or falls in steps ("milestones", the released
    image code).

    Args:
        name: What follows the warm-up.
        steps: Number of all updates, those of the warm-up among them.
        warmup: Number of updates of the warm-up; below 1 their share of all updates.

    Raises:
        InputError: The name is unknown, or the warm-up is no part of the updates.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=8.0)
        >>> scheduler = make_schedule("linear", steps=6, warmup=2)(optimizer)
        >>> rates = []
        >>> for _ in range(6):
        ...     rates.append(optimizer.param_groups[0]["lr"])
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [0.0, 4.0, 8.0, 6.0, 4.0, 2.0]
    """
    if name not in get_args(ScheduleName):
        raise InputError(
            f"schedule {name!r} came; expected one of {', '.join(get_args(ScheduleName))}."
        )
    rising = _warmup_steps(warmup, steps)
    if name == "constant" and not rising:
        return None
    falling = _FALLING[name]

    def factor(step: int) -> float:
        return step / rising if step < rising else falling(min(step, steps), rising, steps)

    def schedule(optimizer: Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, factor)

    return schedule


def turn_schedule(layer: int, layers: int, steps: int) -> Schedule:
    """Return the schedule of a layer that learns in its turn only: layer-wise greedy training.

    Args:
        layer: Number of the layer, from 0.
        layers: Number of all layers; each has an equal share of the updates, from the input up.
        steps: Number of all updates.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=8.0)
        >>> turn_schedule(0, 2, 10)(optimizer).get_last_lr()
        [8.0]
        >>> turn_schedule(1, 2, 10)(optimizer).get_last_lr()
        [0.0]
    """

    def schedule(optimizer: Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: float(step * layers // max(steps, 1) == layer))

    return schedule


def _warmup_steps(warmup: float, steps: int) -> int:
    # a share of one or two updates is less than all of them
    count = min(math.ceil(warmup * steps), max(steps - 1, 0)) if 0 <= warmup < 1 else warmup
    if not (0 <= count < max(steps, 1) and count == int(count)):
        raise InputError(
            f"a warm-up of {warmup:g} came for {steps} updates; expected a share of them below 1, "
            f"or a whole number below {steps}."
        )
    return int(count)


def _linear(step: int, rising: int, steps: int) -> float:
    return (steps - step) / (steps - rising)


def _cosine(step: int, rising: int, steps: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


def _milestones(step: int, rising: int, steps: int) -> float:
    return math.prod(factor for share, factor in _MILESTONES if step >= int(steps * share))


_FALLING: dict[str, Callable[[int, int, int], float]] = {
    "constant": lambda step, rising, steps: 1.0,
    "linear": _linear,
    "cosine": _cosine,
    "milestones": _milestones,
}
