"""The classifier on top of a model, which its AL form replaces by bridges and decoders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from torch import Tensor, nn

from associated_learning.conversion.tracing.call import Call, Recording, first_tensor
from associated_learning.errors import InputError, nearest

__all__ = ["Head", "head_begins"]

# what a classifier may do with its last map's output; any other function makes it a layer
_SCORES = {
    "softmax", "logsoftmax", "log_softmax", "sigmoid", "identity", "float", "to", "view", "reshape",
    "clone", "contiguous",
}  # fmt: skip
Head = Literal["auto"] | None | Sequence[str]


def head_begins(recording: Recording, head: Head) -> int:
    """Return the time at which the head begins; what is made before and used after are features.

    Args:
        recording: The model's run.
        head: Names of the head's modules; None for a model without one; "auto" takes the
            modules with parameters after the base model of transformers, else a linear map that
            gives the output.

    Raises:
        InputError: A name is not that of a module that was called.
    """
    root = recording.root
    if head is None:
        return root.end
    if head == "auto":
        return _around_base_model(recording) or _last_linear(root) or root.end
    calls = recording.by_path()
    if isinstance(head, str):
        raise InputError(f"head={head!r} came; expected 'auto', None, or a list: [{head!r}].")
    for name in head:
        if name not in calls:
            raise InputError(unknown_module(name, calls))
    return min(calls[name].begin for name in head)


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
    """A linear map whose ``[B, C]`` is the model's output, but for functions without weights."""
    output = first_tensor(root.output)
    holders = [call for call in root.walk() if not call.children and call.holds_weights]
    if output is None or output.dim() != 2 or not holders:
        return None
    last = holders[-1]
    after = {_name(c) for c in root.walk() if not c.children and c.begin > last.end}
    whole = isinstance(last.output, Tensor) and last.output.shape == output.shape
    ends = whole and after <= _SCORES
    return last.begin if isinstance(last.module, nn.Linear) and ends else None


def _name(call: Call) -> str:
    kind = type(call.module).__name__ if call.module is not None else call.target.__name__
    return str(kind).lower()
