"""A layer's rows are the samples, in their order: packing, sorting, folding, other first axes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import associated_learning as al
from conversion.oracle import Maps, check_as_the_model

LENGTHS = torch.tensor([3, 10, 5, 7, 2, 9])


class Packed(nn.Module):
    """Two recurrent networks on a packed batch, which is sorted by length."""

    def __init__(self, padded: bool) -> None:
        super().__init__()
        self.a, self.out = nn.Linear(8, 16), nn.Linear(16, 3)
        self.first, self.second = (nn.GRU(16, 16, batch_first=True) for _ in range(2))
        self.padded = padded

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed: Any = pack_padded_sequence(
            self.a(x).relu(), lengths, batch_first=True, enforce_sorted=False
        )
        packed, _ = self.first(packed)
        if self.padded:
            h, _ = pad_packed_sequence(packed, batch_first=True)
            packed = nn.utils.rnn.pack_padded_sequence(
                h, lengths, batch_first=True, enforce_sorted=False
            )
        _, state = self.second(packed)
        scores: Tensor = self.out(state[-1])
        return scores


class Sorted(Maps):
    """Sorts the samples by what they hold, and undoes it at the end."""

    def forward(self, x: Tensor) -> Tensor:
        order = x[:, 0].argsort()
        h = self.c(self.b(self.a(x)[order]).relu()).relu()
        scores: Tensor = self.out(h[order.argsort()])
        return scores


class Mixing(Maps):
    """Each sample sees the others."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        scores: Tensor = self.out(self.c(self.b(h - h.mean(0))).relu())
        return scores


class Folded(Maps):
    """Folds samples and positions into one axis."""

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        h = self.c(self.b(self.a(x.reshape(count * length, width))).relu())
        scores: Tensor = self.out(h.reshape(count, length, -1).mean(1))
        return scores


class TimeFirst(Maps):
    """Takes ``[T, B, D]`` and answers for each of T: positions are taken for samples."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h = self.b(h + h.mean(0, keepdim=True))
        scores: Tensor = self.out(self.c(h).relu())
        return scores


def rows_changed(net: al.ALNetwork, x: Any, other: Any) -> list[set[int]]:
    found = []
    s, t = x, other
    for layer in net.eval().al_layers():
        s, t = layer.f(s), layer.f(t)
        changed = (s.values != t.values).flatten(1).any(1).nonzero().flatten()
        found.append(set(changed.tolist()))
    return found


@pytest.mark.parametrize("padded", [False, True])
def test_below_a_packed_sequence_rows_are_the_samples(padded: bool) -> None:
    x = torch.randn(6, 10, 8)
    other = (LENGTHS[[2, 0, 1]], torch.randn(3, 10, 8))[::-1]
    net = check_as_the_model(Packed(padded), (x, LENGTHS), other, at=["first"])
    changed = x.clone()
    changed[0] += 1
    assert rows_changed(net, (x, LENGTHS), (changed, LENGTHS)) == [{0}, {0}]


def test_an_example_of_equal_lengths_hides_no_sorting() -> None:
    x = torch.randn(6, 10, 8)
    net = check_as_the_model(Packed(False), (x, torch.full((6,), 10)), at=["first"])
    changed = x.clone()
    changed[0] += 1
    assert rows_changed(net, (x, LENGTHS), (changed, LENGTHS)) == [{0}, {0}]


def test_a_cut_between_recurrent_networks_is_where_the_batch_is_padded() -> None:
    with pytest.raises(al.ConversionError, match="second: "):
        al.plan(Packed(False), (torch.randn(6, 10, 8), LENGTHS), at=["second"])
    x = torch.randn(6, 10, 8)
    net = check_as_the_model(Packed(True), (x, LENGTHS), at=["second"])
    changed = x.clone()
    changed[1] += 1
    assert rows_changed(net, (x, LENGTHS), (changed, LENGTHS)) == [{1}, {1}]


def test_a_sorted_batch_is_not_cut_where_it_is_sorted() -> None:
    x = torch.randn(6, 8)
    with pytest.raises(al.ConversionError, match="c: the rows of the activation here"):
        al.plan(Sorted(), x, at=["c"])
    net = check_as_the_model(Sorted(), x, torch.randn(3, 8))
    changed = x.clone()
    changed[2] += 1
    assert rows_changed(net, x, changed) == [{2}] * net.num_layers


def test_samples_that_see_each_other_are_refused() -> None:
    with pytest.raises(al.ConversionError, match="changing one sample changes other rows too"):
        al.plan(Mixing(), torch.randn(6, 8), at=["c"])


@pytest.mark.parametrize("length", [3, 4, 6])
def test_samples_folded_into_another_axis_are_refused(length: int) -> None:
    """Also where another axis is as long as the batch."""
    with pytest.raises(
        al.ConversionError, match=r"b: the (activation|rows of the activation) here"
    ):
        al.plan(Folded(), torch.randn(6, length, 8), at=["b"])


@pytest.mark.parametrize("length", [4, 6, 9])
def test_an_input_whose_first_axis_is_not_the_batch_is_refused(length: int) -> None:
    with pytest.raises(al.ConversionError, match="the input's first axis is not the batch"):
        al.plan(TimeFirst(), torch.randn(length, 6, 8), at=["c"])


def test_the_example_is_trimmed_to_a_number_that_no_other_axis_has() -> None:
    plan = al.plan(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4)), torch.randn(9, 4, 8), head=None)
    assert plan.layers[0].shape == (3, 4, 4)
    assert "looked at 3 of the example's 9 samples (samples=3)" in plan.notes


def test_complex_activations_are_no_cuts() -> None:
    class Fourier(Maps):
        def forward(self, x: Tensor) -> Tensor:
            z = torch.fft.rfft(self.a(x))
            scores: Tensor = self.out(self.c(torch.fft.irfft(z * self.b.weight[0, :9])))
            return scores

    x = torch.randn(6, 8)
    check_as_the_model(Fourier(), x, at=["c"])
    model = nn.Sequential(*(nn.Linear(8, 8, dtype=torch.cfloat) for _ in range(3)))
    with pytest.raises(al.ConversionError, match="is complex, and a bridge reads real numbers"):
        al.plan(model, torch.randn(6, 8, dtype=torch.cfloat), at=["1"])
