"""A prefix as a program of ``torch.export``: a graph, that runs without the code of its layers."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from associated_learning.errors import InputError
from associated_learning.inference.export.tensors import Signature, TensorModel, tensor_model
from associated_learning.network import Network
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.nested import to_device
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["export_program", "trial"]

_LENGTH = 7  # of the sequences with which a program is made; no number that means anything else


def export_program(
    net: Network, x: Any, depth: int | None = None, *, any_length: bool = True
) -> ExportedProgram:
    """Export the first layers as one graph (Algorithm 3 at a fixed depth).

    Save it with ``torch.export.save`` and run it with ``torch.export.load(file).module()``; where
    LSTM layers are in it, import this library before it is loaded. Samples that leave early
    depend on the data and cannot be in a graph: export the prefixes, and choose between them.

    Args:
        net: The network.
        x: A batch of inputs, of any number of samples.
        depth: 1 to `Network.num_layers`; all layers by default.
        any_length: Whether token sequences may be of another length than those of ``x``, up to
            what the layers take.

    Returns:
        The program. It takes the tensors of a batch, in order; any number of samples.

    Raises:
        InputError: The depth is out of range, or torch cannot trace the layers.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layer = al.ALLayer(
        ...     f=nn.Linear(4, 8), b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)
        ... )
        >>> net = al.ALNetwork([layer], target=al.Classes(3))
        >>> program = export_program(net, torch.randn(2, 4))
        >>> program.module()(torch.randn(6, 4)).shape
        torch.Size([6, 3])
    """
    model = tensor_model(net, x, depth)
    tensors = to_device(trial(x, _LENGTH if any_length else None), device_of(net))
    try:
        with torch.no_grad():
            return _exported(model, tensors, any_length)
    except Exception as error:  # torch raises errors of a dozen types here
        raise InputError(
            f"the first {net.check_depth(depth)} layers cannot be exported: "
            f"{str(error).strip().splitlines()[0]} Layers must not branch on values of tensors"
            + ("; or the length is fixed in them: try any_length=False." if any_length else ".")
        ) from error


def trial(x: Any, length: int | None = None, samples: int = 3) -> tuple[Tensor, ...]:
    """Return the tensors of a batch like ``x``, of some samples, and of a length."""
    signature = Signature.of(x)
    tensors = signature.apart(to_device(x, torch.device("cpu")))
    found = [tensor[torch.arange(samples) % len(tensor)] for tensor in tensors]
    if length is None:
        return tuple(found)
    for i, axis in enumerate(signature.lengths):
        if axis is not None:
            found[i] = found[i][:, torch.arange(length) % found[i].shape[1]]
        elif signature.kind is PaddedSequence:
            found[i] = found[i].clamp(max=length)
    return tuple(found)


def _exported(model: TensorModel, tensors: tuple[Tensor, ...], any_length: bool) -> ExportedProgram:
    export = functools.partial(torch.export.export, model, tensors, strict=False)
    if not any_length:
        return export(dynamic_shapes=(_axes(model.signature, None),))
    try:
        return export(dynamic_shapes=(_axes(model.signature, Dim("length", min=1)),))
    except Exception:  # of a type of torch's own that it does not publish
        # layers that learn positions take lengths in a range of their own: let torch find it
        return export(dynamic_shapes=(_axes(model.signature, Dim.DYNAMIC),))


def _axes(signature: Signature, length: Any) -> tuple[dict[int, Any], ...]:
    batch = Dim("batch", min=1)
    return tuple(
        {0: batch} if axis is None or length is None else {0: batch, axis: length}
        for axis in signature.lengths
    )
