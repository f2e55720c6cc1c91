"""What estimators of scikit-learn share: rows in, a trained network, its outputs for other rows."""

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
from associated_learning.errors import needs_extra
from associated_learning.inference.evaluation import predict_batches
from associated_learning.models.mlp import MLP
from associated_learning.network import Network
from associated_learning.state.optimizers import make_optimizers
from associated_learning.state.training_state import TrainingState
from associated_learning.targets import Prediction, Target
from associated_learning.tensors.copying import copied
from associated_learning.tensors.nested import to_device
from associated_learning.tensors.randomness.keyed import seeded
from associated_learning.training.adapters.dense_rows import dense_rows
from associated_learning.training.length import patient_epochs
from associated_learning.training.trainer import Trainer
from associated_learning.update import update_network

with needs_extra("sklearn", "an estimator of scikit-learn"):
    from sklearn.base import BaseEstimator, RegressorMixin, is_classifier
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

__all__ = ["ALEstimator", "Array"]

PREDICTED, GROUP = 4096, 64  # rows at once; of which they are a multiple
PATIENCE = {"epochs": 5, "updates": 250}

Array = np.ndarray[Any, Any]
Encoders = Sequence[nn.Module] | Callable[[int], Sequence[nn.Module]]


class ALEstimator(BaseEstimator, ABC):  # type: ignore[misc]
    """What both estimators share: rows in, a trained network, its outputs for other rows.

    Columns are standardised with the mean and deviation of the rows of the first fit.

    Args:
        hidden: Widths of the layers of the MLP that is trained unless ``encoders`` or ``module``
            says otherwise.
        encoders: ``f_1 .. f_L``, or what makes them for a number of columns; see `al_form`.
        module: A model to be converted instead; see `convert`. Copied before it is trained, as
            ``encoders`` are.
        options: What to put beside the encoders; the defaults of `ALOptions` if not given.
        epochs: Number of epochs, at a constant rate. None for as many as make enough updates, at
            a rate that falls, as `Trainer` has it.
        batch_size: Number of rows of a minibatch.
        lr: Learning rate of every layer.
        early_stopping: Whether to hold rows back, and to end with the weights of the epoch that is
            best on them; training stops where none gets better for ``patience`` epochs.
        validation_fraction: Share of the rows that is held back; of each class as many.
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
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
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
        settings = {"epochs": self.epochs, "lr": self.lr, "seed": self._seed}
        validation = None
        if self.early_stopping:
            taught, held = self._divided(y)
            validation = self._batches(X[held], y[held])
            X, y, weights = X[taught], y[taught], None if weights is None else weights[taught]
        batches = self._batches(X, y, weights)
        if self.early_stopping:
            settings["patience"] = patient_epochs(len(batches), **PATIENCE)
        training = Trainer(**{"executor": "sequential", **settings, **(self.trainer or {})})
        self.history_ = training.fit(self.net_, batches, validation)
        return self

    def _divided(self, y: Array) -> list[Array]:
        """Return the numbers of the rows to train on, and of those held back."""
        divided: list[Array] = train_test_split(
            np.arange(len(y)),
            test_size=self.validation_fraction,
            random_state=self._seed,
            stratify=y if is_classifier(self) else None,
        )
        return divided

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
