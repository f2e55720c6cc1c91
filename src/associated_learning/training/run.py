"""One call of `Trainer.fit`: what becomes of the batches, and of the network, as it trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from associated_learning.errors import CheckpointError, InputError
from associated_learning.inference.evaluation import evaluate
from associated_learning.network import ALNetwork, Network
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.interrupt import Interrupt, deferred_interrupts
from associated_learning.pipeline.items import Marker, SnapshotReport, Trained
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.stage_builder import StageBuilder
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.checkpointer import Checkpointer
from associated_learning.state.history import EpochRecord, TrainingState
from associated_learning.state.snapshot import Snapshot
from associated_learning.targets import Classes
from associated_learning.training.batch_stream import BatchSource, BatchStream, set_modes
from associated_learning.training.callbacks import Callback
from associated_learning.training.growth.rules import Decision, Growth, decide
from associated_learning.training.target_warmup import warm_targets

__all__ = ["TrainingRun"]


@dataclass(kw_only=True, eq=False)
class TrainingRun:
    """Trains a network segment by segment; between two of them it grows, or layers are frozen.

    Whatever a pipeline trained beyond the end of a segment is undone, so that every executor goes
    on from the same bits.

    Attributes:
        net: The network.
        recipe: What its layers are trained by.
        epochs: Largest number of epochs.
        patience: Number of epochs without a better score after which to stop, if any.
        save_every: Number of updates between two checkpoints inside an epoch, if any.
        target_warmup: Number of updates of g and h ahead of all others.
        growth: When the network grows; None if never.
        frozen_modules: Modules that are left as they are.
        checkpoints: Where to save and to resume from, if anywhere.
        state: Where training stands.
    """

    net: Network
    recipe: StageBuilder
    epochs: int
    patience: int | None
    save_every: int | None
    target_warmup: int
    growth: Growth | None
    frozen_modules: Sequence[nn.Module]
    checkpoints: Checkpoints | None
    state: TrainingState = field(default_factory=TrainingState)
    _stage: Stage = field(init=False)
    _reached: Snapshot | None = field(default=None, init=False)  # the last one
    _wanted: Decision | None = field(default=None, init=False)  # by the last epoch
    _kept: Checkpointer = field(init=False)

    def __post_init__(self) -> None:
        self.state.depth = self.net.num_layers
        self._kept = Checkpointer(self.net, self.checkpoints)
        self._stage = self.reshaped(self.state.depth, frozen=0)

    def run(
        self,
        train: BatchSource,
        validation: BatchSource | None,
        listener: Callback,
        make: Callable[..., Executor],
    ) -> TrainingState:
        """Train, or go on from the last checkpoint, to the last epoch or an earlier end.

        Args:
            train: The training batches.
            validation: Batches to choose the best epoch by.
            listener: Told about every batch and epoch.
            make: Makes the executor of a segment.
        """
        if self.growth is not None and self.growth.when is None and validation is None:
            raise InputError(
                "growth came without validation data; expected some, whose score tells when to "
                "grow. Give them, or a rule of your own (when=...)."
            )
        if self.checkpoints is not None and self.checkpoints.has("last"):
            self._resume(self.checkpoints)
        state = self.state
        try:
            listener.started(state, epochs=self.epochs, batches=len(train))
            if state.step == 0 and self.target_warmup:
                self._warm_targets(train)
            with deferred_interrupts() as interrupt:
                if self.growth is not None:
                    x = self._feed(train, interrupt).sample().s
                    self.growth.rehearse(self.net, x, seed=self.recipe.rule.seed)
                while True:
                    if self._is_due():
                        self._reshape()
                        listener.grown(state)
                    feed = self._feed(train, interrupt)
                    executor = self._train_segment(feed, validation, listener, make)
                    if not self._is_due():
                        break
            self.end(state)
            if state.best_epoch not in (0, state.epoch):
                self._kept.restore_best()
            executor.finish(state.to_json())
        finally:
            listener.ended(state)
        return state

    def end(self, state: TrainingState) -> TrainingState:
        """Cut the network to the depth that is kept, as it is where training ended with a state."""
        if self.growth is not None and state.best_depth:
            assert isinstance(self.net, ALNetwork)
            self.net.truncate(state.best_depth)
        return state

    def reshaped(self, depth: int, frozen: int) -> Stage:
        """Put layers on top up to a depth; return the whole network with fresh optimizers.

        Args:
            depth: Number of layers.
            frozen: Number of lowest layers that get no optimizer.
        """
        if self.growth is not None:
            self.growth.extend(self.net, depth, seed=self.recipe.rule.seed)
        set_modes(self.net, self.frozen_modules)
        stage = self.recipe.stage(self.net, frozen)
        if self.growth is not None and _waits(stage):
            raise InputError(
                "ReduceLROnPlateau came for a network that grows; expected a schedule by updates "
                "or epochs alone, as no layer may depend on those above it."
            )
        return stage

    def _resume(self, checkpoints: Checkpoints) -> None:
        state = TrainingState.from_json(checkpoints.progress())
        found = self.net.num_layers
        state.depth = state.depth or found  # older checkpoints do not tell it
        most = found if self.growth is None else self.growth.max_layers
        if not found <= state.depth <= most:
            raise CheckpointError(
                f"the last checkpoint holds {state.depth} layers; expected {found} to {most}, as "
                "the network has and may grow to. Resume with the network and growth of that run."
            )
        self.state, self._stage = state, self.reshaped(state.depth, state.frozen)
        checkpoints.load_last(self.net, self._stage.optimizers, self._stage.schedulers)
        self._decide()  # by this trainer's rules, not the saved one's
        if self.growth is not None:
            self._reached = self._stage.snapshot()

    def _warm_targets(self, train: BatchSource) -> None:
        begin = time.perf_counter()
        classes = isinstance(self.net.target, Classes)
        y = None if classes else next(iter(train.epoch(0)))[1]
        warm_targets(self.net, y, steps=self.target_warmup, seed=self.recipe.rule.seed)
        self.state.seconds += time.perf_counter() - begin

    def _feed(self, train: BatchSource, interrupt: Interrupt) -> BatchStream:
        by_epoch = not self.recipe.rule.advance_every_step
        return BatchStream(
            net=self.net,
            source=train,
            epochs=0 if self.state.stopped else self.epochs,
            frozen_modules=self.frozen_modules,
            save_every=self.save_every,
            advance=by_epoch,
            waits=by_epoch and _waits(self._stage),
            interrupt=interrupt,
        )

    def _train_segment(
        self,
        feed: BatchStream,
        validation: BatchSource | None,
        listener: Callback,
        make: Callable[..., Executor],
    ) -> Executor:
        """Train until training is over or the network changes; return what trained it."""
        frozen = self.state.frozen
        executor = make(
            net=self.net,
            stage=self._stage,
            sample=feed.sample,
            stage_of=lambda net: self.recipe.stage(net, frozen),
        )
        executor.watch_interrupt(feed.interrupt)
        try:
            self._follow(feed, executor, validation, listener)
        except KeyboardInterrupt:
            executor.finish(None)
            raise
        return executor

    def _follow(
        self,
        feed: BatchStream,
        executor: Executor,
        validation: BatchSource | None,
        listener: Callback,
    ) -> None:
        """Let the executor train, and take account of every batch and marker in their order."""
        state = self.state
        items = feed.items(epoch=state.epoch, batch=state.batch, step=state.step)
        with closing(executor.run(items)) as reports, closing(feed.validated):
            clock = executor.clock()
            for report in reports:
                if isinstance(report, Trained):
                    state.add_batch(report.losses, clock.lap(report))
                    listener.stages_done(report.step, report.times)
                    listener.batch_done(state, report.losses)
                else:
                    self._pass_marker(report, executor, validation, feed, listener)
                    if self._is_over(report.marker, feed):
                        break
                    if executor.synchronous:
                        set_modes(self.net, self.frozen_modules)  # whatever callbacks did
                    if feed.waits:
                        clock = executor.clock()  # training stood still
                    clock.go_on()
        executor.load_last_snapshot()

    def _pass_marker(
        self,
        passed: SnapshotReport,
        executor: Executor,
        validation: BatchSource | None,
        feed: BatchStream,
        listener: Callback,
    ) -> None:
        record = passed.marker.record
        if passed.marker.epoch_end:
            record = self._end_epoch(passed, executor, validation)
            if feed.waits:
                feed.validated.put(record)
                return  # the next marker comes when the learning rates have followed it
        self._kept.save_last(passed.snapshot, self.state)
        if record is not None:
            listener.epoch_done(self.state, record)

    def _is_over(self, marker: Marker, feed: BatchStream) -> bool:
        """Return whether a segment ends at a marker. Raises KeyboardInterrupt if asked to stop."""
        if marker.last:
            raise KeyboardInterrupt
        ends = self.state.stopped or self._is_due()
        return ends and not (marker.epoch_end and feed.waits)

    def _end_epoch(
        self, passed: SnapshotReport, executor: Executor, validation: BatchSource | None
    ) -> EpochRecord:
        begin, state = time.perf_counter(), self.state
        result = None
        if validation is not None:
            result = evaluate(executor.network(passed.snapshot), validation.epoch(0))
        record = EpochRecord(
            epoch=state.epoch + 1,
            step=state.step,
            losses=state.mean_losses(),
            scores=[] if result is None else list(result.scores),
            validation_losses=[] if result is None else list(result.losses),
            lr=passed.rates,
            seconds=state.seconds,
            validation_seconds=time.perf_counter() - begin,
        )
        if state.finish_epoch(record, *self._choice(record.scores)):
            # parts of a network that grows are layers, and those above the best depth are not kept
            depth = None if self.growth is None else state.best_depth
            self._kept.save_best(passed.snapshot, state.step, depth)
        self._decide()
        self._reached = passed.snapshot if self._is_due() else None
        return record

    def _choice(self, scores: list[float]) -> tuple[dict[int, float], float]:
        """Return the scores of the depths that may be kept, and what a layer must be worth."""
        if self.growth is not None:
            return dict(enumerate(scores, start=1)), self.growth.min_gain
        return ({len(scores): self.net.judged(scores)} if scores else {}), 0.0

    def _decide(self) -> None:
        """Find out what the finished epochs ask for: an end, or another network."""
        state = self.state
        if self.growth is None:
            state.stopped = self._out_of_patience()
        elif state.records and state.batch == 0:
            self._wanted = decide(self.growth, state.records, frozen=state.frozen)
            state.stopped = self._wanted.over

    def _out_of_patience(self) -> bool:
        patience, state = self.patience, self.state
        validated = bool(state.records) and bool(state.records[-1].scores)
        return patience is not None and validated and state.epoch - state.best_epoch >= patience

    def _is_due(self) -> bool:
        """Return whether the network must change before it trains on."""
        state, wanted = self.state, self._wanted
        if wanted is None or state.stopped or state.epoch >= self.epochs:
            return False
        return (wanted.depth, wanted.frozen) != (state.depth, state.frozen)

    def _reshape(self) -> None:
        """Put on top what is wanted, and freeze it; all else goes on from the last epoch's end."""
        assert self._wanted is not None
        assert self._reached is not None
        state, before = self.state, self.state.depth
        state.depth, state.frozen, _ = self._wanted
        self._stage = self.reshaped(state.depth, state.frozen)
        lower, _ = self._stage.split([before, state.depth - before])
        lower.restore(self._reached)
        self._reached = None


def _waits(stage: Stage) -> bool:
    """Return whether learning rates depend on the validation."""
    return any(isinstance(one, ReduceLROnPlateau) for one in stage.schedulers)
