"""Which test samples a run answered rightly, packed small enough for a line of the ledger."""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np
import numpy.typing as npt

from associated_learning.errors import CheckpointError

__all__ = ["pack_answers", "unpack_answers"]


def pack_answers(right: npt.NDArray[np.bool_]) -> str:
    """Return which test samples are right, in their order: a bit each, compressed, as text.

    Example:
        >>> unpack_answers(pack_answers(np.array([True, False, True])), 3).tolist()
        [True, False, True]
    """
    return base64.b64encode(zlib.compress(np.packbits(right).tobytes(), 9)).decode()


def unpack_answers(text: str, count: int) -> npt.NDArray[np.bool_]:
    """Return what `pack_answers` was given.

    Raises:
        CheckpointError: The text holds something else.
    """
    try:
        packed = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), np.uint8)
    except (binascii.Error, zlib.error) as error:
        raise CheckpointError(f"answers cannot be unpacked ({error}).") from error
    if len(packed) != -(-count // 8):
        raise CheckpointError(f"{8 * len(packed)} answers came; expected those of {count} samples.")
    return np.unpackbits(packed, count=count).astype(np.bool_)
