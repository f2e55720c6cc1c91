"""What the finished epochs of a training ask for: to go on, to end, or another network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from associated_learning.network import Network
from associated_learning.state.training_state import Candidates, EpochRecord, TrainingState
from associated_learning.training.growth.rules import Decision, Growth, decide

__all__ = ["EpochJudge", "Judge", "stalled_epochs"]

Judge = Literal["any", "full"]


@dataclass(frozen=True, kw_only=True)
class EpochJudge:
    """Chooses the depths that may be the best, and when training ends or the network changes.

    Attributes:
        net: The network.
        patience: Number of epochs without a better score after which to stop, if any.
        min_updates: Number of updates before which patience stops nothing.
        judge: By what depth an epoch is judged.
        growth: When the network grows; None if never.
    """

    net: Network
    patience: int | None
    min_updates: int
    judge: Judge
    growth: Growth | None

    def candidates(self, scores: list[float]) -> Candidates:
        """Return the depths of an epoch that may be the best, and how they compare.

        Args:
            scores: Those of all depths on the validation data; empty without such data.
        """
        if self.growth is not None:
            return Candidates(dict(enumerate(scores, start=1)), self.growth.min_gain)
        if self.judge == "any":
            return Candidates(self.net.candidates(scores) if scores else {}, ties_by_loss=True)
        return Candidates({len(scores): self.net.judged(scores)} if scores else {})

    def decide(self, state: TrainingState) -> Decision | None:
        """Return what becomes of the network; None where a growing one is inside an epoch."""
        if self.growth is None:
            return Decision(state.depth, state.frozen, over=self._is_out_of_patience(state))
        if not state.records or state.batch > 0:
            return None
        return decide(self.growth, state.records, frozen=state.frozen)

    def _is_out_of_patience(self, state: TrainingState) -> bool:
        validated = bool(state.records) and bool(state.records[-1].scores)
        if self.patience is None or not validated or state.step < self.min_updates:
            return False
        if self.judge == "any":
            return stalled_epochs(state.records) >= self.patience
        return state.epoch - state.best_epoch >= self.patience


def stalled_epochs(records: Sequence[EpochRecord]) -> int:
    """Return how many epochs ago some depth had its best validation score so far.

    Layers learn one above the other: while a lower depth still rises, those above it will follow.
    """
    bests: dict[int, tuple[float, int]] = {}
    for record in records:
        for depth, score in enumerate(record.scores):
            if depth not in bests or score > bests[depth][0]:
                bests[depth] = (score, record.epoch)
    return records[-1].epoch - max(epoch for _, epoch in bests.values())
