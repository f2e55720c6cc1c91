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
    """Root of all errors raised by this library; the command line shows only its message."""


class InputError(AssociatedLearningError, ValueError):
    """A value handed in by the user does not fit: data, labels, shapes, names or settings."""


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
    """A saved file is truncated, foreign, of another configuration, or cannot be written."""


class NonFiniteLossError(AssociatedLearningError, ArithmeticError):
    """The loss of a layer became NaN or infinite; names the layer and the batch."""


class PipelineError(AssociatedLearningError, RuntimeError):
    """Another process of a pipeline ended, hangs or is out of reach; names its rank."""


class VerificationError(AssociatedLearningError, AssertionError):
    """A network does not keep what AL promises; shows everything that was checked."""
