"""Checks of the batches that users bring: what does not fit is told before torch trips over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from associated_learning.errors import AssociatedLearningError, InputError
from associated_learning.tensors.nested import tensors_in

__all__ = ["as_pair", "check_batch", "check_finite", "explained"]

_BY_CHANCE = 16  # of a tenth of the masked tokens that stay, so many alone come never
LABELS = ("labels", "label")  # what collators and data sets of transformers name them


def check_finite(x: Any, what: str) -> None:
    """Raise InputError if a tensor of ``x`` holds NaN or infinity."""
    for tensor in tensors_in(x):
        if tensor.is_meta or not tensor.is_floating_point():
            continue
        if not bool(torch.isfinite(tensor).all()) and not _is_additive_mask(tensor):
            bad = int((~torch.isfinite(tensor)).sum())
            raise InputError(
                f"{bad} NaN or infinite values came in the {what} of shape "
                f"{list(tensor.shape)}; remove or impute them before training or prediction."
            )


def _is_additive_mask(tensor: Tensor) -> bool:
    """Whether a tensor holds zeros and minus infinity alone: a mask that is added to scores."""
    return bool(((tensor == 0) | (tensor == -torch.inf)).all())


def as_pair(batch: Any, number: int) -> tuple[Any, Any]:
    """Return the inputs and targets of a batch: a pair, or a mapping with ``labels``.

    Of a mapping all else is the input, a dictionary of the arguments of a converted model.

    Raises:
        InputError: It is neither.

    Example:
        >>> import torch
        >>> ids, y = torch.zeros(2, 3).long(), torch.tensor([0, 1])
        >>> x, y = as_pair({"input_ids": ids, "labels": y}, number=0)
        >>> list(x), y.tolist()
        (['input_ids'], [0, 1])
    """
    if isinstance(batch, Mapping):
        found = [name for name in LABELS if name in batch]
        if len(found) == 1:
            x, y = {key: batch[key] for key in batch if key != found[0]}, batch[found[0]]
            if number == 0:
                _check_shifted(x, y)
            return x, y
        raise InputError(
            f"batch {number} is a dictionary of {', '.join(map(str, batch))}; expected inputs and "
            "labels. Rename the column of the targets, or collate pairs (x, y)."
        )
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise InputError(
            f"batch {number} is of type {type(batch).__name__}; expected a pair (x, y), or a "
            "dictionary with labels. Give the DataLoader a collate_fn that returns one."
        )
    return batch[0], batch[1]


def _check_shifted(x: Mapping[str, Any], y: Any) -> None:
    """Raise InputError where the labels are the input's own tokens, which a network would copy.

    So collators give them for models of transformers that shift them inside; a few may be the same
    by chance, as a masked language model keeps some tokens.
    """
    ids = x.get("input_ids")
    if not (isinstance(ids, Tensor) and isinstance(y, Tensor) and ids.shape == y.shape):
        return
    counted = y >= 0  # others, such as -100, are left out
    if int(counted.sum()) >= _BY_CHANCE and bool((ids == y)[counted].all()):
        raise InputError(
            "the labels are the input_ids themselves, as collators of transformers give them for "
            "models that shift them inside; a network would learn to copy. Give the next tokens: "
            "labels = F.pad(input_ids[:, 1:], (0, 1), value=-100)."
        )


def check_batch(x: Any, y: Any, number: int) -> None:
    """Raise InputError if a batch is no pair of inputs and targets for the same samples.

    Of several inputs some may be the same for all samples, such as a mask ``[T, T]``.
    """
    if not isinstance(y, Tensor):
        raise InputError(
            f"batch {number} has targets of type {type(y).__name__}; expected a tensor."
        )
    check_finite(x, f"inputs of batch {number}")
    sizes = {len(tensor) if tensor.dim() else 0 for tensor in tensors_in(x)}
    if not y.dim() or len(y) == 0 or len(y) not in sizes:
        raise InputError(
            f"batch {number} has targets of shape {list(y.shape)} for inputs of {sorted(sizes)} "
            "samples; expected tensors whose first dimension is the batch, of at least one sample. "
            "Of single samples a DataLoader makes batches: DataLoader(data, batch_size=32)."
        )


@contextmanager
def explained(what: str, x: Any) -> Iterator[None]:
    """Raise an InputError that begins with ``what`` where inputs do not fit a model."""
    try:
        yield
    except (AssociatedLearningError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        shapes = ", ".join(f"{list(part.shape)} {part.dtype}" for part in tensors_in(x))
        raise InputError(
            f"{what} (inputs {shapes}): {error}. Check the shapes and types of the data against "
            "the model."
        ) from error
