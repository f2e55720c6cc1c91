"""Raw inputs to network inputs: fitted on the training split, saved with a run, used again."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from torch import Tensor
from typing_extensions import Self

from associated_learning.data.images.image_preprocessor import ImagePreprocessor
from associated_learning.data.images.masked_images import MaskPreprocessor
from associated_learning.data.samples import Input, Samples
from associated_learning.data.tables.table_preprocessor import TablePreprocessor
from associated_learning.data.texts.blocks import BlockPreprocessor
from associated_learning.data.texts.subword import SubwordPreprocessor
from associated_learning.data.texts.tags import TagPreprocessor
from associated_learning.data.texts.text_preprocessor import TextPreprocessor
from associated_learning.errors import InputError

__all__ = ["Preprocessor", "preprocessor_from_dict"]


class Preprocessor(Protocol):
    """What the preprocessors of images, texts and tables have in common."""

    kind: ClassVar[str]

    def __call__(self, inputs: Any) -> Input:
        """Return raw inputs as one batch that a network reads."""
        ...

    def samples(self, inputs: Any, labels: Tensor) -> Samples:
        """Return raw inputs and their labels as samples in memory."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        ...

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what `to_dict` gave."""
        ...


_BY_KIND: dict[str, type[Preprocessor]] = {
    "image": ImagePreprocessor,
    "table": TablePreprocessor,
    "text": TextPreprocessor,
    "subword": SubwordPreprocessor,
    "blocks": BlockPreprocessor,
    "tags": TagPreprocessor,
    "masks": MaskPreprocessor,
}


def preprocessor_from_dict(values: dict[str, Any]) -> Preprocessor:
    """Rebuild any preprocessor from its `to_dict`.

    Raises:
        InputError: The values are not those of a preprocessor.

    Example:
        >>> from associated_learning.data import TextPreprocessor
        >>> fitted = TextPreprocessor.fit(["good film", "bad film"])
        >>> preprocessor_from_dict(fitted.to_dict()) == fitted
        True
    """
    kind = values.get("kind")
    if kind not in _BY_KIND:
        raise InputError(
            f"preprocessing of the kind {kind!r} is unknown: expected one of"
            f" {', '.join(_BY_KIND)}; is the file one that this library wrote?"
        )
    try:
        return _BY_KIND[kind].from_dict(values)
    except KeyError as error:
        raise InputError(
            f"the preprocessing of kind {kind!r} lacks the entry {error}: the file is"
            " truncated or of another version"
        ) from error
