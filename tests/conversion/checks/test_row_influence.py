"""Row influence: what sorts, folds, mixes or turns the samples is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.conversion.checks.rows import check_rows, differing_rows
from associated_learning.conversion.slicing.slice import Stream
from conversion.subjects import Net, X, subject


def keep(h: Tensor, mode: bool) -> Tensor:
    return h


def evidence(
    first: Callable[[Tensor, bool], Tensor], second: Callable[[Tensor, bool], Tensor] = keep
) -> str:
    checks = check_rows(subject(Net(), first, second), {"x": X}, range(6))
    broken = [check for check in checks if not check.holds]
    return f"{broken[0].place}: {broken[0].evidence}" if broken else ""


def test_layers_whose_rows_are_the_samples_pass() -> None:
    assert evidence(keep) == ""


def test_a_layer_that_sorts_the_batch_is_found_though_the_next_puts_it_back() -> None:
    order: list[Tensor] = []

    def sort(h: Tensor, mode: bool) -> Tensor:
        order.append(h[:, 0].argsort(descending=True))
        return h[order[-1]]

    def put_back(h: Tensor, mode: bool) -> Tensor:
        return h[order[-1].argsort()]

    assert "layer 1: with the samples in the other order" in evidence(sort, put_back)


def test_sorting_is_found_on_two_samples() -> None:
    def sort(h: Tensor, mode: bool) -> Tensor:
        return h[h[:, 0].argsort()]

    checks = check_rows(subject(Net(), sort), {"x": X[:2]}, (0, 1))
    assert not all(check.holds for check in checks)


def test_samples_that_are_mixed_are_found() -> None:
    mixed = evidence(lambda h, mode: h - h.mean(0, keepdim=True))
    assert "changing sample 0 changes rows 0, 1, 2, 3, 4, 5 of s" in mixed


def test_a_model_that_mixes_samples_itself_may_be_cut() -> None:
    def mixed(h: Tensor, mode: bool) -> Tensor:
        return h - h.mean(0, keepdim=True)

    checks = check_rows(subject(Net(mixed), mixed), {"x": X}, range(6))
    assert all(check.holds for check in checks)
    assert "the model itself lets them influence each other" in checks[0].evidence


def test_samples_that_are_folded_into_another_axis_are_found() -> None:
    assert "a batch of 6 samples gives an s of 3 rows" in evidence(
        lambda h, mode: h.reshape(3, -1)[:, :5], lambda h, mode: torch.cat([h, h])
    )


def test_a_readout_that_does_not_see_the_samples_is_found() -> None:
    class Constant(nn.Module):
        def forward(self, s: Stream) -> Tensor:
            return torch.ones(len(s.values), 2)

    checks = check_rows(subject(Net(), readout=Constant()), {"x": X}, range(6))
    assert "but not what the bridge reads" in checks[0].evidence
    assert not checks[0].holds


def test_two_samples_that_are_alike_in_what_is_read_are_no_fault() -> None:
    x = torch.randn(4, 8)
    x[1, 4:] = x[0, 4:]
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    nn.init.eye_(model[0].weight)

    class LastHalf(nn.Module):
        def forward(self, s: Stream) -> Tensor:
            return s.values[:, 4:]

    al.convert(model, x, target=al.Classes(3), at=["1"], readout=[LastHalf(), None])
    with pytest.raises(al.ConversionError, match="alike in what is read"):
        al.convert(model, x[:2], target=al.Classes(3), at=["1"], readout=[LastHalf(), None])


def test_rows_of_another_axis() -> None:
    old, new = torch.zeros(3, 4), torch.zeros(3, 4)
    old[0, 0] = 1.0
    new[0, 0], new[1, 2], new[2, 3] = 1.0, 1e-7, 1.0
    assert differing_rows(old, new, 0) == [2]
    assert differing_rows(old, new, 1) == [3]


class SequenceFirst(nn.Module):
    """Takes ``[T, B, D]``, as torch's recurrent layers do by default."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.rnn, self.out = nn.Linear(8, 8), nn.GRU(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(self.a(x))[0].mean(0))


def test_an_input_with_the_sequence_first_is_refused_at_conversion() -> None:
    with pytest.raises(al.ConversionError, match="are not the samples in their order"):
        al.convert(SequenceFirst(), torch.randn(4, 4, 8), target=al.Classes(3), at=["rnn"])
