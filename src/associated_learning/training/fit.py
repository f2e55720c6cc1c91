"""One call of `Trainer.fit`: what becomes of the batches, and of the network, as it trains."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from associated_learning.errors import CheckpointError, InputError
from associated_learning.network import ALNetwork, Network
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.interrupt import Interrupt, deferred_interrupts
from associated_learning.pipeline.items import Minibatch, SnapshotReport
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.stage_builder import StageBuilder
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.checkpointer import Checkpointer
from associated_learning.state.snapshot import Snapshot
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.targets import Classes
from associated_learning.training.batch_stream import BatchSource, BatchStream, set_modes
from associated_learning.training.callbacks import Callback
from associated_learning.training.epoch_judge import EpochJudge
from associated_learning.training.growth.rules import Decision, Growth
from associated_learning.training.length import updates_of
from associated_learning.training.segment import Segment
from associated_learning.training.target_warmup import warm_targets
from associated_learning.training.validation import EpochMetric, epoch_record

__all__ = ["TrainingRun"]


@dataclass(kw_only=True, eq=False)
class TrainingRun:
    """Trains a network segment by segment; between two of them it grows, or layers are frozen.

    Whatever a pipeline trained beyond the end of a segment is undone, so that every executor goes
    on from the same bits.

    Attributes:
        net: The network.
        builder: Makes of it what is trained: blocks, optimizers, learning rates.
        epochs: Largest number of epochs.
        judge: Tells what the finished epochs ask for.
        metric: By what else than the target's score.
        save_every: Number of updates between two checkpoints inside an epoch, if any.
        accumulation: Number of minibatches that make an update.
        target_warmup: Number of updates of g and h ahead of all others.
        frozen_modules: Modules that are left as they are.
        checkpoints: Where to save and to resume from, if anywhere.
        state: Where training stands.
    """

    net: Network
    builder: StageBuilder
    epochs: int
    judge: EpochJudge
    metric: EpochMetric
    save_every: int | None
    accumulation: int
    target_warmup: int
    frozen_modules: Sequence[nn.Module]
    checkpoints: Checkpoints | None
    state: TrainingState = field(default_factory=TrainingState)
    _stage: Stage = field(init=False)
    _reached: Snapshot | None = field(default=None, init=False)  # the last one
    _wanted: Decision | None = field(default=None, init=False)  # by the last epoch
    _checkpointer: Checkpointer = field(init=False)

    def __post_init__(self) -> None:
        self.state.depth = self.net.num_layers
        self._checkpointer = Checkpointer(self.net, self.checkpoints)
        self._stage = self.reshaped(self.state.depth, frozen=0)

    @property
    def growth(self) -> Growth | None:
        """When the network grows; None if never."""
        return self.judge.growth

    def run(
        self,
        train: BatchSource,
        validation: BatchSource | None,
        listener: Callback,
        make: Callable[..., Executor],
    ) -> TrainingState:
        """Train, or go on from the last checkpoint, to the last epoch or an earlier end."""
        if self.growth is not None and self.growth.when is None and validation is None:
            raise InputError(
                "growth came without validation data; expected some, whose score tells when to "
                "grow. Give them, or a rule of your own (when=...)."
            )
        if self.checkpoints is not None and self.checkpoints.has("last"):
            self._resume(self.checkpoints)
        state = self.state
        try:
            listener.started(state, epochs=self.epochs, batches=self._updates(train))
            if state.step == 0 and self.target_warmup:
                self._warm_targets(train)
            with deferred_interrupts() as interrupt:
                if self.growth is not None:
                    x, _ = self._stream(train, interrupt).sample().first()
                    self.growth.rehearse(self.net, x, seed=self.builder.rule.seed)
                while True:
                    if self._is_due():
                        self._reshape()
                        listener.grown(state)
                    stream = self._stream(train, interrupt)
                    executor = self._train_segment(stream, validation, listener, make)
                    if not self._is_due():
                        break
            self.end(state)
            if state.best_epoch not in (0, state.epoch):
                self._checkpointer.restore_best()
            executor.finish(state.to_json())
        finally:
            listener.ended(state)
        return state

    def sample(self, train: BatchSource) -> Minibatch:
        """Return what the first update takes."""
        return self._stream(train, Interrupt()).sample()

    def end(self, state: TrainingState) -> TrainingState:
        """Cut the network to the depth that is kept, as it is where training ended with a state."""
        if self.growth is not None and state.best_depth:
            assert isinstance(self.net, ALNetwork)
            self.net.truncate(state.best_depth)
        return state

    def reshaped(self, depth: int, frozen: int) -> Stage:
        """Put layers on top up to a depth; return the network, its optimizers fresh."""
        if self.growth is not None:
            self.growth.extend(self.net, depth, seed=self.builder.rule.seed)
        set_modes(self.net, self.frozen_modules)
        stage = self.builder.stage(self.net, frozen)
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
        warm_targets(self.net, y, steps=self.target_warmup, seed=self.builder.rule.seed)
        self.state.seconds += time.perf_counter() - begin

    def _updates(self, train: BatchSource) -> int:
        return updates_of(len(train), self.accumulation)

    def _stream(self, train: BatchSource, interrupt: Interrupt) -> BatchStream:
        by_epoch = not self.builder.rates_follow_steps
        return BatchStream(
            net=self.net,
            source=train,
            epochs=0 if self.state.stopped else self.epochs,
            frozen_modules=self.frozen_modules,
            save_every=self.save_every,
            accumulation=self.accumulation,
            advance=by_epoch,
            waits=by_epoch and _waits(self._stage),
            interrupt=interrupt,
        )

    def _train_segment(
        self,
        stream: BatchStream,
        validation: BatchSource | None,
        listener: Callback,
        make: Callable[..., Executor],
    ) -> Executor:
        """Train until training is over or the network changes; return what trained it."""
        frozen = self.state.frozen
        executor = make(
            net=self.net,
            stage=self._stage,
            sample=stream.sample,
            stage_of=lambda net: self.builder.stage(net, frozen),
        )
        executor.watch_interrupt(stream.interrupt)
        try:
            Segment(
                net=self.net,
                frozen_modules=self.frozen_modules,
                state=self.state,
                stream=stream,
                executor=executor,
                listener=listener,
                checkpointer=self._checkpointer,
                end_epoch=lambda report: self._end_epoch(report, executor, validation, listener),
                is_due=self._is_due,
            ).follow()
        except KeyboardInterrupt:
            executor.finish(None)
            raise
        return executor

    def _end_epoch(
        self,
        report: SnapshotReport,
        executor: Executor,
        validation: BatchSource | None,
        listener: Callback,
    ) -> EpochRecord:
        state, net = self.state, functools.partial(executor.network, report.snapshot)
        record = epoch_record(state, report.rates, net, validation, listener, self.metric)
        if state.finish_epoch(record, self.judge.candidates(record.scores)):
            # parts of a network that grows are layers, and those above the best depth are not kept
            depth = None if self.growth is None else state.best_depth
            self._checkpointer.save_best(report.snapshot, state.step, depth)
        self._decide()
        self._reached = report.snapshot if self._is_due() else None
        return record

    def _decide(self) -> None:
        """Find out what the finished epochs ask for: an end, or another network."""
        found = self.judge.decide(self.state)
        if found is not None:
            self._wanted, self.state.stopped = found, found.over or self.state.stop_requested

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
