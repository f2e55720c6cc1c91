from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from associated_learning.data import noisy_labels
from associated_learning.data.split import cut, limit
from associated_learning.errors import InputError

some_labels = st.lists(st.integers(0, 4), min_size=2, max_size=80)


@settings(deadline=None)
@given(labels=some_labels, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 9))
def test_every_class_gives_its_share_and_keeps_a_sample(
    labels: list[int], fraction: float, seed: int
) -> None:
    if all(labels.count(c) < 2 for c in set(labels)):
        return
    kept, off = cut(torch.tensor(labels), fraction, seed=seed)
    assert sorted(kept.tolist() + off.tolist()) == list(range(len(labels)))
    for c in set(labels):
        count, given_off = labels.count(c), sum(labels[i] == c for i in off.tolist())
        assert abs(given_off - count * fraction) <= 1
        assert count - given_off >= 1
        assert given_off >= 1 or count == 1


@settings(deadline=None)
@given(labels=some_labels, data=st.data())
def test_a_limit_holds_the_classes_in_proportion(labels: list[int], data: st.DataObject) -> None:
    size = data.draw(st.integers(len(set(labels)), len(labels)))
    chosen = limit(torch.tensor(labels), size, seed=0).tolist()
    assert len(chosen) == len(set(chosen)) == size
    assert chosen == sorted(chosen)
    for c in set(labels):
        share = labels.count(c) / len(labels) * size
        taken = sum(labels[i] == c for i in chosen)
        assert taken >= 1
        # every class gets one first, and only what is left is dealt out in proportion
        assert abs(taken - share) < 1 + len(set(labels))


def test_splits_are_seeded_and_of_the_right_size() -> None:
    labels = torch.arange(1000) % 10
    first, again, other = (cut(labels, 0.1, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert labels[first].bincount().tolist() == [10] * 10
    assert labels[limit(labels, 500, seed=0)].bincount().tolist() == [50] * 10
    assert len(limit(labels, 5000, seed=0)) == 1000


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(InputError, match=r"fraction to cut off is 1\.0"):
        cut(torch.tensor([0, 0, 1, 1]), 1.0, seed=0)
    with pytest.raises(InputError, match="one a class"):
        cut(torch.tensor([0, 1]), 0.5, seed=0)
    with pytest.raises(InputError, match="a limit of 1 training samples"):
        limit(torch.tensor([0, 1]), 1, seed=0)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 1.0])
def test_noise_changes_its_rate_less_the_chance_to_draw_the_same_label(rate: float) -> None:
    labels = torch.arange(20_000) % 4
    noisy = noisy_labels(labels, num_classes=4, rate=rate, seed=1)
    changed = float((noisy != labels).float().mean())
    assert changed == pytest.approx(rate * 3 / 4, abs=0.01)
    assert (noisy.bincount() / len(noisy)).tolist() == pytest.approx([0.25] * 4, abs=0.01)
    assert torch.equal(labels, torch.arange(20_000) % 4)


def test_noise_is_seeded() -> None:
    labels = torch.zeros(100, dtype=torch.int64)
    first, again, other = (
        noisy_labels(labels, num_classes=5, rate=0.5, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_rate_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"label noise rate is 1\.5"):
        noisy_labels(torch.zeros(3, dtype=torch.int64), num_classes=2, rate=1.5)
