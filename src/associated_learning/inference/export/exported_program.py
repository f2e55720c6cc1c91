"""A prefix as a program of ``torch.export``: a graph, that runs without the code of its layers."""

from __future__ import annotations

import warnings
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

__all__ = ["export_program", "takes_any_length", "trial"]

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
            what the layers take. Layers that take one length alone, such as those of columns of
            categories, are exported with it, under a warning.

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
    asked = any_length and any(which is not None for which in model.signature.lengths)
    try:
        with torch.no_grad():
            program = _exported(model, x, device_of(net), asked)
    except Exception as error:  # torch raises errors of a dozen types here
        raise InputError(
            f"the first {net.check_depth(depth)} layers cannot be exported: "
            f"{str(error).strip().splitlines()[0]} Layers must not branch on values of tensors."
        ) from error
    if asked and not takes_any_length(program):
        warnings.warn(
            "the layers take sequences of one length alone, and so does what was exported; pass "
            "any_length=False to say that this is meant",
            stacklevel=2,
        )
    return program


def trial(x: Any, length: int | None = None, samples: int = 3) -> tuple[Tensor, ...]:
    """Return the tensors of a batch like ``x``, of some samples, and of a length."""
    signature = Signature.of(x)
    tensors = signature.apart(to_device(x, torch.device("cpu")))
    found = [tensor[torch.arange(samples) % len(tensor)] for tensor in tensors]
    if length is None:
        return tuple(found)
    for i, which in enumerate(signature.lengths):
        if which is not None:  # lengths that differ in the batch differ here, too
            found[i] = found[i][:, torch.arange(length + which) % found[i].shape[1]]
        elif signature.kind is PaddedSequence:
            found[i] = found[i].clamp(max=length)
    return tuple(found)


def takes_any_length(program: ExportedProgram) -> bool:
    """Whether a program's inputs may be longer or shorter than those it was made with."""
    inputs = set(program.graph_signature.user_inputs)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.name in inputs]
    return any(not isinstance(size, int) for shape in shapes for size in shape[1:])


def _exported(
    model: TensorModel, x: Any, device: torch.device, any_length: bool
) -> ExportedProgram:
    """Try lengths of any size first, then those in a range that torch finds, then the batch's."""
    signature = model.signature
    if any_length:
        tensors = to_device(trial(x, _LENGTH), device)
        for free in (True, False):
            shapes = _axes(signature, free=free)
            try:
                return torch.export.export(model, tensors, dynamic_shapes=(shapes,), strict=False)
            except Exception:  # of types of torch's own that it does not publish
                continue
    tensors = to_device(trial(x), device)
    shapes = tuple({0: Dim("batch", min=1)} for _ in tensors)
    return torch.export.export(model, tensors, dynamic_shapes=(shapes,), strict=False)


def _axes(signature: Signature, *, free: bool) -> tuple[dict[int, Any], ...]:
    """Return each tensor's axes that differ: learned positions take a range of lengths."""
    batch = Dim("batch", min=1)
    found = {which for which in signature.lengths if which is not None}
    names = {which: f"length{which or ''}" for which in found}
    lengths = {w: Dim(name, min=1) if free else Dim.DYNAMIC for w, name in names.items()}
    return tuple(
        {0: batch} if which is None else {0: batch, 1: lengths[which]}
        for which in signature.lengths
    )
