"""The estimators keep scikit-learn's own law, and live in its pipelines and searches."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch import nn

import associated_learning as al
from associated_learning.training.adapters import dense_rows
from associated_learning.training.adapters.sklearn import ALClassifier, ALRegressor

QUICK: dict[str, Any] = {"hidden": (16,), "epochs": 5, "lr": 0.05, "random_state": 0}
EXPECTED_FAILURES = {
    f"check_sample_weight_equivalence_on_{kind}_data": "rows are drawn by their weights, so that a "
    "weight of 2 is a row twice on the mean, not in the same minibatches"
    for kind in ("dense", "sparse")
}
CHECKS = [
    check
    for estimator in (ALClassifier(**QUICK), ALRegressor(**QUICK))
    for check in estimator_checks_generator(
        estimator, expected_failed_checks=EXPECTED_FAILURES, mark="xfail"
    )
]


def check_id(value: Any) -> str:
    return getattr(getattr(value, "func", None), "__name__", type(value).__name__)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # checks provoke scikit-learn's own
@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=check_id)
def test_the_law_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_wine_in_a_cross_validation() -> None:
    X, y = load_wine(return_X_y=True)
    assert (
        cross_val_score(ALClassifier(epochs=8, lr=0.01, random_state=0), X, y, cv=3).mean() > 0.94
    )


def test_a_grid_search_over_a_pipeline_chooses_the_rate_that_learns() -> None:
    X, y = load_wine(return_X_y=True)
    names = np.array(["barolo", "grignolino", "barbera"])[y]
    pipeline = make_pipeline(StandardScaler(), ALClassifier(**QUICK))
    search = GridSearchCV(pipeline, {"alclassifier__lr": [1e-7, 0.05]}, cv=2).fit(X, names)
    assert search.best_params_ == {"alclassifier__lr": 0.05}
    assert search.predict(X[:3]).tolist() == names[:3].tolist()
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict_proba(X), search.predict_proba(X))


def test_texts_by_their_words_in_a_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"a {word} film" for word in ("lovely", "great", "awful", "dull")] * 10
    moods = ["good", "good", "bad", "bad"] * 10
    words, classifier = TfidfVectorizer(), ALClassifier(**QUICK)
    pipeline = make_pipeline(words, classifier).fit(texts, moods)
    assert pipeline.predict(["dull film", "a great one"]).tolist() == ["bad", "good"]
    rows = words.transform(texts)
    dense = clone(classifier).fit(rows.toarray(), moods)
    assert np.array_equal(dense.predict_proba(rows), pipeline.predict_proba(texts))
    monkeypatch.setattr(dense_rows, "_MOST_CELLS", 100)
    with pytest.raises(al.InputError, match=r"table of 40 x 5 came.*max_features=5000"):
        pipeline.fit(texts, moods)


def test_a_regression_answers_in_the_units_of_y() -> None:
    X, y = load_diabetes(return_X_y=True)
    regressor = ALRegressor(hidden=(32,), epochs=8, lr=0.01, random_state=0).fit(X, 1000 + y)
    assert regressor.score(X, 1000 + y) > 0.4
    assert abs(regressor.predict(X).mean() - 1000 - y.mean()) < 10


def test_partial_fits_go_on_where_they_stood() -> None:
    X, y = load_wine(return_X_y=True)
    classifier = ALClassifier(hidden=(32,), lr=0.01, random_state=0)
    with pytest.raises(al.InputError, match=r"classes \[2\] came; expected some of \[0, 1\]"):
        clone(classifier).partial_fit(X, y, classes=[0, 1])
    scores = [classifier.partial_fit(X, y, classes=[0, 1, 2]).score(X, y) for _ in range(10)]
    assert scores[-1] > 0.95
    assert scores[0] < scores[-1]
    moments = classifier._optimizers[0].state  # Adam counts the updates of all calls
    assert {int(state["step"]) for state in moments.values()} == {10 * 6}


def test_own_encoders_and_models_are_copied_and_trained() -> None:
    X, y = load_wine(return_X_y=True)
    encoders = [nn.Sequential(nn.Linear(13, 24), nn.ReLU())]
    lower, upper = (
        nn.Sequential(nn.Linear(13, 24), nn.ReLU()),
        nn.Sequential(nn.Linear(24, 8), nn.ReLU()),
    )
    module = nn.Sequential(lower, upper, nn.Linear(8, 3))
    before = copy.deepcopy(encoders[0].state_dict())
    for chosen in (
        {"encoders": encoders},
        {"module": module},
        {"encoders": lambda n: [nn.Linear(n, 9)]},
    ):
        classifier = ALClassifier(**{**QUICK, "epochs": 15, "lr": 0.02}, **chosen).fit(X, y)
        assert classifier.score(X, y) > 0.9
    assert all(torch.equal(before[key], value) for key, value in encoders[0].state_dict().items())
    shallow = ALClassifier(hidden=(8, 8), epochs=1, depth=1, random_state=0).fit(X, y)
    rows = torch.from_numpy(((X - X.mean(0)) / X.std(0)).astype(np.float32))
    expected = shallow.net_.eval()(rows, depth=1).argmax(1)
    assert shallow.predict(X).tolist() == expected.tolist()


def test_rows_of_no_weight_teach_nothing() -> None:
    """Wrong labels of weight 0 are as if they were not there; with weight they do harm."""
    X, y = load_wine(return_X_y=True)
    wrong = np.concatenate([y, (y + 1) % 3])
    both = np.concatenate([X, X])
    right = np.repeat([1.0, 0.0], len(X))
    made = ALClassifier(hidden=(32,), epochs=8, lr=0.04, random_state=0)
    assert made.fit(both, wrong, sample_weight=right).score(X, y) > 0.97
    assert made.fit(both, wrong, sample_weight=1 - right).score(X, y) < 0.1


def test_the_default_rate_falls_to_nothing_as_that_of_a_trainer_does() -> None:
    """At a constant rate R² on diabetes is 0.1 lower: the last updates fit noise."""
    X, y = load_wine(return_X_y=True)
    rates = [
        record.lr[0] for record in ALRegressor((8,), random_state=0).fit(X, y).history_.records
    ]
    assert max(rates) > 9e-4
    assert rates[-1] < 1e-6


@pytest.mark.parametrize("kind", [ALClassifier, ALRegressor])
def test_early_stopping_ends_with_the_epoch_that_is_best_on_rows_held_back(kind: Any) -> None:
    X, y = load_wine(return_X_y=True)
    made = kind(hidden=(16,), early_stopping=True, validation_fraction=0.25, random_state=3)
    made.fit(X, y)
    seed = int(np.random.RandomState(3).randint(2**31))
    labels = y if kind is ALClassifier else None
    _, held = train_test_split(range(178), test_size=0.25, random_state=seed, stratify=labels)
    best = max(record.scores[-1] for record in made.history_.records)
    errors = (made.predict(X[held]) - y[held]) / y.std()
    score = made.score(X[held], y[held]) if kind is ALClassifier else -np.mean(errors**2)
    assert score == pytest.approx(best, abs=1e-6)
