from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from associated_learning.data import Batches, ImageSamples, TableSamples, TextSamples
from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence


def texts(lengths: list[int]) -> TextSamples:
    """Return texts whose every token is their own number plus 2, labelled by that number."""
    counts = torch.tensor(lengths)
    numbers = torch.arange(len(lengths))
    return TextSamples(
        tokens=(numbers + 2).repeat_interleave(counts).int(),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
        labels=numbers,
    )


def rows(count: int) -> TableSamples:
    numbers = torch.arange(count)
    return TableSamples(features=numbers.float().unsqueeze(1), labels=numbers)


def grey_images(count: int) -> ImageSamples:
    pixels = torch.arange(count * 16, dtype=torch.int64).remainder(256).to(torch.uint8)
    return ImageSamples(
        pixels=pixels.view(count, 1, 4, 4),
        labels=torch.arange(count),
        mean=torch.tensor([0.25]),
        std=torch.tensor([0.5]),
    )


some_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(
    lengths=some_lengths,
    batch_size=st.integers(1, 9),
    window=st.integers(1, 4),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
    shuffle=st.booleans(),
    bucketed=st.booleans(),
)
def test_every_text_comes_exactly_once_with_its_own_tokens(
    lengths: list[int],
    batch_size: int,
    window: int,
    seed: int,
    epoch: int,
    shuffle: bool,
    bucketed: bool,
) -> None:
    batches = Batches(
        samples=texts(lengths),
        batch_size=batch_size,
        window=window,
        seed=seed,
        shuffle=shuffle,
        bucketed=bucketed,
    )
    seen: list[int] = []
    yielded = list(batches.epoch(epoch))
    assert len(yielded) == len(batches)
    for x, y in yielded:
        assert isinstance(x, PaddedSequence)
        assert x.values.shape == (len(y), max(lengths[i] for i in y.tolist()))
        for row, length, label in zip(*(t.tolist() for t in (*x[:2], y)), strict=True):
            assert length == lengths[label]
            padding = [0] * (len(row) - length)
            assert row == [label + 2] * length + padding
        seen += y.tolist()
    assert sorted(seen) == list(range(len(lengths)))
    assert batches.order(epoch).tolist() == seen
    assert batches.num_samples == len(lengths)


@settings(deadline=None, max_examples=60)
@given(lengths=some_lengths, batch_size=st.integers(1, 9), data=st.data())
def test_any_start_gives_the_tail_of_the_epoch(
    lengths: list[int], batch_size: int, data: st.DataObject
) -> None:
    batches = Batches(samples=texts(lengths), batch_size=batch_size, window=2)
    start = data.draw(st.integers(0, len(batches)))
    whole, tail = list(batches.epoch(3))[start:], list(batches.epoch(3, start=start))
    assert len(whole) == len(tail)
    for (x, y), (x_tail, y_tail) in zip(whole, tail, strict=True):
        assert torch.equal(x.values, x_tail.values)
        assert torch.equal(x.lengths, x_tail.lengths)
        assert torch.equal(y, y_tail)


def test_a_resumed_epoch_repeats_the_augmentation_bit_for_bit() -> None:
    def noise(x: torch.Tensor, seed: int) -> torch.Tensor:
        return x + torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))

    batches = Batches(samples=grey_images(10), batch_size=3, augment=noise)
    whole, tail = list(batches.epoch(1))[2:], list(batches.epoch(1, start=2))
    for (x, _), (x_tail, _) in zip(whole, tail, strict=True):
        assert torch.equal(x, x_tail)


def test_augmentation_gets_another_seed_in_every_batch_and_epoch() -> None:
    seeds: list[int] = []

    def record(x: torch.Tensor, seed: int) -> torch.Tensor:
        seeds.append(seed)
        return x

    for seed in range(2):
        batches = Batches(samples=grey_images(10), batch_size=3, seed=seed, augment=record)
        for epoch in range(2):
            list(batches.epoch(epoch))
    assert len(seeds) == len(set(seeds)) == 16


def test_augmentation_comes_before_normalisation_and_in_the_range_0_to_1() -> None:
    def ones(x: torch.Tensor, seed: int) -> torch.Tensor:
        assert x.min() >= 0
        assert x.max() <= 1
        return torch.ones_like(x)

    x, _ = next(Batches(samples=grey_images(4), batch_size=4, augment=ones).epoch(0))
    assert torch.equal(x, torch.full((4, 1, 4, 4), (1 - 0.25) / 0.5))


