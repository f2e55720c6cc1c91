"""A data set that is ready to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from associated_learning.data.preprocessing import Preprocessor
from associated_learning.data.samples import Samples

__all__ = ["DataSet", "Kind"]

Kind: TypeAlias = Literal["image", "table", "text"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """Three splits in memory, and what turns new inputs into theirs.

    Attributes:
        name: As it was asked for.
        kind: What the inputs are.
        label_names: Name of each class; labels count from 0 in this order.
        train: Fitted to; its labels may carry noise.
        validation: Cut from the training data (or the official one); chooses the epoch.
        test: Handed out only; read it once, at the end.
        preprocessor: Fitted on ``train``; treats new inputs at prediction.
        train_pool: Samples that the training split had before a validation split was cut from it
            and it was limited.
    """

    name: str
    kind: Kind
    label_names: tuple[str, ...]
    train: Samples
    validation: Samples
    test: Samples
    preprocessor: Preprocessor
    train_pool: int

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.label_names)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The preprocessor as values that JSON can hold; see `preprocessor_from_dict`."""
        return self.preprocessor.to_dict()
