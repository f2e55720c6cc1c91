"""AL networks as scikit-learn's estimators: for pipelines, grid search, and whoever calls fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from associated_learning.errors import InputError, needs_extra
from associated_learning.targets import Classes, Regression, Target
from associated_learning.training.adapters.sklearn_base import ALEstimator, Array

with needs_extra("sklearn", "an estimator of scikit-learn"):
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import column_or_1d

__all__ = ["ALClassifier", "ALRegressor"]


class ALClassifier(ClassifierMixin, ALEstimator):  # type: ignore[misc]
    """Classifies the rows of a table by an AL network; see `ALEstimator` for its arguments.

    Attributes:
        classes_: The classes, sorted.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = ALClassifier(hidden=(32, 32), epochs=40, random_state=0).fit(X, y)
        >>> classifier.score(X, y) > 0.9, classifier.predict_proba(X[:2]).shape
        (True, (2, 3))
    """

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Train on the rows once; the first call names all ``classes``."""
        return self._partial_fit(X, y, classes)

    def predict(self, X: Any) -> Array:
        """Return the class of every row, ``[N]``."""
        labels = self._predicted(X).labels.numpy()
        found: Array = self.classes_[labels]
        return found

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class, ``[N, k]``, in the order of ``classes_``."""
        probabilities = self._predicted(X).probabilities
        assert probabilities is not None
        found: Array = probabilities.double().numpy()
        return found

    def _begin_targets(self, y: Array, classes: Any = None) -> Target:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_ = unique_labels(y if classes is None else classes)
        if len(self.classes_) < 2:
            raise InputError(
                f"ALClassifier got 1 class ({self.classes_.tolist()}); expected at least 2 classes."
            )
        return Classes(len(self.classes_))

    def _encode_targets(self, y: Array) -> Tensor:
        y = column_or_1d(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise InputError(
                f"the classes {unknown.tolist()} came; expected some of {self.classes_.tolist()}. "
                "Name all classes in the first call of partial_fit."
            )
        return torch.from_numpy(np.searchsorted(self.classes_, y))


class ALRegressor(RegressorMixin, ALEstimator):  # type: ignore[misc]
    """Predicts real values of the rows of a table; see `ALEstimator` for its arguments.

    Targets are standardised inside, and predictions are in the units of ``y``.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> regressor = ALRegressor(hidden=(32,), epochs=40, random_state=0).fit(X, y)
        >>> regressor.score(X, y) > 0.4, regressor.predict(X[:2]).shape
        (True, (2,))
    """

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Train on the rows once; the first call sets the scale of the targets."""
        return self._partial_fit(X, y)

    def predict(self, X: Any) -> Array:
        """Return the value of every row, ``[N]``, or ``[N, d]`` where y was of that shape."""
        values = self._predicted(X).labels.double().numpy() * self._y_scale + self._y_mean
        found: Array = values[:, 0] if self._flat else values
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output, tags.target_tags.multi_output = True, True
        return tags

    def _begin_targets(self, y: Array, classes: Any = None) -> Target:
        self._flat = y.ndim == 1
        columns = y.reshape(len(y), -1)
        self._y_mean, scale = columns.mean(axis=0), columns.std(axis=0)
        self._y_scale = np.where(scale > 0, scale, 1.0)
        return Regression(columns.shape[1])

    def _encode_targets(self, y: Array) -> Tensor:
        scaled = (y.reshape(len(y), -1) - self._y_mean) / self._y_scale
        return torch.from_numpy(scaled.astype(np.float32))
