"""The errors this library raises; every message says what came, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = [
    "AssociatedLearningError",
    "CheckpointError",
    "ConversionError",
    "Fault",
    "InputError",
    "NonFiniteLossError",
    "PipelineError",
    "VerificationError",
    "nearest",
    "needs_extra",
]


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.4) -> str:
    """Return " Did you mean ...?" for the known name closest to ``name``, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {close[0]!r}?" if close else ""


class AssociatedLearningError(Exception):
    """Root of all errors raised by this library; the command line shows only its message.

    Example:
        >>> import associated_learning as al
        >>> try:
        ...     al.Classes(0)
        ... except al.AssociatedLearningError as error:
        ...     print(type(error).__name__)
        InputError
    """


class InputError(AssociatedLearningError, ValueError):
    """A value handed in by the user does not fit: data, labels, shapes, names or settings.

    Example:
        >>> import associated_learning as al
        >>> al.Trainer(epochs=0)
        Traceback (most recent call last):
        ...
        associated_learning.errors.InputError: epochs=0 came; expected at least 1, or None.
    """


@dataclass(frozen=True)
class Fault:
    """One reason why a model cannot be cut into layers.

    Attributes:
        place: Name of the cut, or of a module.
        what: What is wrong.
        remedy: What to do about it.
    """

    place: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}. {self.remedy}"


class ConversionError(InputError):
    """A model cannot be converted as asked.

    Attributes:
        faults: All reasons that were found, not only the first.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3))
        >>> try:
        ...     al.convert(model, torch.randn(2, 4), target=al.Classes(3), at=["2"])
        ... except al.ConversionError as error:
        ...     error.faults[0].place, error.faults[0].what
        ('2', 'it is part of the head, which is dropped')
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        reasons = "1 reason" if len(self.faults) == 1 else f"{len(self.faults)} reasons"
        lines = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(f"the model cannot be converted, for {reasons}:{lines}")


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Say what to install where an import inside of this block finds no package.

    Every import of a package that ``pip install associated_learning`` does not bring stands in
    such a block.

    Args:
        extra: The extra of ours that brings the package; see ``pyproject.toml``.
        what: What needs it, to begin the message with.

    Raises:
        InputError: A package is not installed, or cannot be imported.

    Example:
        >>> with needs_extra("plots", "the picture"):
        ...     import no_such_package
        Traceback (most recent call last):
        ...
        associated_learning.errors.InputError: the picture needs the package no_such_package, ...
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError)
        why = "is not installed" if absent else f"cannot be imported ({error})"
        raise InputError(
            f"{what} needs the package {package}, which {why}: "
            f"pip install 'associated_learning[{extra}]'"
        ) from error


class CheckpointError(AssociatedLearningError, RuntimeError):
    """A saved file is truncated, foreign, of another configuration, or cannot be written.

    Example:
        >>> import tempfile
        >>> import associated_learning as al
        >>> try:
        ...     al.Checkpoints(tempfile.mkdtemp()).path("last")
        ... except al.CheckpointError:
        ...     print("none yet")
        none yet
    """


class NonFiniteLossError(AssociatedLearningError, ArithmeticError):
    """The loss of a layer became NaN or infinite; names the layer and the batch.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, target = torch.randn(2, 4), al.Classes(3)
        >>> net = al.al_form([nn.Linear(4, 8)], x, target, latent=5)
        >>> optimizers = [torch.optim.SGD(net.parameters())]
        >>> t0 = target.encode(torch.tensor([0, 2]))
        >>> al.update_network(net.blocks(), optimizers, x * float("nan"), t0, step=7)
        Traceback (most recent call last):
        ...
        associated_learning.errors.NonFiniteLossError: the loss of layer 1 is not finite at ...
    """


class PipelineError(AssociatedLearningError, RuntimeError):
    """Another process of a pipeline ended, hangs or is out of reach; names its rank.

    Every rank raises it when one is killed, and the last checkpoint stays.

    Example:
        >>> import associated_learning as al
        >>> try:
        ...     raise al.PipelineError("rank 1 ended")
        ... except al.AssociatedLearningError as error:
        ...     print(f"start the run again: {error}")
        start the run again: rank 1 ended
    """


class VerificationError(AssociatedLearningError, AssertionError):
    """A network does not keep what AL promises; shows everything that was checked.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> lower = nn.Linear(6, 6)
        >>> class Thief(nn.Module):
        ...     def forward(self, s):
        ...         return lower(s)
        >>> x, y = torch.randn(4, 6), torch.arange(4) % 3
        >>> try:
        ...     al.verify(al.al_form([lower, Thief()], x, al.Classes(3)), (x, y))
        ... except al.VerificationError as error:
        ...     print(str(error).splitlines()[0])
        the network does not keep what AL promises:
    """
