"""The errors this library raises; every message says what came, what was expected, what to do."""

__all__ = [
    "AssociatedLearningError",
    "CheckpointError",
    "InputError",
    "NonFiniteLossError",
]


class AssociatedLearningError(Exception):
    """Root of all errors raised by this library; the command line shows only its message."""


class InputError(AssociatedLearningError, ValueError):
    """A value handed in by the user does not fit: data, labels, shapes, names or settings."""


class CheckpointError(AssociatedLearningError, RuntimeError):
    """A saved file is truncated, foreign, of another configuration, or cannot be written."""


class NonFiniteLossError(AssociatedLearningError, ArithmeticError):
    """The loss of a layer became NaN or infinite; names the layer and the batch."""
