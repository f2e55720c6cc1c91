"""A data set that is ready to train on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from associated_learning.data.keys import mix
from associated_learning.data.labels.noise import noisy_labels
from associated_learning.data.labels.target_numbers import TargetScale
from associated_learning.data.preprocessing import Preprocessor
from associated_learning.data.samples import Samples

__all__ = ["SPLITS", "DataSet", "Kind"]

SPLITS = ("train", "validation", "test")
_NOISE = 3  # what the seed is for, beside the uses in `load`
Kind: TypeAlias = Literal["image", "table", "text"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """Three splits in memory, and what turns new inputs into theirs.

    Attributes:
        name: As it was asked for.
        kind: What the inputs are.
        label_names: Name of each class; labels count from 0 in this order. None for a regression.
            Of several labels a sample those of the columns of ``labels``.
        train: Fitted to; its labels may carry noise.
        validation: Cut from the training data (or the official one); chooses the epoch.
        test: Handed out only; read it once, at the end.
        preprocessor: Fitted on ``train``; treats new inputs at prediction.
        train_pool: Samples that the training split had before a validation split was cut from it
            and it was limited.
        train_weights: How much each training sample counts, ``[N]``; None if all count the same.
        target_scale: By what the labels of a regression were standardised; None for classes.
    """

    name: str
    kind: Kind
    label_names: tuple[str, ...]
    train: Samples
    validation: Samples
    test: Samples
    preprocessor: Preprocessor
    train_pool: int
    target_scale: TargetScale | None = None
    train_weights: Tensor | None = None

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.label_names)

    def to(self, device: torch.device | str) -> DataSet:
        """Return the same data with all inputs stored on a device; see `Samples.to`."""
        splits = {name: getattr(self, name).to(device) for name in SPLITS}
        return replace(self, **splits)

    def with_label_noise(self, rate: float, *, seed: int = 0) -> DataSet:
        """Return the same data with a share of the training labels drawn anew (`noisy_labels`).

        Raises:
            InputError: ``rate`` is not between 0 and 1.
        """
        labels = noisy_labels(
            self.train.labels, num_classes=self.num_classes, rate=rate, seed=mix(seed, _NOISE)
        )
        return replace(self, train=self.train.relabelled(labels))

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The preprocessor as values that JSON can hold; see `preprocessor_from_dict`."""
        return self.preprocessor.to_dict()
