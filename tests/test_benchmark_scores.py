"""What benchmarks judge rivals by: standard scores against scikit-learn, the choice of a rate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CLASSES, WIDTH = 3, 8


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS / "rejection")
    for name in ("answers", "scores"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import scores as module  # type: ignore[import-not-found]

    return module


def _answers(scores: Any, count: int, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    features = torch.randn(count, WIDTH, generator=generator) + labels[:, None]
    return scores.Answers(features, torch.randn(count, CLASSES, generator=generator), labels)


def test_mahalanobis_is_the_distance_to_the_nearest_class(scores: Any) -> None:
    known, asked = _answers(scores, 120, seed=0), _answers(scores, 1100, seed=1)
    features, labels = known.features.double().numpy(), known.labels.numpy()
    means = np.stack([features[labels == one].mean(0) for one in range(CLASSES)])
    fitted = EmpiricalCovariance(assume_centered=True).fit(features - means[labels])
    others = asked.features.double().numpy()
    expected = np.min([fitted.mahalanobis(others - mean) for mean in means], axis=0)
    np.testing.assert_allclose(scores.mahalanobis(known, asked).numpy(), expected)


def test_neighbours_are_those_of_normalised_features(scores: Any) -> None:
    known, asked = _answers(scores, 120, seed=0), _answers(scores, 1100, seed=1)
    near = NearestNeighbors(n_neighbors=50).fit(F.normalize(known.features, dim=1).numpy())
    distances, _ = near.kneighbors(F.normalize(asked.features, dim=1).numpy())
    cosines = 1 - distances[:, -1] ** 2 / 2  # of unit vectors
    np.testing.assert_allclose(scores.neighbours(known, asked).numpy(), -cosines, atol=1e-5)
    _, others = near.kneighbors()  # of a sample itself it says nothing
    differ = (known.labels.numpy()[others] != known.labels.numpy()[:, None]).mean(1)
    np.testing.assert_allclose(scores.own_neighbours(known, known).numpy(), differ)


def test_a_rate_lies_inside_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from rates import best_rate  # type: ignore[import-not-found]

    def score(best: float) -> Any:
        return lambda rate: -abs(rate - best)

    assert best_rate((1, 2, 4), score(2), more=2) == (2, {1: -1, 2: 0, 4: -2})
    assert best_rate((1, 2, 4), score(8), more=2)[0] == 8
    assert list(best_rate((1, 2, 4), score(8), more=2)[1]) == [1, 2, 4, 8, 16]
    assert list(best_rate((1, 2, 4), score(0), more=2)[1]) == [1, 2, 4, 0.5, 0.25]
