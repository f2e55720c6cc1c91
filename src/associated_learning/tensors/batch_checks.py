"""Checks of the batches that users bring: what does not fit is told before torch trips over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from associated_learning.errors import AssociatedLearningError, InputError
from associated_learning.tensors.nested import tensors_in

__all__ = ["check_batch", "check_finite", "explained"]


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
            "samples; expected tensors whose first dimension is the batch, of at least one sample."
        )


@contextmanager
def explained(what: str, x: Any) -> Iterator[None]:
    """Turn what torch raises at inputs that do not fit a model into an InputError.

    Args:
        what: What cannot be done, the start of the message.
        x: The inputs.
    """
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
