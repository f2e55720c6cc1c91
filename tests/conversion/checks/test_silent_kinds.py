"""With the mechanism that makes a kind of model right switched off, a check refuses the layers.

Copied blocks, parameters in two layers and mixed rows cannot be switched on so: layers that are
wrong in these ways are built by hand in test_holdings.py and test_row_influence.py. Complex
activations are refused at once (test_rows.py). A feature axis that is guessed wrongly makes a poor
readout and no wrong layer (test_heads_and_axes.py).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import associated_learning as al
from associated_learning.conversion import planner
from associated_learning.conversion.slicing import either_mode, slicing
from associated_learning.conversion.tracing import patches, record
from associated_learning.conversion.tracing.rows import Rows
from conversion.oracle import TARGET, Maps

Patch = pytest.MonkeyPatch
X = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
SEQUENCES = torch.randn(6, 16, 8, generator=torch.Generator().manual_seed(1))
WORDS = torch.randint(1, 50, (6, 10), generator=torch.Generator().manual_seed(2))


def rows_unseen(patch: Patch) -> None:
    patch.setattr(Rows, "follow", lambda self, tensor: True)


def packing_apart(patch: Patch) -> None:
    rows_unseen(patch)
    patch.setattr(patches, "whole_functions", lambda seen: [])


def masks_by_name(patch: Patch) -> None:
    def read(model: Any, arguments: Any, inputs: Any) -> Any:
        return arguments.with_masks({"mask": True}, ())

    patch.setattr(planner, "read_inputs", read)


def functions_apart(patch: Patch) -> None:
    def applied(self: Any, original: Any, kind: Any, args: Any, kwargs: Any) -> Any:
        if torch.is_grad_enabled():  # the checks look at the model as it is
            return original(kind, *args, **kwargs)
        return kind.forward(SimpleNamespace(), *args, **kwargs)

    patch.setattr(record._Recorder, "applied", applied)


def training_unseen(patch: Patch) -> None:
    def alike(*_: Any) -> Any:
        return either_mode._like_evaluation()

    patch.setattr(planner, "training_programs", alike)


def unguarded(patch: Patch) -> None:
    patch.setattr(slicing, "_guards", lambda steps: set())


def writes_unseen(patch: Patch) -> None:
    patch.setattr(record, "_changed", lambda versions: [])


class Packed(nn.Module):
    """Reads the first word of each sentence, in the order in which they were packed."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.map, self.out = nn.Embedding(50, 8), nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.emb(ids), lengths, batch_first=True, enforce_sorted=False
        )
        h = self.map(packed.data[: len(ids)]).relu()
        scores: Tensor = self.out(h[packed.unsorted_indices])
        return scores


class Padded(nn.Module):
    """Words with a mask that is true at padding; the padding is the same in every sample."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.map, self.out = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        h = self.map(self.emb(ids)).relu()
        keep = (~mask).unsqueeze(2)
        scores: Tensor = self.out((h * keep).sum(1) / keep.sum(1))
        return scores


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.sign(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class StraightThrough(Maps):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.c(_Sign.apply(self.b(self.a(x)))).relu())
        return scores


class Halved(Maps):
    def forward(self, x: Tensor) -> Tensor:
        scale = 0.5 if self.training else 1.0
        scores: Tensor = self.out(self.c(self.b(self.a(x) * scale).relu()).relu())
        return scores


class LongOnes(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h = h[:, -20:] if h.shape[1] > 20 else h
        scores: Tensor = self.out(self.c(self.b(h).relu()).mean(1))
        return scores


class LargeBatches(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h = h * 2 if h.shape[0] > 4 else h
        scores: Tensor = self.out(self.c(self.b(h).relu()).relu())
        return scores


class Written(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        made = h.new_zeros(h.shape)
        made[:, :8].copy_(h[:, :8])
        scores: Tensor = self.out(self.c(self.b(h) + made).relu())
        return scores


class SequenceFirst(nn.Module):
    """Reads ``[T, B, D]``, with as many positions as samples."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.rnn, self.out = nn.Linear(8, 16), nn.LSTM(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(self.emb(x))
        scores: Tensor = self.out(states[-1])
        return scores


class Folded(Maps):
    """Computes on ``[B * T, D]`` between its maps."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.a(x.flatten(0, 1)).relu())
        scores: Tensor = self.out(self.c(h).view(x.shape[0], x.shape[1], -1).mean(1))
        return scores


LENGTHS = torch.tensor([3, 9, 4, 8, 5, 7])
PADDING = torch.arange(10) >= LENGTHS[:, None]
Disable = Callable[[Patch], None]
TABLE: dict[str, tuple[Disable, nn.Module, Any, list[str], str]] = {
    "sorted by packing": (
        packing_apart, Packed(), (WORDS, LENGTHS), ["map"], "sorted|not the same|other rows",
    ),
    "masks by name": (
        masks_by_name, Padded(), (WORDS.masked_fill(PADDING, 0), PADDING), ["map"],
        "not what the bridge reads|reads only|none of ids",
    ),
    "backward of a function": (
        functions_apart, StraightThrough(), X, ["c"], "gradient of .* another than the model's",
    ),
    "number of a mode": (
        training_unseen, Halved(), X, ["b"], "in training mode the layers' features are off",
    ),
    "branch on a length": (unguarded, LongOnes(), SEQUENCES, ["b"], "instead of|differ by"),
    "branch on a number of samples": (
        unguarded, LargeBatches(), X[:4], ["b"], "they differ by up to",
    ),
    "write through a view": (
        writes_unseen, Written(), X, ["c"], "its features are others",
    ),
    "sequence first": (
        rows_unseen, SequenceFirst(), SEQUENCES[:, :4], ["rnn"], "samples",
    ),
    "folded with time": (rows_unseen, Folded(), SEQUENCES, ["b"], "samples are"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLE)
def test_without_its_fix_a_kind_is_refused_by_a_check(kind: str, monkeypatch: Patch) -> None:
    disable, model, x, at, reason = TABLE[kind]
    disable(monkeypatch)
    with pytest.raises(al.ConversionError, match=reason):
        al.convert(model, x, target=TARGET, at=at, check="full")


@pytest.mark.parametrize(
    "kind", ["masks by name", "backward of a function", "number of a mode", "branch on a length"]
)
def test_with_its_fix_it_is_converted(kind: str) -> None:
    _, model, x, at, _ = TABLE[kind]
    assert al.convert(model, x, target=TARGET, at=at, check="full").num_layers == 2
