"""AL networks as scikit-learn's estimators: for pipelines, grid search, and whoever calls fit."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from associated_learning.conversion import ALOptions, al_form, convert
from associated_learning.data.batches import Batches
from associated_learning.data.samples import TableSamples
from associated_learning.errors import InputError, needs_extra
from associated_learning.inference.evaluation import predict_batches
from associated_learning.models.mlp import MLP
from associated_learning.network import Network
from associated_learning.state.optimizers import make_optimizers
from associated_learning.state.training_state import TrainingState
from associated_learning.targets import Classes, Prediction, Regression, Target
from associated_learning.tensors.copying import copied
from associated_learning.tensors.nested import to_device
from associated_learning.tensors.randomness.keyed import seeded
from associated_learning.training.adapters.dense_rows import dense_rows
from associated_learning.training.length import enough_epochs
from associated_learning.training.trainer import Trainer
from associated_learning.update import update_network

with needs_extra("sklearn", "an estimator of scikit-learn"):
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )

__all__ = ["ALClassifier", "ALRegressor"]

PREDICTED, GROUP = 4096, 64  # rows at once; of which they are a multiple

Array = np.ndarray[Any, Any]
Encoders = Sequence[nn.Module] | Callable[[int], Sequence[nn.Module]]


class _ALEstimator(BaseEstimator, ABC):  # type: ignore[misc]
    """What both estimators share: rows in, a trained network, its outputs for other rows.

    Columns are standardised with the mean and deviation of the rows of the first fit.

    Args:
        hidden: Widths of the layers of the MLP that is trained unless ``encoders`` or ``module``
            says otherwise.
        encoders: ``f_1 .. f_L``, or what makes them for a number of columns; see `al_form`.
        module: A model to be converted instead; see `convert`. Copied before it is trained, as
            ``encoders`` are.
        options: What to put beside the encoders; the defaults of `ALOptions` if not given.
        epochs: Number of epochs; None for `enough_epochs`.
        batch_size: Number of rows of a minibatch.
        lr: Learning rate of every layer.
        trainer: Other settings of `Trainer` by name.
        depth: Through how many layers to predict; None for all.
        device: Where to train and predict.
        random_state: As everywhere in scikit-learn.

    Attributes:
        net_: The trained network.
        history_: The `TrainingState` of the last `fit`.
        n_features_in_: Number of columns.
    """

    net_: Network
    history_: TrainingState
    _optimizers: list[Optimizer | None] | None
    _steps: int

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        *,
        encoders: Encoders | None = None,
        module: nn.Module | None = None,
        options: ALOptions | None = None,
        epochs: int | None = None,
        batch_size: int = 32,
        lr: float = 1e-3,
        trainer: Mapping[str, Any] | None = None,
        depth: int | None = None,
        device: str = "cpu",
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.encoders = encoders
        self.module = module
        self.options = options
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.trainer = trainer
        self.depth = depth
        self.device = device
        self.random_state = random_state

    @abstractmethod
    def _begin_targets(self, y: Array, classes: Any = None) -> Target:
        """Learn from the first y what y is."""

    @abstractmethod
    def _encode_targets(self, y: Array) -> Tensor:
        """Return y as the network's target takes it."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a fresh network on rows ``X`` ``[N, F]`` and their targets ``y``.

        Rows are drawn by ``sample_weight`` ``[N]``; see `Batches`.
        """
        X, y = self._validated(X, y, reset=True)
        weights = None
        if sample_weight is not None:
            checked = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            weights = torch.from_numpy(checked.astype(np.float64))
        self._begin(X, self._begin_targets(y))
        batches = self._batches(X, y, weights)
        epochs = enough_epochs(len(batches)) if self.epochs is None else self.epochs
        settings = {"executor": "sequential", "seed": self._seed, **(self.trainer or {})}
        training = Trainer(epochs=epochs, lr=self.lr, **settings)
        self.history_ = training.fit(self.net_, batches)
        return self

    def _partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Train on the rows once, minibatch by minibatch; the first call makes the network."""
        fresh = not hasattr(self, "net_")
        X, y = self._validated(X, y, reset=fresh)
        if fresh:
            self._begin(X, self._begin_targets(y, classes))
        blocks = self.net_.blocks()
        if self._optimizers is None:
            self._optimizers = make_optimizers(blocks, lr=self.lr)
        self.net_.train()
        for x, target in self._batches(X, y).epoch(self._steps):
            t0 = self.net_.target.encode(target).to(self.device)
            update_network(
                blocks, self._optimizers, to_device(x, self.device), t0, step=self._steps
            )
            self._steps += 1
        return self

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        numeric = {"multi_output": True, "y_numeric": isinstance(self, RegressorMixin)}
        X, y = validate_data(self, X, y, reset=reset, accept_sparse="csr", **numeric)
        return dense_rows(X), y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _begin(self, X: Array, target: Target) -> None:
        """Make the network and all that is learned before it is trained."""
        self._seed = int(check_random_state(self.random_state).randint(2**31))
        self._mean, scale = X.mean(axis=0), X.std(axis=0)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._optimizers = None
        self._steps = 0
        with seeded(self._seed, "weights"):
            self.net_ = self._network(self._rows(X[:2]), target).to(self.device)

    def _network(self, example: Tensor, target: Target) -> Network:
        options, width = self.options, example.shape[1]
        if self.module is not None:
            return convert(copied(self.module), example, target=target, options=options)
        encoders: Iterable[nn.Module]
        if callable(self.encoders):
            encoders = self.encoders(width)
        elif self.encoders is not None:
            encoders = copy.deepcopy(self.encoders)
        else:
            encoders = MLP(in_features=width, hidden=tuple(self.hidden)).layers
        return al_form(encoders, example, target, options=options)

    def _rows(self, X: Array) -> Tensor:
        scaled = (X - self._mean) / self._scale
        return torch.from_numpy(scaled.astype(np.float32))

    def _batches(self, X: Array, y: Array, weights: Tensor | None = None) -> Batches:
        samples = TableSamples(features=self._rows(X), labels=self._encode_targets(y))
        size, seed = self.batch_size, self._seed
        return Batches(samples=samples, batch_size=size, seed=seed, weights=weights)

    def _predicted(self, X: Any) -> Prediction:
        check_is_fitted(self)
        rows = self._rows(dense_rows(validate_data(self, X, reset=False, accept_sparse="csr")))
        # filled up, so that kernels, which round rows in groups, treat a row as any other
        filled = F.pad(rows, (0, 0, 0, -len(rows) % GROUP))
        found = predict_batches(self.net_, torch.split(filled, PREDICTED), self.depth)
        known = None if found.probabilities is None else found.probabilities[: len(rows)]
        return Prediction(found.labels[: len(rows)], known)


class ALClassifier(ClassifierMixin, _ALEstimator):  # type: ignore[misc]
    """Classifies the rows of a table by an AL network; see `_ALEstimator` for its arguments.

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


class ALRegressor(RegressorMixin, _ALEstimator):  # type: ignore[misc]
    """Predicts real values of the rows of a table; see `_ALEstimator` for its arguments.

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
