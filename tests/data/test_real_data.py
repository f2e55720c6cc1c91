"""The real data sets, where their folder is at hand: sizes, names, one batch of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from associated_learning.data import Batches, load, load_vectors
from associated_learning.tensors.padded_sequence import PaddedSequence

pytestmark = pytest.mark.data

AG_NEWS = ("World", "Sports", "Business", "Sci/Tech")
SIZES = {  # training and validation together, test, classes
    "fashion_mnist": (60_000, 10_000, 10),
    "cifar10": (50_000, 10_000, 10),
    "ag_news": (67_325, 7_600, 4),
    "imdb": (25_000, 25_000, 2),
    "sst2": (67_349 + 872, 1_821, 2),
    "dbpedia_14": (14_741, 7_600, 14),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_names_and_one_batch(name: str, data_root: Path, tmp_path: Path) -> None:
    data = load(name, data_root=data_root, cache_dir=tmp_path)
    training, test, classes = SIZES[name]
    assert len(data.train) + len(data.validation) == training
    assert len(data.test) == test
    assert len(data.validation) == (872 if name == "sst2" else pytest.approx(training / 10, abs=7))
    assert len(set(data.label_names)) == data.num_classes == classes
    assert sorted(data.train.labels.unique().tolist()) == list(range(classes))
    x, y = next(Batches(samples=data.train, batch_size=64).epoch(0))
    assert y.shape == (64,)
    if isinstance(x, PaddedSequence):
        assert int(x.lengths.min()) >= 1
        assert int(x.lengths.max()) == x.values.shape[1]
        assert 0 < int(x.values.max()) < len(data.preprocessor.vocabulary) <= 30_002
    else:
        assert isinstance(x, Tensor)
        assert x.shape == (64, *((1, 28, 28) if name == "fashion_mnist" else (3, 32, 32)))
        assert abs(float(x.mean())) < 0.3


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [  # as published for the whole training sets
        ("fashion_mnist", (0.2860,), (0.3530,)),
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ],
)
def test_statistics_are_the_published_ones(
    name: str, mean: tuple[float, ...], std: tuple[float, ...], data_root: Path, tmp_path: Path
) -> None:
    data = load(name, data_root=data_root, cache_dir=tmp_path)
    assert data.preprocessing["mean"] == pytest.approx(mean, abs=1e-3)
    assert data.preprocessing["std"] == pytest.approx(std, abs=1e-3)


def test_ag_news_names_and_glove_rows(data_root: Path, tmp_path: Path) -> None:
    import gzip

    data = load("ag_news", data_root=data_root, cache_dir=tmp_path)
    assert data.label_names == AG_NEWS
    path = data_root / "glove" / "glove.6B.100d.trimmed.txt.gz"
    vocabulary = data.preprocessor.vocabulary
    weights, coverage = load_vectors(path, vocabulary)
    assert weights.shape == (len(vocabulary), 100)
    assert coverage > 0.9
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            word, *numbers = line.split()
            if word in {"the", "oil", "microsoft"}:
                (i,) = vocabulary.encode([word])
                assert i > 1
                assert torch.equal(weights[i], torch.tensor([float(n) for n in numbers]))
