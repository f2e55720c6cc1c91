"""Readouts against sums written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from associated_learning.errors import InputError
from associated_learning.models import (
    Flatten,
    GlobalAverage,
    LastState,
    MaskedMean,
    MeanMax,
    PooledFlatten,
    StateConcat,
    StateSum,
)
from associated_learning.tensors.padded_sequence import PaddedSequence


@pytest.fixture
def s() -> PaddedSequence:
    return PaddedSequence(torch.randn(3, 5, 4), torch.tensor([5, 1, 3]), torch.randn(3, 2, 6))


def test_masked_mean_and_last_state_are_those_of_each_unpadded_sample(s: PaddedSequence) -> None:
    mean, last, both = MaskedMean()(s), LastState()(s), MeanMax()(s)
    for b, n in enumerate(s.lengths):
        torch.testing.assert_close(both[b, :4], s.values[b, :n].sum(0) / n)
        assert torch.equal(both[b, 4:], s.values[b, :n].amax(0))
        torch.testing.assert_close(mean[b], s.values[b, :n].sum(0) / n)
        assert torch.equal(last[b], s.values[b, n - 1])


@pytest.mark.parametrize("readout", [MaskedMean(), MeanMax(), LastState()])
def test_padding_does_not_matter_even_if_it_is_nan(s: PaddedSequence, readout: nn.Module) -> None:
    broken = s.values.masked_fill(~s.mask().unsqueeze(2), torch.nan)
    assert torch.equal(readout(s), readout(s._replace(values=broken)))


def test_state_readouts(s: PaddedSequence) -> None:
    assert s.state is not None
    forward, backward = s.state[:, 0], s.state[:, 1]
    assert torch.equal(StateSum()(s), forward + backward)
    assert torch.equal(StateConcat()(s), torch.cat([forward, backward], 1))


def test_state_readouts_leave_carried_cell_states_aside(s: PaddedSequence) -> None:
    assert s.state is not None
    carried = s._replace(state=torch.cat([s.state, torch.randn(3, 2, 6)], 1))
    assert torch.equal(StateSum()(carried), StateSum()(s))
    assert torch.equal(StateConcat()(carried), StateConcat()(s))


def test_image_readouts() -> None:
    image = torch.randn(2, 3, 4, 4)
    average = torch.stack([torch.stack([c.sum() / 16 for c in x]) for x in image])
    torch.testing.assert_close(GlobalAverage()(image), average)
    torch.testing.assert_close(MaskedMean()(image), average)
    torch.testing.assert_close(PooledFlatten(1)(image), average)
    corner = image[:, :, 2:, :2].sum((2, 3)) / 4
    torch.testing.assert_close(PooledFlatten(2)(image).view(2, 3, 2, 2)[:, :, 1, 0], corner)
    assert torch.equal(PooledFlatten(4)(image), Flatten()(image))


@pytest.mark.parametrize("readout", [GlobalAverage(), MaskedMean(), PooledFlatten(2), Flatten()])
def test_vectors_pass_through(readout: nn.Module) -> None:
    vector = torch.randn(2, 3)
    assert torch.equal(readout(vector), vector)


@pytest.mark.parametrize("readout", [Flatten(), GlobalAverage(), PooledFlatten(2)])
def test_image_readouts_refuse_sequences(s: PaddedSequence, readout: nn.Module) -> None:
    with pytest.raises(InputError, match="use MaskedMean"):
        readout(s)


@pytest.mark.parametrize("readout", [StateSum(), StateConcat()])
def test_state_readouts_need_a_state(s: PaddedSequence, readout: nn.Module) -> None:
    with pytest.raises(InputError, match="final states of a recurrent layer"):
        readout(s._replace(state=None))
    with pytest.raises(InputError, match="final states of a recurrent layer"):
        readout(s.values)


def test_last_state_needs_a_sequence() -> None:
    with pytest.raises(InputError, match="LastState needs a PaddedSequence, got Tensor"):
        LastState()(torch.zeros(2, 3))


def test_pooled_flatten_needs_a_grid() -> None:
    with pytest.raises(InputError, match="1 or more"):
        PooledFlatten(0)
