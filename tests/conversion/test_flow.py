"""What counts as a connection over a cut, and what only looks like one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al


class Blocks(nn.Module):
    """An encoder that returns its own input beside its output, as hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1]).relu())
        return {"last": states[-1], "first": states[0]}


class Model(nn.Module):
    """``skips`` says whether what comes back beside the output is used."""

    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.stem, self.encoder, self.head = nn.Linear(4, 6), Blocks(), nn.Linear(6, 3)
        self.skips = skips

    def forward(self, x: Tensor) -> Tensor:
        out = self.encoder(self.stem(x))
        scores: Tensor = self.head(out["last"] + out["first"] if self.skips else out["last"])
        return scores


def test_an_output_that_no_one_uses_is_no_connection() -> None:
    x = torch.randn(3, 4)
    plan = al.plan(Model(skips=False), x, at=["encoder.blocks.1", "encoder.blocks.2"])
    assert [layer.modules for layer in plan.layers] == [
        ("stem", "encoder.blocks.0"), ("encoder.blocks.1",), ("encoder.blocks.2",),
    ]  # fmt: skip
    with pytest.raises(al.ConversionError, match="what stem makes"):
        al.plan(Model(skips=True), x, at=["encoder.blocks.1"])


class Masked(nn.Module):
    """A mask in the form of the first activation is used above the second block."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 3)
        self.reads = reads

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        s = self.first(x)
        mask = keep.type_as(s).unsqueeze(1) * torch.ones_like(s) * s.new_full((1, 4), 2.0)
        mask = mask * s if self.reads else mask
        s = self.third(self.second(s)).relu()
        scores: Tensor = self.head(s * mask)
        return scores


def test_what_takes_only_the_form_of_an_activation_is_a_side_input() -> None:
    x = (torch.randn(3, 4), torch.tensor([1, 0, 1]))
    net = al.convert(Masked(reads=False), x, target=al.Classes(3), at=["third"])
    features: list[Tensor] = []
    model = net.backbone().eval()
    model.get_submodule("head").register_forward_pre_hook(lambda _, args: features.append(args[0]))
    model(*x)
    net.eval()
    s = net.al_layers()[1].f(net.al_layers()[0].f(x))
    assert torch.equal(s.values, features[0])
    with pytest.raises(al.ConversionError, match="jumps over this cut"):
        al.plan(Masked(reads=True), x, at=["third"])
