"""Which axis of an activation holds its features, told by the operations that made it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from associated_learning.conversion.tracing.call import Call
from associated_learning.conversion.tracing.flow import Flow

__all__ = ["feature_axis"]

_Known = dict[int, int | None]
_FARTHEST = 200  # tensors to follow back; what makes the features' axis is near, or nowhere
_FIRST = ("conv", "batch_norm", "group_norm", "instance_norm", "pool", "interpolate", "pixel_")
_LAST = ("linear", "layer_norm", "rms_norm", "embedding", "attention", "lstm", "gru", "rnn")
_FIRST_MODULES = ("Conv", "BatchNorm", "GroupNorm", "InstanceNorm", "Pool", "Upsample", "PixelSh")


def feature_axis(flow: Flow, tensor: Tensor) -> int:
    """Return the axis of channels or features: 1 for images, the last for sequences of vectors.

    The operations are followed back from the tensor: convolutions and normalisations over a
    batch put channels first, linear maps and layer norms last, permutations move them, and
    whatever keeps the shape keeps them. Where that tells nothing, the second of four or more
    axes counts, else the last.
    """
    axis = _axis(flow, tensor, {})
    if axis is not None:
        return axis
    return 1 if tensor.dim() >= 4 else tensor.dim() - 1


def _axis(flow: Flow, tensor: Tensor, known: _Known) -> int | None:
    """Return the axis, or None; ``known`` holds the answers so far, by the tensor's id."""
    if id(tensor) not in known and len(known) < _FARTHEST:
        known[id(tensor)] = None
        known[id(tensor)] = _made(flow, tensor, known)
    return known.get(id(tensor))


def _made(flow: Flow, tensor: Tensor, known: _Known) -> int | None:
    value = flow.values.get(id(tensor))
    call = None if value is None else value.maker
    if call is None:
        return None
    if call.end and call.children:  # handed through by a module
        return _axis(flow, flow.recording.aliases[id(tensor)], known)
    name = getattr(call.target, "__name__", "")
    if _is_any(call, name, _FIRST_MODULES, _FIRST):
        return 1
    if isinstance(call.target, nn.Linear) or _is_any(call, name, ("Norm", "Embedding"), _LAST):
        return tensor.dim() - 1
    return _moved(flow, call, name, tensor, known)


def _is_any(call: Call, name: str, modules: tuple[str, ...], functions: tuple[str, ...]) -> bool:
    if call.module is not None:
        return any(part in type(call.module).__name__ for part in modules)
    return any(part in name for part in functions)


def _moved(
    flow: Flow, call: Call, name: str, tensor: Tensor, known: dict[int, int | None]
) -> int | None:
    """Return the axis after an operation that is no map of features."""
    sources = [source for source in call.tensors() if id(source) in flow.values]
    if not sources:
        return None
    if name == "permute" and sources[0].dim() == tensor.dim():
        axis = _axis(flow, sources[0], known)
        order = _ints(call)
        return None if axis is None or not order else [n % tensor.dim() for n in order].index(axis)
    if name in ("transpose", "swapaxes") and sources[0].dim() == tensor.dim():
        axis = _axis(flow, sources[0], known)
        a, b = (n % tensor.dim() for n in _ints(call)[:2])
        return None if axis is None else {a: b, b: a}.get(axis, axis)
    for source in sources:
        if source.shape == tensor.shape:
            axis = _axis(flow, source, known)
            if axis is not None:
                return axis
    return _reshaped(flow, sources[0], tensor, known)


def _reshaped(
    flow: Flow, source: Tensor, tensor: Tensor, known: dict[int, int | None]
) -> int | None:
    """Return the axis after a reshape that leaves the features' own axis whole."""
    axis = _axis(flow, source, known)
    if axis is None:
        return None
    if axis == source.dim() - 1 and source.shape[-1] == tensor.shape[-1]:
        return tensor.dim() - 1
    if axis == 1 and tensor.dim() > 1 and source.shape[1] == tensor.shape[1]:
        return 1
    return None


def _ints(call: Call) -> list[int]:
    found: list[int] = []

    def collect(part: Any) -> None:
        if isinstance(part, int):
            found.append(int(part))
        elif isinstance(part, (tuple, list)):
            for inner in part:
                collect(inner)

    collect((*call.args, *call.kwargs.values()))
    return found
