"""What a training run has done so far, as values that can be saved and resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from associated_learning.conversion.html_table import html_table
from associated_learning.state.curves import draw_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Candidates", "EpochRecord", "StageTime", "TrainingState"]


class StageTime(NamedTuple):
    """When a stage of a pipeline worked on a batch.

    Attributes:
        first: Number of its first layer (block), from 1.
        last: Number of its last one.
        begin: In seconds of the monotonic clock of the machine where the run began.
        end: Likewise.
        replica: Which replica of the stage, from 0.
    """

    first: int
    last: int
    begin: float
    end: float
    replica: int = 0


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One finished epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        step: Number of weight updates so far.
        losses: Mean training losses by name, one dict a block, from the input up.
        scores: Validation score at depth 1, 2, ..., L, the larger the better; empty without a
            validation set.
        validation_losses: Loss of the output on the validation set at each depth.
        lr: Learning rate of each block in this epoch; 0 for a frozen one.
        seconds: Time of the training part of the epoch.
        validation_seconds: Time of the validation.
    """

    epoch: int
    step: int
    losses: list[dict[str, float]]
    scores: list[float]
    validation_losses: list[float]
    lr: list[float]
    seconds: float
    validation_seconds: float

    def best_depth(self, most: int | None = None) -> int:
        """Return the depth of the best score; of equals that of the least loss, then the lowest.

        Args:
            most: The largest depth that counts; all by default.
        """
        judged = list(zip(self.scores, self.validation_losses, strict=True))[:most]
        return 1 + max(range(len(judged)), key=lambda i: (judged[i][0], -judged[i][1]))


class Candidates(NamedTuple):
    """Which depths of a finished epoch may be the best so far, and how they compare.

    Attributes:
        scores: Validation score by depth.
        layer_cost: What a layer must add to the score to be worth keeping.
        ties_by_loss: Whether of equal scores the one of less validation loss is better. A small
            validation set gives few different scores, most of them early; its loss goes on
            falling. Otherwise fewer layers are better, then an earlier epoch.
    """

    scores: Mapping[int, float]
    layer_cost: float = 0.0
    ties_by_loss: bool = False


@dataclass
class TrainingState:
    """Where a run stands: everything but weights and optimizers that resuming needs.

    Attributes:
        epoch: Number of the epoch under way, from 0.
        batch: Number of batches of it that are done.
        step: Number of weight updates in all.
        records: The finished epochs.
        best_epoch: Epoch of the best validation score, from 1; 0 if there is none.
        best_score: That score, at ``best_depth``.
        best_depth: Depth of that score: the number of layers, or where a network grows the number
            of those that are worth keeping.
        best_by_loss: Whether an earlier epoch had that score too, and the loss chose this one: then
            patience counts from the earlier one, because the score got no better.
        depth: Number of layers that train or are frozen now.
        frozen: Number of lowest layers that growth has frozen.
        sums: Sums of the losses over the batches of this epoch that are done.
        seconds: Training time of this epoch so far.
        stopped: Whether the run ended early, by its patience, its growth or a callback.
        stop_requested: Whether a callback asked for that.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    records: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = float("-inf")
    best_depth: int = 0
    best_by_loss: bool = False
    depth: int = 0
    frozen: int = 0
    sums: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False
    stop_requested: bool = False

    def stop(self) -> None:
        """Let training end with this epoch; for callbacks. The best epoch's weights are kept."""
        self.stop_requested = True

    def add_batch(self, losses: list[dict[str, float]], seconds: float) -> None:
        """Count one finished batch."""
        if not self.sums:
            self.sums = [dict.fromkeys(terms, 0.0) for terms in losses]
        for total, terms in zip(self.sums, losses, strict=True):
            for name, value in terms.items():
                total[name] += value
        self.batch += 1
        self.step += 1
        self.seconds += seconds

    def mean_losses(self) -> list[dict[str, float]]:
        """Return the mean losses over the batches of this epoch that are done."""
        count = max(self.batch, 1)
        return [{name: value / count for name, value in terms.items()} for terms in self.sums]

    def finish_epoch(self, record: EpochRecord, candidates: Candidates) -> bool:
        """Take in a finished epoch and return whether it is the best so far."""
        self.records.append(record)
        self.epoch, self.batch, self.sums, self.seconds = self.epoch + 1, 0, [], 0.0
        before, reached = self.best_epoch, self.best_score
        for depth, score in candidates.scores.items():
            if self._is_better(record, depth, candidates):
                self.best_epoch, self.best_score, self.best_depth = record.epoch, score, depth
        if self.best_epoch != before:
            self.best_by_loss = candidates.ties_by_loss and self.best_score == reached
        return self.best_epoch != before

    def _is_better(self, record: EpochRecord, depth: int, candidates: Candidates) -> bool:
        fewer = self.best_depth - depth
        gain = candidates.scores[depth] + candidates.layer_cost * fewer - self.best_score
        if gain != 0:
            return gain > 0  # NaN is never the best
        if candidates.ties_by_loss:
            best = self.records[self.best_epoch - 1].validation_losses[self.best_depth - 1]
            return record.validation_losses[depth - 1] < best
        return fewer > 0

    def plot(self) -> Figure:
        """Draw the validation score of every depth and the loss of every layer, by epoch.

        In a notebook the figure shows itself; elsewhere ``state.plot().savefig("curves.png")``.

        Raises:
            InputError: Matplotlib is not installed.
        """
        return draw_curves({"": self.records})

    def _repr_html_(self) -> str:
        depths = max((len(record.scores) for record in self.records), default=0)
        layers = max((len(record.losses) for record in self.records), default=0)
        header = [f"loss, layer {i + 1}" for i in range(layers)]
        header += [f"score, depth {i + 1}" for i in range(depths)]
        rows = [
            (
                str(record.epoch),
                *_cells([sum(terms.values()) for terms in record.losses], layers),
                *_cells(record.scores, depths),
                f"{record.seconds:.1f}",
            )
            for record in self.records
        ]
        best = f"; the best is epoch {self.best_epoch}" if self.best_epoch else ""
        title = f"{len(rows)} epochs, {self.step} updates{best}"
        marked = {self.best_epoch - 1}
        return html_table(title, ("epoch", *header, "seconds"), rows, marked=marked)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON-able values (an absent best score as null)."""
        state = asdict(self)
        return {**state, "best_score": self.best_score if self.best_epoch else None}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> TrainingState:
        """Return the state that `to_json` described."""
        records = [EpochRecord(**record) for record in state["records"]]
        best = float("-inf") if state["best_score"] is None else state["best_score"]
        return cls(**{**state, "records": records, "best_score": best})


def _cells(values: Sequence[float], count: int) -> list[str]:
    """Return numbers as cells; a network that grew had fewer at first."""
    return [f"{value:.4g}" for value in values] + [""] * (count - len(values))
