"""What a store can keep: tensors whose values and layout are all that there is to them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.state.tensor_file import DTYPES
from associated_learning.tensors.hollow import is_hollow
from associated_learning.tensors.strides import shared_memory

__all__ = ["check_storable"]


def check_storable(tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors come back from a store as they went there.

    Raises:
        InputError: One is sparse, quantized or of a type that no file holds, or two share memory.
    """
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.dtype not in DTYPES:
            kind = str(tensor.dtype if tensor.layout is torch.strided else tensor.layout)
            raise InputError(
                f"{name} came as {kind}, which a store cannot keep; expected a dense tensor of a "
                "type that safetensors files hold. Register it with persistent=False, so that it "
                "stays in memory, or use executor='sequential'."
            )
    pair = shared_memory({name: t for name, t in tensors.items() if not is_hollow(t)})
    if pair is not None:
        raise InputError(
            f"{pair[0]} and {pair[1]} lie in the same memory, where an update of one is one of the "
            "other; in a store they would be two. Clone one of them, make them one parameter, or "
            "use executor='sequential'."
        )
