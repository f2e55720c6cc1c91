"""A prefix as other programs call it: tensors by name go in, one tensor comes out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.network import ALNetwork, Network
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["OUTPUT", "Signature", "TensorModel", "tensor_model"]

OUTPUT = "output"  # the name of t'_0


class Signature(NamedTuple):
    """How a batch is taken apart into tensors, and put together again.

    Attributes:
        kind: Its type: `PaddedSequence`, `dict`, `tuple` or `Tensor`.
        names: Of its tensors, in order.
        lengths: For each tensor, the axis along which batches differ in length; None for none.
    """

    kind: type
    names: tuple[str, ...]
    lengths: tuple[int | None, ...]

    @classmethod
    def of(cls, x: Any) -> Signature:
        """Return the signature of a batch.

        Raises:
            InputError: It is something else than a tensor, a `PaddedSequence`, or a mapping or
                tuple of tensors.
        """
        if isinstance(x, PaddedSequence) and x.state is None:
            return cls(PaddedSequence, ("values", "lengths"), (1, None))
        if isinstance(x, Tensor):
            return cls(Tensor, ("x",), (_length_axis(x),))
        named = dict(x) if isinstance(x, Mapping) else {}
        if isinstance(x, tuple) and not isinstance(x, PaddedSequence):
            named = {f"x{i}": value for i, value in enumerate(x)}
        if not named or not all(isinstance(value, Tensor) for value in named.values()):
            raise InputError(
                f"inputs of type {type(x).__name__} came; what is exported takes a tensor, a "
                "PaddedSequence, or a dict or tuple of tensors. Give example inputs of such a form."
            )
        kind = dict if isinstance(x, Mapping) else tuple
        return cls(kind, tuple(map(str, named)), tuple(map(_length_axis, named.values())))

    def apart(self, x: Any) -> tuple[Tensor, ...]:
        """Return the tensors of a batch."""
        if self.kind is Tensor:
            return (x,)
        if self.kind is dict:
            return tuple(x[name] for name in self.names)
        return tuple(x[: len(self.names)])

    def together(self, tensors: tuple[Tensor, ...]) -> Any:
        """Return the batch that `apart` took apart."""
        if self.kind is Tensor:
            return tensors[0]
        if self.kind is dict:
            return dict(zip(self.names, tensors, strict=True))
        return PaddedSequence(*tensors) if self.kind is PaddedSequence else tuple(tensors)


class TensorModel(nn.Module):
    """A model that takes its batch as tensors.

    Args:
        model: Takes the batch.
        signature: How the tensors make the batch.
    """

    def __init__(self, model: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.model = model
        self.signature = signature

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return ``t'_0``, ``[B, target.size]``."""
        output: Tensor = self.model(self.signature.together(tensors))
        return output


def tensor_model(net: Network, x: Any, depth: int | None = None) -> TensorModel:
    """Return a copy of the first layers (of a BP network: of all of it) as a `TensorModel`.

    It is in evaluation mode; the network stays as it is.

    Raises:
        InputError: The depth is out of range, or ``x`` of no form that can be exported.
    """
    depth = net.check_depth(depth)
    model = net.prefix(depth) if isinstance(net, ALNetwork) else net
    return TensorModel(copy.deepcopy(model), Signature.of(x)).eval()


def _length_axis(tensor: Tensor) -> int | None:
    """Return the axis of positions: token ids and their masks are whole numbers ``[B, T]``."""
    whole = not tensor.is_floating_point() and tensor.dtype is not torch.bool
    return 1 if tensor.dim() == 2 and whole else None
