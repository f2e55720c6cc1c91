"""A callback that records when each stage worked, and draws it at the end."""

from __future__ import annotations

from pathlib import Path

from associated_learning.pipeline.timeline.gantt import plot_gantt
from associated_learning.pipeline.timeline.trace import Recorder, Trace, stage_names
from associated_learning.state.training_state import StageTime, TrainingState
from associated_learning.training.callbacks import Callback

__all__ = ["StageTrace"]


class StageTrace(Callback):
    """Records when each stage worked on the first batches; see `Trace` for what is made of it.

    Where a network grows, that is up to when the layers are divided anew.

    Args:
        num_steps: Number of batches to record, from the first of this process on.
        picture: Where a Gantt chart goes (PNG) when training ends; None for no picture.
        file: Where a trace for https://ui.perfetto.dev goes; None for none.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x = torch.randn(64, 4)
        >>> batches = al.LoaderBatches([(x, (x[:, 0] > 0).long())] * 8)
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, al.Classes(2), latent=8)
        >>> trace = al.StageTrace()
        >>> state = al.Trainer(epochs=1, executor="threads", stages=2).fit(
        ...     net, batches, callbacks=[trace]
        ... )
        >>> [(lane.name, lane.batches) for lane in trace.trace().summary().lanes]
        [('stage 1: layer 1', 8), ('stage 2: layer 2', 8)]
    """

    def __init__(
        self,
        num_steps: int = 1000,
        *,
        picture: Path | str | None = None,
        file: Path | str | None = None,
    ) -> None:
        self.num_steps = num_steps
        self.picture = picture
        self.file = file
        self._recorder: Recorder | None = None
        self._stages: list[tuple[int, int]] = []  # first and last layer of each

    def stages_done(self, step: int, times: list[StageTime]) -> None:
        stages = sorted({(time.first, time.last) for time in times})
        if self._recorder is None:
            self._stages = stages
            names = stage_names([last - first + 1 for first, last in stages])
            self._recorder = Recorder(names, first_step=step, num_steps=self.num_steps)
        if stages != self._stages:
            return
        for time in times:
            stage = stages.index((time.first, time.last))
            self._recorder.record(stage, step, time.begin, time.end, time.replica)

    def ended(self, state: TrainingState) -> None:
        if self._recorder is None:
            return
        if self.file is not None:
            self.trace().save_chrome(self.file)
        if self.picture is not None:
            plot_gantt(self.trace(), self.picture)

    def trace(self) -> Trace:
        """Return what was recorded so far; it is empty before the first batch is done."""
        return Trace(names=(), spans=()) if self._recorder is None else self._recorder.trace()