def test_orders_differ_between_epochs_and_seeds_but_not_between_calls() -> None:
    orders = [
        tuple(Batches(samples=rows(50), batch_size=7, seed=seed).order(epoch).tolist())
        for seed in range(3)
        for epoch in range(3)
    ]
    assert len(set(orders)) == 9
    again = Batches(samples=rows(50), batch_size=7, seed=0).order(0).tolist()
    assert list(orders[0]) == again


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    batches = Batches(samples=rows(50), batch_size=7)
    torch.manual_seed(1)
    first = batches.order(0)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(batches.order(0), first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_shuffling_rows_keep_their_order() -> None:
    batches = Batches(samples=rows(5), batch_size=2, shuffle=False)
    assert [y.tolist() for _, y in batches.epoch(0)] == [[0, 1], [2, 3], [4]]


def test_order_restores_predictions_of_texts_sorted_by_length() -> None:
    batches = Batches(samples=texts([3, 1, 2, 5, 1]), batch_size=2, shuffle=False)
    lengths = torch.cat([x.lengths for x, _ in batches.epoch(0)])
    assert lengths.tolist() == [1, 1, 2, 3, 5]
    restored = torch.empty_like(lengths)
    restored[batches.order()] = lengths
    assert restored.tolist() == [3, 1, 2, 5, 1]


def test_buckets_pad_less_than_plain_shuffling() -> None:
    lengths = (torch.arange(400) % 40 + 1).tolist()

    def padded(bucketed: bool) -> int:
        batches = Batches(samples=texts(lengths), batch_size=10, bucketed=bucketed)
        return sum(x.values.numel() for x, _ in batches.epoch(0))

    assert sum(lengths) <= padded(True) < 1.05 * sum(lengths)
    assert padded(False) > 1.5 * sum(lengths)


def test_bucketed_batches_are_not_in_order_of_length() -> None:
    batches = Batches(samples=texts(list(range(1, 101))), batch_size=5)
    longest = [int(x.lengths.max()) for x, _ in batches.epoch(0)]
    assert longest != sorted(longest)


def test_drop_last_leaves_out_a_new_remainder_every_epoch() -> None:
    batches = Batches(samples=texts(list(range(1, 12))), batch_size=4, drop_last=True)
    left_out = []
    for epoch in range(30):
        sizes = [len(y) for _, y in batches.epoch(epoch)]
        assert sizes == [4, 4]
        left_out.append(frozenset(range(11)) - frozenset(batches.order(epoch).tolist()))
    assert (len(batches), batches.num_samples) == (2, 8)
    assert frozenset.union(*left_out) == frozenset(range(11))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": rows(0)}, "no samples"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"window": 0}, "window is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"batch_size": 9, "drop_last": True}, "leaves no batch of the 5 samples"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Batches(**({"samples": rows(5), "batch_size": 2} | options))


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 4)])
def test_an_epoch_or_start_out_of_range_is_refused_at_once(epoch: int, start: int) -> None:
    batches = Batches(samples=rows(5), batch_size=2)
    with pytest.raises(InputError, match="expected an epoch of 0 or more and a batch from 0 to"):
        batches.epoch(epoch, start)


def test_augmenting_texts_is_refused() -> None:
    batches = Batches(samples=texts([1, 2]), batch_size=2, augment=lambda x, seed: x)
    with pytest.raises(InputError, match="texts are not augmented"):
        next(batches.epoch(0))


WEIGHTS = torch.tensor([0.0, 1.0, 2.0, 0.5, 2.5, 0.0, 1.0, 1.0])


def weighted(
    samples: TableSamples | TextSamples, weights: Tensor | None, **options: Any
) -> Batches:
    return Batches(samples=samples, batch_size=3, seed=4, weights=weights, **options)


@pytest.mark.parametrize("bucketed", [False, True])
def test_samples_are_drawn_by_their_weights(bucketed: bool) -> None:
    """Within one of the expected number in every epoch, and on the mean as often as they weigh."""
    batches = weighted(texts([1, 2, 3, 4, 5, 6, 7, 8]), WEIGHTS, bucketed=bucketed)
    counts = torch.stack([batches.order(e).bincount(minlength=8) for e in range(400)]).double()
    assert bool((counts.sum(1) == 8).all())
    expected = WEIGHTS.double() * 8 / WEIGHTS.double().sum()
    assert bool(((counts - expected).abs() < 1).all())
    torch.testing.assert_close(counts.mean(0), expected, atol=0.08, rtol=0)
    whole = list(batches.epoch(3))
    assert torch.equal(torch.cat([y for _, y in whole]), batches.order(3))
    x, y = next(batches.epoch(3, start=2))
    assert torch.equal(y, whole[2][1])
    assert isinstance(x, PaddedSequence)
    assert torch.equal(x.lengths, y + 1)


def test_equal_weights_are_none() -> None:
    one, other = weighted(rows(8), torch.full((8,), 0.3)), weighted(rows(8), None)
    assert all(torch.equal(one.order(e), other.order(e)) for e in range(5))


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (torch.ones(7), {}, r"shape \[7\] came for 8"),
        (torch.zeros(8), {}, "all 0"),
        (-torch.ones(8), {}, "negative"),
        (torch.full((8,), float("nan")), {}, "not finite"),
        (torch.ones(8), {"shuffle": False}, "without shuffle"),
    ],
)
def test_weights_that_are_none_are_refused(
    weights: Tensor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        weighted(rows(8), weights, **options)
