"""A prefix as other programs call it: tensors by name go in, one tensor comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from associated_learning.conversion.tracing.structures import collected, filled, slots, templated
from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.tensors.copying import copied
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["OUTPUT", "Signature", "TensorModel", "tensor_model"]

OUTPUT = "output"  # the name of t'_0


class Signature(NamedTuple):
    """How a batch is taken apart into tensors, and put together again.

    Attributes:
        kind: Its type: `PaddedSequence`, `dict`, `tuple` or `Tensor`.
        names: Of its tensors, in order.
        lengths: For each tensor, which of the batch's lengths the second axis has, counted from
            0; None if it has none. Tensors that are equally long share one.
        form: The batch with the tensors' names in their places, and with what is no tensor.
    """

    kind: type
    names: tuple[str, ...]
    lengths: tuple[int | None, ...]
    form: Any

    @classmethod
    def of(cls, x: Any) -> Signature:
        """Return the signature of a batch.

        Raises:
            InputError: It holds no tensor.
        """
        if isinstance(x, PaddedSequence) and x.state is None:
            return cls(PaddedSequence, ("values", "lengths"), (0, None), None)
        if isinstance(x, Tensor):
            return cls(Tensor, ("x",), _lengths([x]), None)
        form = _form(x)
        names = tuple(slots(form))
        if not names:
            raise InputError(
                f"inputs of type {type(x).__name__} came; what is exported takes a tensor, a "
                "PaddedSequence, or a dict or tuple with tensors. Give example inputs of such a "
                "form."
            )
        kind = dict if isinstance(x, Mapping) else tuple
        found = dict(collected(form, x, "inputs"))
        return cls(kind, names, _lengths([found[name] for name in names]), form)

    def apart(self, x: Any) -> tuple[Tensor, ...]:
        """Return the tensors of a batch."""
        if self.kind is Tensor:
            return (x,)
        if self.kind is PaddedSequence:
            return tuple(x[: len(self.names)])
        found = dict(collected(self.form, x, "inputs"))
        return tuple(found[name] for name in self.names)

    def together(self, tensors: tuple[Tensor, ...]) -> Any:
        """Return the batch that `apart` took apart."""
        if self.kind is Tensor:
            return tensors[0]
        if self.kind is PaddedSequence:
            return PaddedSequence(*tensors)
        return filled(self.form, dict(zip(self.names, tensors, strict=True)))


class TensorModel(nn.Module):
    """A model that takes its batch as tensors."""

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
    prefix = net.in_memory(depth).prefix(depth)
    return TensorModel(copied(prefix), Signature.of(x)).eval()


def _form(x: Any) -> Any:
    """Return a batch with names in its tensors' places: their keys, or ``x0``, ``x1``, ..."""
    if isinstance(x, Mapping):
        return {key: templated(value, str(key)) for key, value in x.items()}
    if isinstance(x, tuple) and not isinstance(x, PaddedSequence):
        return tuple(templated(value, f"x{i}") for i, value in enumerate(x))
    return None


def _lengths(tensors: Sequence[Tensor]) -> tuple[int | None, ...]:
    """Return which length each tensor has: ids are whole numbers ``[B, T]``, masks as long."""
    ids = [t for t in tensors if t.dim() == 2 and _whole(t) and t.dtype is not torch.bool]
    known = list(dict.fromkeys(tensor.shape[1] for tensor in ids))
    return tuple(
        known.index(t.shape[1]) if t.dim() == 2 and _whole(t) and t.shape[1] in known else None
        for t in tensors
    )


def _whole(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex()
