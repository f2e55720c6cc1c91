"""What tells whether two things are the same: samples by their content, encoders by theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from associated_learning.tensors.nested import tensors_in
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["DIGEST_SIZE", "encoder_digests", "sample_digests"]

DIGEST_SIZE = 16  # bytes: among a million samples, two get the same one with odds of 1 to 10^26


def sample_digests(x: Any) -> list[bytes]:
    """Return a digest of every sample of a batch, whatever its place, neighbours and padding.

    Args:
        x: Inputs: a structure of tensors whose first dimension is the batch.

    Example:
        >>> import torch
        >>> x = torch.eye(2)
        >>> sample_digests(x) == sample_digests(x.flip(0))[::-1]
        True
    """
    tensors = tensors_in(x)
    digests = [hashlib.blake2b(digest_size=DIGEST_SIZE) for _ in range(len(tensors[0]))]
    for tensor in tensors:
        ragged = isinstance(x, PaddedSequence) and tensor is x.values
        header = f"{tensor.dtype} {tuple(tensor.shape[2 if ragged else 1 :])}".encode()
        rows = _bytes(tensor)
        ends = [rows.shape[1]] * len(digests)
        if ragged:
            ends = [n * rows.shape[1] // tensor.shape[1] for n in x.lengths.tolist()]
        for digest, row, end in zip(digests, rows, ends, strict=True):
            digest.update(header)
            digest.update(row[:end])
    return [digest.digest() for digest in digests]


def encoder_digests(encoders: Iterable[nn.Module]) -> dict[str, str]:
    """Return digests of what encoders compute with: their weights (and buffers), and settings."""
    weights, settings = (hashlib.blake2b(digest_size=DIGEST_SIZE) for _ in range(2))
    for f in encoders:
        for name, tensor in (*f.named_parameters(), *f.named_buffers()):
            weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            weights.update(_bytes(tensor.reshape(1, -1))[0])
        settings.update(repr(f).encode())
    return {"weights": weights.hexdigest(), "settings": settings.hexdigest()}


def _bytes(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the bytes of every row of a tensor, ``[B, bytes]``."""
    rows = tensor.detach().cpu().reshape(len(tensor), -1).contiguous()
    return rows.view(torch.uint8).numpy()
