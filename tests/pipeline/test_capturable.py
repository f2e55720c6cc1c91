"""What a CUDA graph can stand for is told on any device; a probe leaves no trace in a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.losses.contrast import contrastive_loss
from associated_learning.pipeline.threads.capturable import is_capturable, untouched
from pipeline_runs import layers_with_positions


class Calls(nn.Module):
    """Does something with a module of its own at each call."""

    def __init__(self, act: Callable[[Calls], Any]) -> None:
        super().__init__()
        self.count, self.seen, self.act = 0, [], act
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.act(self)
        return x * 2


ACTS: dict[str, tuple[Callable[[Calls], Any], bool]] = {
    "nothing": (lambda module: None, True),
    "a buffer, which a graph replays": (lambda module: module.steps.add_(1), True),
    "a count": (lambda module: setattr(module, "count", module.count + 1), False),
    "a list": (lambda module: module.seen.append(1), False),
    "a new attribute": (lambda module: setattr(module, "other", 1), False),
    "a tensor as an attribute": (lambda module: setattr(module, "last", torch.ones(1)), False),
    "a number of a tensor": (lambda module: module.steps.item(), False),
    "a mask as an index": (lambda module: module.steps[module.steps > 0], False),
}


@pytest.mark.parametrize("name", ACTS)
def test_only_layers_that_do_the_same_in_every_step_can_be_captured(name: str) -> None:
    act, expected = ACTS[name]
    module = Calls(act)
    net = al.al_form([nn.Sequential(nn.Linear(6, 8), module)], torch.randn(4, 6), al.Classes(4))
    module.__dict__.pop("other", None), module.__dict__.pop("last", None)
    module.seen.clear()
    (block,), before = net.train().blocks(), dict(module.__dict__)
    module.count, steps = 7, module.steps.clone()
    assert is_capturable(block, torch.randn(4, 6), torch.eye(4)) is expected
    assert (module.count, module.seen) == (7, [])
    assert module.__dict__.keys() == before.keys()
    assert torch.equal(module.steps, steps)


@pytest.mark.parametrize("association", ["auto", contrastive_loss])
def test_layers_of_positions_are_not_captured(association: Any) -> None:
    """How many positions count differs from batch to batch."""
    net = layers_with_positions(association).train()
    s, t = torch.randn(3, 5, 6), torch.randint(4, (3, 5))
    for block in net.blocks():
        assert not is_capturable(block, s, t)
        s, t, _ = block(s, t)


def test_random_layers_are_not_captured() -> None:
    net = al.al_form([nn.Dropout(0.5)], torch.randn(4, 6), al.Classes(4)).train()
    assert not is_capturable(net.blocks()[0], torch.randn(4, 6), torch.eye(4))
    assert is_capturable(net.eval().blocks()[0], torch.randn(4, 6), torch.eye(4))


def test_what_a_block_changed_is_put_back_where_it_fails() -> None:
    module = Calls(lambda module: None)
    with pytest.raises(ZeroDivisionError), untouched(module) as changed:
        assert not changed()
        module.count = 1
        assert changed()
        raise ZeroDivisionError
    assert module.count == 0
