"""The classifier on top of a model, which its AL form replaces by bridges and decoders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from associated_learning.conversion.tracing.call import Call, Recording, first_tensor, leaves
from associated_learning.errors import InputError, nearest

__all__ = ["Head", "answering_map", "head_begins", "head_of"]

# what a classifier may do with its last map's output; any other function makes it a layer
_SCORES = {
    "softmax", "logsoftmax", "log_softmax", "sigmoid", "identity", "float", "to", "view", "reshape",
    "clone", "contiguous",
}  # fmt: skip
# of a classifier of two classes, whose one score a sample is often handed out as [B]
_OF_ONE_SCORE = _SCORES | {"squeeze", "flatten", "ravel", "__getitem__", "select"}
_MOVED = {"permute", "transpose", "movedim"}
Head = Literal["auto"] | None | Sequence[str]


def head_begins(recording: Recording, head: Head) -> int:
    """Return the time at which the head begins; what is made before and used after are features.

    Args:
        recording: The model's run.
        head: Names of the head's modules; None for a model without one; "auto" takes the
            modules with parameters after the base model of transformers, else a linear map that
            gives the output, else a last linear map whose weights are those of an embedding.

    Raises:
        InputError: A name is not that of a module that was called.
    """
    root = recording.root
    if head is None:
        return root.end
    if head == "auto":
        found = _around_base_model(recording) or _last_linear(root) or _tied_linear(root)
        return found or root.end
    calls = recording.by_path()
    if isinstance(head, str):
        raise InputError(f"head={head!r} came; expected 'auto', None, or a list: [{head!r}].")
    for name in head:
        if name not in calls:
            raise InputError(unknown_module(name, calls))
    return min(calls[name].begin for name in head)


def answering_map(root: Call, positions: int) -> list[str] | None:
    """Return the name of a last linear map, or convolution of one pixel, that gives all answers."""
    output, last = first_tensor(root.output), _last_holder(root)
    if output is None or last is None or not last.path or not isinstance(last.output, Tensor):
        return None
    pixelwise = isinstance(last.module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and all(
        size == 1 for size in last.module.kernel_size
    )
    if not (pixelwise or isinstance(last.module, nn.Linear)):
        return None
    after = {_name(c) for c in root.walk() if not c.children and c.begin > last.end}
    whole = last.output.numel() == output.numel() and last.output.dim() == 2 + positions
    return [last.path] if whole and after <= _SCORES | _MOVED else None


def head_of(root: Call, end: int) -> str | None:
    """Return the name of the one module that makes the model's output of its features.

    Returns:
        None if it is several modules, or something happens after it.
    """
    calls = [
        call
        for call in root.walk()
        if call.holds_weights and call.begin >= end and call.parent is not None
        if call.parent.begin < end
    ]
    if len(calls) != 1 or not calls[0].path:
        return None
    own, whole = calls[0].output, first_tensor(root.output)
    if not isinstance(own, Tensor) or whole is None or own.shape != whole.shape:
        return None
    same = own is whole or (not (own.is_meta or whole.is_meta) and torch.equal(own, whole))
    return calls[0].path if same else None


def unknown_module(name: str, called: Iterable[str]) -> str:
    """Return the message for a name that no called module has, with the nearest one."""
    known = list(called)
    inside = [path for path in known if path.startswith(f"{name}.")]
    what = "is only a container, which is not called itself" if inside else "was not called"
    hint = nearest(name, inside[:1] or known, cutoff=0.0)
    return f"module {name!r} came, but it {what} when the model ran on the example.{hint}"


def _around_base_model(recording: Recording) -> int | None:
    prefix = getattr(recording.model, "base_model_prefix", None)
    base = getattr(recording.model, prefix, None) if isinstance(prefix, str) and prefix else None
    if not isinstance(base, nn.Module):
        return None
    call = next((call for call in recording.root.walk() if call.target is base), None)
    if call is None:
        return None
    after = (other for other in recording.root.walk() if other.begin > call.end)
    return next((call.begin for call in after if call.holds_weights), None)


def _last_linear(root: Call) -> int | None:
    """A linear map whose ``[B, C]`` is the model's output, but for functions without weights.

    Its ``[B, 1]`` may be handed out as ``[B]``.
    """
    output, last = first_tensor(root.output), _last_holder(root)
    if output is None or last is None or not isinstance(last.module, nn.Linear):
        return None
    scores = last.output
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        return None
    after = {
        _name(c)
        for c in root.walk()
        if not (c.children or _is_other_head(root, c)) and c.begin > last.end
    }
    whole = scores.shape == output.shape and after <= _SCORES
    one = scores.shape == (*output.shape, 1) and after <= _OF_ONE_SCORE
    return last.begin if whole or one else None


def _last_holder(root: Call) -> Call | None:
    """Return the last call of a module with parameters and without recorded calls inside.

    Linear maps that give outputs of the model beside its first are left out: they are other heads.
    """
    holders = [call for call in root.walk() if not call.children and call.holds_weights]
    while holders and _is_other_head(root, holders[-1]):
        del holders[-1]
    return holders[-1] if holders else None


def _is_other_head(root: Call, call: Call) -> bool:
    others = [one for one in leaves(root.output) if one is not first_tensor(root.output)]
    return isinstance(call.module, nn.Linear) and any(call.output is one for one in others)


def _tied_linear(root: Call) -> int | None:
    """A last linear map that scores words by the vectors which an embedding gives them."""
    last = _last_holder(root)
    if last is None or not isinstance(last.module, nn.Linear):
        return None
    embeddings = (call.module for call in root.walk() if isinstance(call.module, nn.Embedding))
    tied = any(embedding.weight is last.module.weight for embedding in embeddings)
    return last.begin if tied else None


def _name(call: Call) -> str:
    kind = type(call.module).__name__ if call.module is not None else call.target.__name__
    return str(kind).lower()
