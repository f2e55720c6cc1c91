"""The training loop: epochs, validation, best epoch, patience, checkpoints, exact resume."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from associated_learning.callbacks import Callback, Callbacks
from associated_learning.checkpoint import Checkpoints
from associated_learning.encoders import frozen, frozen_parts
from associated_learning.errors import InputError, NonFiniteLossError
from associated_learning.feed import BatchSource, Feed, set_modes
from associated_learning.history import EpochRecord, TrainingState
from associated_learning.inference import device_of, evaluate
from associated_learning.interrupt import Interrupt, deferred_interrupts
from associated_learning.network import Network
from associated_learning.optim import Schedule, make_optimizers, make_schedulers
from associated_learning.pipeline.choice import chosen_executor, make_executor
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.items import Marker, Passed, Trained
from associated_learning.pipeline.stage import Stage, UpdateRule
from associated_learning.snapshot import Snapshot
from associated_learning.structure import map_tensors
from associated_learning.target_warmup import warm_targets
from associated_learning.targets import Classes

__all__ = ["BatchSource", "Trainer"]

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in the names of functions, other in every process


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains AL networks and backpropagated ones alike, by the same loop and settings.

    Args:
        epochs: Largest number of epochs.
        optimizer: Any class of ``torch.optim``, or one for each block; every block gets an
            optimizer of its own.
        lr: One learning rate, or one for each block.
        encoder_lr: That of the encoders where it is another, or one for each encoder; see
            `make_optimizers`.
        freeze: Number of lowest encoders, or names of modules in encoders, that are left as
            they are: no gradient, no dropout, no new statistics. What is beside them trains.
        target_warmup: Number of updates of g and h ahead of all others; see `warm_targets`.
        optimizer_options: Passed on to the optimizer.
        schedule: Makes a learning-rate scheduler of an optimizer, or one for each block; None
            for a constant rate.
        schedule_every: Whether schedulers advance every "epoch" or every "step".
        clip: Largest gradient norm of a block; None for no clipping.
        precision: Autocast type, such as ``torch.bfloat16``; None for float32.
        compile: Whether to run ``torch.compile`` on every block.
        patience: Number of epochs without a better validation score after which to stop.
        seed: Keys the randomness inside the layers (with the layer and the step).
        save_every: Number of weight updates between two checkpoints inside an epoch; None
            for checkpoints at the end of each epoch only.
        executor: Where the layers train: "sequential", one after the other; "threads", at the
            same time in threads of this process; "streams", on CUDA streams of one GPU;
            "processes", in the ranks that ``torchrun`` started. All give the same bits at the same
            number of threads inside operations. "auto": see `chosen_executor`.
        stages: Number of stages that the layers are divided into, by measured time; or the
            number of layers in each. As many as there are processors, GPUs or ranks by default.
        replicas: With "processes": number of ranks that share every minibatch of a stage, by
            ``DistributedDataParallel`` within the stage. More than one is not exact to the bit.
        wire: With "processes": type of float32 activations between ranks; ``torch.bfloat16``
            halves the traffic and rounds them, None leaves them as they are.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x = torch.randn(64, 4)
        >>> batches = al.LoaderBatches([(x, (x[:, 0] > 0).long())])
        >>> net = al.al_form([nn.Linear(4, 8)], x, al.Classes(2), latent=8)
        >>> state = al.Trainer(epochs=2, lr=0.01).fit(net, batches)
        >>> [record.epoch for record in state.records]
        [1, 2]
    """

    epochs: int
    optimizer: type[Optimizer] | Sequence[type[Optimizer]] = torch.optim.Adam
    lr: float | Sequence[float] = 1e-3
    encoder_lr: float | Sequence[float] | None = None
    freeze: int | Sequence[str] = 0
    target_warmup: int = 0
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule | Sequence[Schedule | None] | None = None
    schedule_every: str = "epoch"
    clip: float | None = None
    precision: torch.dtype | None = None
    compile: bool = False
    patience: int | None = None
    seed: int = 0
    save_every: int | None = None
    executor: str = "auto"
    stages: int | Sequence[int] | None = None
    replicas: int = 1
    wire: torch.dtype | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs={self.epochs} came; expected at least 1.")
        if self.precision not in (None, torch.float32, torch.bfloat16):
            raise InputError(
                f"precision={self.precision} came; expected None or torch.bfloat16 (float16 would "
                "need its losses scaled)."
            )
        if self.wire not in (None, torch.bfloat16):
            raise InputError(f"wire={self.wire} came; expected None or torch.bfloat16.")
        if self.schedule_every not in ("epoch", "step"):
            raise InputError(
                f"schedule_every={self.schedule_every!r} came; expected epoch or step."
            )
        for name in ("clip", "patience", "save_every", "replicas"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"{name}={value} came; expected a positive number or None.")

    def fit(
        self,
        net: Network,
        train: BatchSource,
        validation: BatchSource | None = None,
        *,
        callbacks: Iterable[Callback] = (),
        checkpoints: Checkpoints | None = None,
    ) -> TrainingState:
        """Train a network; it ends with the weights of its best epoch on the validation data.

        With ``checkpoints``, a run that was interrupted or killed goes on exactly where its
        last checkpoint stands, and ends with the same bits as one that was never stopped.

        Args:
            net: The network, on the device where it is to be trained.
            train: The training batches.
            validation: Batches to choose the best epoch by; without them the last is kept.
            callbacks: Told about every batch and epoch.
            checkpoints: Where to save and to resume from; None saves nothing.

        Raises:
            InputError: There is no batch, or one holds NaN, infinity or labels out of range.
            NonFiniteLossError: A layer's loss is not finite; the last checkpoint stays.
            CheckpointError: A checkpoint cannot be written or read.
            KeyboardInterrupt: Ctrl-C or SIGTERM, after the batch is done and saved.
        """
        _check_sources(train, validation)
        name = chosen_executor(self.executor, device_of(net), self.stages)
        if name != "processes" and self.replicas > 1:
            raise InputError(
                f"replicas={self.replicas} came with executor={name!r}; only the ranks of "
                "executor='processes' can share the minibatches of a stage. Leave replicas out."
            )
        with frozen(frozen_parts(net, self.freeze)):
            if name == "processes":
                return self._fit_in_ranks(net, train, validation, callbacks, checkpoints)
            make = functools.partial(make_executor, name, stages=self.stages)
            return self._fit(net, train, validation, callbacks, checkpoints, make)

    def _fit(
        self,
        net: Network,
        train: BatchSource,
        validation: BatchSource | None,
        callbacks: Iterable[Callback],
        checkpoints: Checkpoints | None,
        make: Callable[..., Executor],
    ) -> TrainingState:
        run = _Run(self, net, checkpoints)
        if checkpoints is not None and checkpoints.has("last"):
            run.resume()
        run.train(train, validation, Callbacks(callbacks), make)
        return run.state

    def _fit_in_ranks(
        self,
        net: Network,
        train: BatchSource,
        validation: BatchSource | None,
        callbacks: Iterable[Callback],
        checkpoints: Checkpoints | None,
    ) -> TrainingState:
        # here, because not every build of torch has torch.distributed
        from associated_learning.pipeline.processes import follow
        from associated_learning.pipeline.ranked import check_ranks, make_processes
        from associated_learning.pipeline.ranks import joined, number_of_ranks

        # before they meet, so that all of them are told the same
        blocks = len(net.blocks())
        check_ranks(number_of_ranks(), blocks, stages=self.stages, replicas=self.replicas)
        with joined(self._same_in_all_ranks(net, train)) as ranks:
            if ranks.rank > 0:
                set_modes(net, self.freeze)
                outcome = follow(ranks, net, _stage(self, net), wire=self.wire)
                return TrainingState.from_json(outcome)
            make = functools.partial(
                make_processes,
                ranks,
                stages=self.stages,
                replicas=self.replicas,
                wire=self.wire,
            )
            return self._fit(net, train, validation, callbacks, checkpoints, make)

    def _same_in_all_ranks(self, net: Network, train: BatchSource) -> dict[str, str]:
        """Return what all ranks must agree on, by name."""
        values = {f.name: repr(getattr(self, f.name)) for f in fields(self)}
        values = {name: _ADDRESS.sub("", value) for name, value in values.items()}
        shapes = [f"{key} {list(value.shape)}" for key, value in net.state_dict().items()]
        return {**values, "network": "; ".join(shapes), "batches of an epoch": str(len(train))}


