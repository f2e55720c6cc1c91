"""Layers are pickled and saved, whatever functions and modules their models are made of."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

import associated_learning as al


class Functional(nn.Module):
    """Functions that pickle or torch.save does not find by the names they give themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        x = functional.max_pool2d(x, 2) ** 2
        x = functional.adaptive_max_pool2d(self.second(x), 1)
        scores: Tensor = self.head(x.flatten(1))
        return scores


class Packed(nn.Module):
    """What goes into the LSTM is a tuple that looks at its tensors when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(9, 4), nn.LSTM(4, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.embed(ids), lengths, batch_first=True, enforce_sorted=False
        )
        _, (state, _) = self.lstm(packed)
        scores: Tensor = self.head(state[-1])
        return scores


@dataclass
class Bundle:
    """What a user hands from module to module."""

    s: Tensor
    keep: Tensor


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, bundle: Bundle) -> Tensor:
        scaled: Tensor = self.linear(bundle.s) * bundle.keep
        return scaled


class Bundled(nn.Module):
    """A dataclass goes into each block; its mask reaches the second layer as a side input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = Scaled(), Scaled(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        keep = torch.ones(x.shape[0], 1) / 2
        s = self.second(Bundle(self.first(Bundle(x, keep)), keep))
        scores: Tensor = self.head(s)
        return scores


def ids_and_lengths(n: int) -> tuple[Tensor, Tensor]:
    return torch.randint(1, 9, (n, 6)), torch.arange(n) % 6 + 1


CASES: list[tuple[type[nn.Module], str, Any, Any]] = [
    (Functional, "second", torch.randn(3, 1, 12, 12), torch.randn(2, 1, 12, 12)),
    (Bundled, "second", torch.randn(3, 4), torch.randn(5, 4)),
    (Packed, "lstm", ids_and_lengths(5), ids_and_lengths(3)),
]


def saved(layer: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    found: nn.Module = torch.load(file, weights_only=False)
    return found


def pickled(layer: nn.Module) -> nn.Module:
    found: nn.Module = pickle.loads(pickle.dumps(layer))
    return found


@pytest.mark.parametrize("copied", [saved, pickled])
@pytest.mark.parametrize(
    ("kind", "cut", "example", "x"),
    CASES,
    ids=lambda case: getattr(case, "__name__", type(case).__name__),
)
def test_copied_layers_give_the_models_own_features(
    kind: type[nn.Module], cut: str, example: Any, x: Any, copied: Any
) -> None:
    model = kind()
    net = al.convert(model, example, target=al.Classes(3), at=[cut])
    s = x
    for layer in net.eval().al_layers():
        s = copied(layer).f(s)
    features: list[Tensor] = []
    model.get_submodule("head").register_forward_pre_hook(lambda _, args: features.append(args[0]))
    model.eval()(*(x if isinstance(x, tuple) else (x,)))
    assert torch.equal(s.values, features[0])


def test_a_users_own_hook_is_not_lost_silently() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    model[0].register_forward_hook(lambda _, args, output: output * 2)
    net = al.convert(model, torch.randn(3, 4), target=al.Classes(3), at=["1"])
    with pytest.raises(AttributeError, match="<lambda>"):
        pickle.dumps(net.al_layers()[0])
