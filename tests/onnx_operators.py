"""The operators that torch translates to ONNX, which it would list anew at every export."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from torch.onnx._internal._lazy_import import onnxscript_apis

__all__ = ["operators_listed_once"]


@pytest.fixture(autouse=True, scope="module")
def operators_listed_once() -> Iterator[None]:
    """Save a quarter of a second an export; the list is that of the installed package."""
    with pytest.MonkeyPatch.context() as patch:
        listed = functools.cache(onnxscript_apis.get_torchlib_ops)
        patch.setattr(onnxscript_apis, "get_torchlib_ops", listed)
        yield