def _check_sources(train: BatchSource, validation: BatchSource | None) -> None:
    for source in (train, validation):
        if source is not None and not hasattr(source, "epoch"):
            raise InputError(
                f"batches of type {type(source).__name__} came; expected a source with "
                "epoch(number, start): wrap a DataLoader or a list of pairs in LoaderBatches."
            )
    if len(train) == 0:
        raise InputError("the training data hold no batch; expected at least one sample.")


def _stage(settings: Trainer, net: Network) -> Stage:
    """Return the whole network as one stage."""
    blocks = net.blocks()
    optimizers = make_optimizers(
        blocks,
        settings.optimizer,
        lr=settings.lr,
        encoder_lr=settings.encoder_lr,
        **settings.optimizer_options,
    )
    if settings.compile:
        for block in blocks:
            block.compile()
    return Stage(
        blocks=blocks,
        optimizers=optimizers,
        schedulers=make_schedulers(optimizers, settings.schedule),
        parts=net.parts(),
        device=device_of(net),
        rule=UpdateRule(
            seed=settings.seed,
            clip=settings.clip,
            precision=settings.precision,
            advance_every_step=settings.schedule_every == "step",
        ),
    )


class _Run:
    """One call of `Trainer.fit`: keeps account of what the executor did with the batches."""

    def __init__(self, settings: Trainer, net: Network, checkpoints: Checkpoints | None) -> None:
        self.settings = settings
        self.net = net
        self.checkpoints = checkpoints
        self.stage = _stage(settings, net)
        self.state = TrainingState()
        self.best: dict[str, dict[str, Tensor]] | None = None

    def resume(self) -> None:
        assert self.checkpoints is not None
        stage = self.stage
        progress = self.checkpoints.load_last(self.net, stage.optimizers, stage.schedulers)
        self.state = TrainingState.from_json(progress)
        self.state.stopped = self.out_of_patience()  # this trainer's patience, not the saved one's

    def train(
        self,
        train: BatchSource,
        validation: BatchSource | None,
        listener: Callback,
        make: Callable[..., Executor],
    ) -> None:
        settings, state = self.settings, self.state
        try:
            listener.started(state, epochs=settings.epochs, batches=len(train))
            if state.step == 0 and settings.target_warmup:
                self.warm_targets(train)
            with deferred_interrupts() as interrupt:
                feed = self.feed(train, interrupt)
                of = functools.partial(_stage, settings)
                executor = make(net=self.net, stage=self.stage, sample=feed.sample, stage_of=of)
                executor.heed(interrupt)
                try:
                    self.follow(feed, executor, validation, listener)
                except KeyboardInterrupt:
                    executor.finish(None)
                    raise
            self.restore_best()
            executor.finish(state.to_json())
        finally:
            listener.ended(state)

    def warm_targets(self, train: BatchSource) -> None:
        begin = time.perf_counter()
        classes = isinstance(self.net.target, Classes)
        y = None if classes else next(iter(train.epoch(0)))[1]
        settings = self.settings
        warm_targets(self.net, y, steps=settings.target_warmup, seed=settings.seed)
        self.state.seconds += time.perf_counter() - begin

    def feed(self, train: BatchSource, interrupt: Interrupt) -> Feed:
        settings = self.settings
        by_epoch = settings.schedule_every == "epoch"
        plateau = any(isinstance(s, ReduceLROnPlateau) for s in self.stage.schedulers)
        return Feed(
            net=self.net,
            source=train,
            epochs=0 if self.state.stopped else settings.epochs,
            freeze=settings.freeze,
            save_every=settings.save_every,
            advance=by_epoch,
            waits=by_epoch and plateau,
            interrupt=interrupt,
        )

    def follow(
        self, feed: Feed, executor: Executor, validation: BatchSource | None, listener: Callback
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
                    self.pass_marker(report, executor, validation, feed, listener)
                    if self.is_over(report.marker, feed):
                        break
                    if executor.rests:
                        set_modes(self.net, self.settings.freeze)  # whatever callbacks did
                    if feed.waits:
                        clock = executor.clock()  # training stood still
                    clock.go_on()
        executor.settle()

    def pass_marker(
        self,
        passed: Passed,
        executor: Executor,
        validation: BatchSource | None,
        feed: Feed,
        listener: Callback,
    ) -> None:
        record = passed.marker.record
        if passed.marker.epoch_end:
            record = self.end_epoch(passed, executor, validation)
            if feed.waits:
                feed.validated.put(record)
                return  # the next marker comes when the learning rates have followed it
        self.save(passed.snapshot)
        if record is not None:
            listener.epoch_done(self.state, record)

    def is_over(self, marker: Marker, feed: Feed) -> bool:
        """Return whether training ends at a marker. Raises KeyboardInterrupt if asked to stop."""
        if marker.last:
            raise KeyboardInterrupt
        return self.state.stopped and not (marker.epoch_end and feed.waits)

    def end_epoch(
        self, passed: Passed, executor: Executor, validation: BatchSource | None
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
        score = self.net.judged(record.scores) if record.scores else None
        if state.finish_epoch(record, score):
            self.keep_best(passed.snapshot)
        state.stopped = self.out_of_patience()
        return record

    def out_of_patience(self) -> bool:
        patience, state = self.settings.patience, self.state
        validated = bool(state.records) and bool(state.records[-1].scores)
        return patience is not None and validated and state.epoch - state.best_epoch >= patience

    def save(self, snapshot: Snapshot) -> None:
        if self.checkpoints is not None:
            self.require_finite(snapshot)
            self.checkpoints.save_last(snapshot, self.state.to_json())

    def require_finite(self, snapshot: Snapshot) -> None:
        """Raise NonFiniteLossError before weights that are NaN replace a good checkpoint."""
        for name, part in self.net.parts().items():
            weights = [snapshot.weights[name][key] for key, _ in part.named_parameters()]
            if not all(bool(torch.isfinite(weight).all()) for weight in weights):
                raise NonFiniteLossError(
                    f"the weights of {name} are not finite after batch {self.state.step - 1}, "
                    "although its loss was; what was saved before is unharmed. Lower the learning "
                    "rate or clip gradients."
                )

    def keep_best(self, snapshot: Snapshot) -> None:
        self.require_finite(snapshot)
        if self.checkpoints is not None:
            self.checkpoints.save_best(snapshot, self.state.step)
        else:
            self.best = map_tensors(Tensor.clone, snapshot.weights)

    def restore_best(self) -> None:
        if self.state.best_epoch in (0, self.state.epoch):
            return
        if self.checkpoints is not None:
            self.checkpoints.load_best(self.net)
        elif self.best is not None:
            for name, part in self.net.parts().items():
                part.load_state_dict(self.best[name])
