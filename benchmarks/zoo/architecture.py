"""What the zoo knows of a model: how to build it small, and how to make a batch for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn

import associated_learning as al

__all__ = ["CLASSES", "PADDED", "Architecture", "Batch", "generator", "hugging_face"]

CLASSES = 3
PADDED = (True, True, False)
"""Whether the texts of batch 0, 1 and 2 hold padding: batch 2 has none."""

# transformers' 0.02 suits a width of 768; at a width of 32 nothing of the input would be left
# after some layers, and equality of features would show nothing
_SCALE = 0.2

_ONE_CLASS = al.Classes(CLASSES)

Batch = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row of the zoo.

    Attributes:
        name: Unique in the zoo.
        kind: "vision", "text", "audio", "video", "series", "plain", "hard", "positions" or
            "package".
        build: Makes the model; weights are drawn from torch's global generator.
        batch: From a number of samples and the batch's number to what the model is called
            with: a tensor, a tuple of positional arguments or a mapping of keyword arguments.
            Every number gives other values; see the kinds for what else differs.
        target: What y is.
        labels: From a batch to y; by default the classes in turn, one a sample.
        at: Where the layers begin.
        keeps_head: Whether the model's own head is to answer through all layers as before.
        refused: Part of the reason for which conversion is to refuse it; empty if it is not.
    """

    name: str
    kind: str
    build: Callable[[], nn.Module]
    batch: Callable[[int, int], Batch]
    target: al.Target = _ONE_CLASS
    labels: Callable[[Batch], Tensor] | None = None
    at: str | int | list[str] = "auto"
    keeps_head: bool = False
    refused: str = ""


def generator(n: int, number: int) -> torch.Generator:
    """Return the generator that batch ``number`` of ``n`` samples is drawn from."""
    return torch.Generator().manual_seed(1000 * number + n)


def hugging_face(
    prefix: str,
    head: str,
    kind: str,
    batch: Callable[[int, int], Batch],
    *,
    config: str | None = None,
    **settings: Any,
) -> Architecture:
    """Make an entry for ``transformers.<prefix><head>``, built from its configuration alone.

    Args:
        prefix: Start of the names of model and configuration, such as "Bert".
        head: End of the model's name, such as "ForSequenceClassification".
        kind: See `Architecture`.
        batch: See `Architecture`.
        config: Name of the configuration's class where it is not ``<prefix>Config``.
        settings: Of the configuration.
    """

    def build() -> nn.Module:
        chosen = {"num_labels": CLASSES, "initializer_range": _SCALE, **settings}
        made = getattr(transformers, config or f"{prefix}Config")(**chosen)
        model: nn.Module = getattr(transformers, prefix + head)(made)
        return model

    return Architecture(name=prefix, kind=kind, build=build, batch=batch)
