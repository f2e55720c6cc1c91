"""What the finished epochs of a training ask for: to go on, to end, or another network."""

from __future__ import annotations

from dataclasses import dataclass

from associated_learning.network import Network
from associated_learning.state.history import TrainingState
from associated_learning.training.growth.rules import Decision, Growth, decide

__all__ = ["EpochJudge"]


@dataclass(frozen=True, kw_only=True)
class EpochJudge:
    """Chooses the depths that may be the best, and when training ends or the network changes.

    Attributes:
        net: The network.
        patience: Number of epochs without a better score after which to stop, if any.
        growth: When the network grows; None if never.
    """

    net: Network
    patience: int | None
    growth: Growth | None

    def candidates(self, scores: list[float]) -> tuple[dict[int, float], float]:
        """Return the scores of the depths that may be kept, and what a layer must be worth.

        Args:
            scores: Those of all depths on the validation data; empty without such data.
        """
        if self.growth is not None:
            return dict(enumerate(scores, start=1)), self.growth.min_gain
        return ({len(scores): self.net.judged(scores)} if scores else {}), 0.0

    def decide(self, state: TrainingState) -> Decision | None:
        """Return what becomes of the network; None where a growing one is inside an epoch."""
        if self.growth is None:
            return Decision(state.depth, state.frozen, over=self._is_out_of_patience(state))
        if not state.records or state.batch > 0:
            return None
        return decide(self.growth, state.records, frozen=state.frozen)

    def _is_out_of_patience(self, state: TrainingState) -> bool:
        validated = bool(state.records) and bool(state.records[-1].scores)
        if self.patience is None or not validated:
            return False
        return state.epoch - state.best_epoch >= self.patience
