"""JSON objects that carry a digest of themselves, which tells whether anything has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["sealed", "unsealed"]

_DIGEST = "digest"  # the last entry
_SIZE = 16  # bytes


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with a digest of itself as its last entry.

    Example:
        >>> unsealed(sealed({"epoch": 1}))
        {'epoch': 1}
    """
    as_read: dict[str, Any] = json.loads(json.dumps(value))  # keys are texts, tuples are lists
    return {**as_read, _DIGEST: _digest(as_read)}


def unsealed(value: Any) -> Any:
    """Return what `sealed` was given; what has no digest, as older files have none, as it is.

    Raises:
        ValueError: It has changed since.
    """
    if not isinstance(value, dict) or value.get(_DIGEST) is None:
        return value
    content = {name: entry for name, entry in value.items() if name != _DIGEST}
    if value[_DIGEST] != _digest(content):
        raise ValueError(
            f"its content does not fit its entry {_DIGEST!r}: the disk, a copy or somebody altered "
            "it. Restore it; or, to keep the change, remove that entry"
        )
    return content


def _digest(value: Mapping[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True).encode()
    return hashlib.blake2b(canonical, digest_size=_SIZE).hexdigest()
