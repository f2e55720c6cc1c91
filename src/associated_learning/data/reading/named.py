"""The data sets that are known by name, and their columns on the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass

from associated_learning.data.dataset import Kind

__all__ = ["DIGITS", "NAMED", "NamedSet", "data_set_names"]

DIGITS = "digits"


@dataclass(frozen=True, kw_only=True)
class NamedSet:
    """Where a data set lies and which columns it has.

    Attributes:
        hub: Name on the Hugging Face hub.
        kind: What the inputs are.
        columns: Input columns; several texts are joined by a space.
    """

    hub: str
    kind: Kind
    columns: tuple[str, ...]


NAMED = {
    "fashion_mnist": NamedSet(
        hub="zalando-datasets/fashion_mnist", kind="image", columns=("image",)
    ),
    "cifar10": NamedSet(hub="uoft-cs/cifar10", kind="image", columns=("img",)),
    "ag_news": NamedSet(hub="fancyzhx/ag_news", kind="text", columns=("text",)),
    "imdb": NamedSet(hub="stanfordnlp/imdb", kind="text", columns=("text",)),
    "sst2": NamedSet(hub="stanfordnlp/sst2", kind="text", columns=("sentence",)),
    "dbpedia_14": NamedSet(hub="fancyzhx/dbpedia_14", kind="text", columns=("title", "content")),
}


def data_set_names() -> tuple[str, ...]:
    """Return the names that `load` knows, the embedded one first.

    Example:
        >>> data_set_names()[:3]
        ('digits', 'fashion_mnist', 'cifar10')
    """
    return (DIGITS, *NAMED)
