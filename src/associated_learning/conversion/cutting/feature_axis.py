"""Which axis of an activation holds its features, told by the operations that made it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from associated_learning.conversion.tracing.call import Call
from associated_learning.conversion.tracing.flow import Flow

__all__ = ["feature_axis", "steady_axis"]

_Known = dict[int, int | None]
_FARTHEST = 200  # tensors to follow back; what makes the features' axis is near, or nowhere
_FIRST = ("conv", "batch_norm", "group_norm", "instance_norm", "pool", "interpolate", "pixel_")
_LAST = ("linear", "layer_norm", "rms_norm", "embedding", "attention", "lstm", "gru", "rnn")
_PRODUCTS = ("bmm", "matmul", "mm", "__matmul__", "baddbmm")
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


def steady_axis(s: Tensor, halved: Tensor | None, batch_axis: int, axis: int) -> int:
    """Return the axis of the features, or another one, if that grows with the data.

    Args:
        s: An activation on the example.
        halved: The same on another number of positions or pixels, if the model takes one.
        batch_axis: The axis of the samples.
        axis: What the operations tell.
    """
    if halved is None or s.dim() != halved.dim() or s.shape[axis] == halved.shape[axis]:
        return axis
    steady = [i for i in range(s.dim()) if i != batch_axis and s.shape[i] == halved.shape[i]]
    return steady[-1] if steady else axis


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
    made = {**flow.state, **flow.values}
    sources = [source for source in call.tensors() if id(source) in made]
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
    if name in _PRODUCTS and len(sources) == 2:
        return _multiplied(flow, sources[0], sources[1], tensor, known)
    if name == "einsum" and isinstance(call.args[0], str):
        return _summed(flow, call.args[0], list(call.tensors()), known)
    for source in sources:
        if source.shape == tensor.shape:
            axis = _axis(flow, source, known)
            if axis is not None:
                return axis
    return _reshaped(flow, sources[0], tensor, known)


def _multiplied(
    flow: Flow, left: Tensor, right: Tensor, tensor: Tensor, known: _Known
) -> int | None:
    """Return the axis after a product of matrices: that of the columns, where they are features.

    In ``weights @ x`` the rows of the weights are, and the columns are positions.
    """
    if tensor.dim() < 2 or left.dim() < 2 or right.dim() < 2:
        return tensor.dim() - 1
    if _of_weights(flow, left) and not _of_weights(flow, right):
        return tensor.dim() - 2
    axis = _axis(flow, right, known)
    if axis is not None and axis == right.dim() - 2:
        return None  # features are summed over: scores of positions with positions
    return tensor.dim() - 1


def _of_weights(flow: Flow, tensor: Tensor) -> bool:
    """Whether a tensor depends on parameters alone."""
    value = flow.values.get(id(tensor)) or flow.state.get(id(tensor))
    return value is not None and value.sources > 1 and not value.sources & 1


def _summed(flow: Flow, equation: str, operands: list[Tensor], known: _Known) -> int | None:
    """Return the axis after an einsum: what the weights bring in, or the features of the data."""
    terms, _, result = equation.replace(" ", "").partition("->")
    parts = terms.split(",")
    if not result or "." in equation or len(parts) != len(operands):
        return None
    for part, operand in zip(parts, operands, strict=True):
        others = "".join(other for other in parts if other is not part)
        new = [letter for letter in part if letter in result and letter not in others]
        if _of_weights(flow, operand) and new:
            return result.index(new[-1])
    for part, operand in zip(parts, operands, strict=True):
        axis = None if _of_weights(flow, operand) else _axis(flow, operand, known)
        if axis is not None and part[axis] in result:
            return result.index(part[axis])
    return None


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
