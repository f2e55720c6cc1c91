"""When a sample leaves: a measure of confidence, and a threshold for it at every depth."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from associated_learning.errors import InputError
from associated_learning.inference.exits.confidence import measure_named

__all__ = ["ExitPolicy"]


@dataclass(frozen=True, kw_only=True)
class ExitPolicy:
    """A sample leaves at the first depth where its confidence reaches the threshold.

    Who leaves nowhere gets the answer of the last layer.

    Attributes:
        measure: How sure an exit is: "probability" (the largest), "margin" (to the second),
            "entropy", "patience" (exits in a row with the same answer) or "prototype" (distance
            of ``b_k(s_k)`` to the nearest label's ``t_k``).
        thresholds: Confidence needed at depth 1, 2, ..., L - 1; None where nobody leaves, so that
            the exit is not computed.
        temperatures: What logits are divided by at depth 1, 2, ..., L; 1 leaves them alone.

    Example:
        >>> ExitPolicy(measure="margin", thresholds=(0.9, None), temperatures=(1.0, 1.0, 1.0)).depth
        3
    """

    measure: str
    thresholds: tuple[float | None, ...]
    temperatures: tuple[float, ...]

    def __post_init__(self) -> None:
        measure_named(self.measure)
        if len(self.temperatures) != len(self.thresholds) + 1:
            raise InputError(
                f"{len(self.thresholds)} thresholds and {len(self.temperatures)} temperatures "
                "came; expected one temperature for every depth, and one threshold for each but "
                "the last."
            )
        if any(t is not None and math.isnan(t) for t in self.thresholds):
            raise InputError(f"thresholds {self.thresholds} came; NaN is reached by no sample.")
        if not all(t > 0 and math.isfinite(t) for t in self.temperatures):
            raise InputError(f"temperatures {self.temperatures} came; expected positive numbers.")

    @classmethod
    def constant(cls, measure: str, threshold: float, depth: int) -> ExitPolicy:
        """Return the policy with one threshold at every depth, and no calibration."""
        return cls(
            measure=measure, thresholds=(threshold,) * (depth - 1), temperatures=(1.0,) * depth
        )

    @property
    def depth(self) -> int:
        """Number of layers of the network that it is for."""
        return len(self.temperatures)

    def asks(self, depth: int) -> bool:
        """Whether the exit at a depth is computed: somebody may leave, or its answer counts."""
        if depth == self.depth or self.measure == "patience":
            return True
        return self.thresholds[depth - 1] is not None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, to be written; `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> ExitPolicy:
        """Return the policy that `to_json` wrote. Raises InputError for anything else."""
        try:
            return cls(
                measure=str(value["measure"]),
                thresholds=tuple(None if t is None else float(t) for t in value["thresholds"]),
                temperatures=tuple(float(t) for t in value["temperatures"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"a {type(value).__name__} came that is no exit policy ({error!r}); expected what "
                "ExitPolicy.to_json returns."
            ) from error
