"""The errors this library raises; every message says what came, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
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


class CheckpointError(AssociatedLearningError, RuntimeError):
    """A saved file is truncated, foreign, of another configuration, or cannot be written."""


class NonFiniteLossError(AssociatedLearningError, ArithmeticError):
    """The loss of a layer became NaN or infinite; names the layer and the batch."""


class PipelineError(AssociatedLearningError, RuntimeError):
    """Another process of a pipeline ended, hangs or is out of reach; names its rank."""


class VerificationError(AssociatedLearningError, AssertionError):
    """A network does not keep what AL promises; shows everything that was checked."""
