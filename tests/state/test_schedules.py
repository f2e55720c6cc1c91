"""Learning rates by name, against those of torch and of transformers."""

from __future__ import annotations

import pytest
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiplicativeLR

import associated_learning as al
from associated_learning.state.schedules import make_schedule

STEPS = 40


def rates_of(make: object, steps: int = STEPS) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = make(optimizer) if callable(make) else None
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if isinstance(scheduler, LRScheduler):
            scheduler.step()
    return rates


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
@pytest.mark.parametrize(("warmup", "count"), [(0, 0), (7, 7), (0.1, 4), (0.11, 5), (39, 39)])
def test_warm_up_and_fall_are_those_of_transformers(name: str, warmup: float, count: int) -> None:
    from transformers import get_scheduler

    kind = "constant_with_warmup" if name == "constant" else name

    def oracle(optimizer: Optimizer) -> LRScheduler:
        found: LRScheduler = get_scheduler(
            kind, optimizer, num_warmup_steps=count, num_training_steps=STEPS
        )
        return found

    ours = rates_of(make_schedule(name, steps=STEPS, warmup=warmup))
    assert ours == pytest.approx(rates_of(oracle), abs=1e-12)


def test_without_warm_up_cosine_is_that_of_torch() -> None:
    ours = rates_of(make_schedule("cosine", steps=STEPS))
    assert ours == pytest.approx(rates_of(lambda o: CosineAnnealingLR(o, STEPS)), abs=1e-12)


def test_milestones_are_those_of_the_released_image_code() -> None:
    """A tenth at 40, 60 and 80 % of the updates, a half at 90 %."""
    factors = {16: 0.1, 24: 0.1, 32: 0.1, 36: 0.5}
    oracle = rates_of(lambda o: MultiplicativeLR(o, lambda step: factors.get(step, 1.0)))
    assert rates_of(make_schedule("milestones", steps=STEPS)) == pytest.approx(oracle)


def test_a_constant_rate_needs_no_schedule() -> None:
    assert make_schedule("constant", steps=STEPS) is None


@pytest.mark.parametrize("warmup", [-1, 2.5, STEPS, float("nan"), float("inf")])
def test_a_warm_up_that_is_no_part_of_the_updates_is_refused(warmup: float) -> None:
    with pytest.raises(al.InputError, match=r"a warm-up of .* came for 40 updates; expected a"):
        make_schedule("constant", steps=STEPS, warmup=warmup)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(al.InputError, match="schedule 'cosin' came; expected one of constant"):
        make_schedule("cosin", steps=STEPS)  # type: ignore[arg-type]


def test_a_share_of_a_single_update_is_no_warm_up() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=8.0)
    schedule = make_schedule("cosine", steps=1, warmup=0.1)
    assert schedule is not None
    assert schedule(optimizer).get_last_lr() == [8.0]
