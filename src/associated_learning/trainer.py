"""The training loop: epochs, validation, best epoch, patience, checkpoints, exact resume."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from associated_learning.callbacks import Callback, Callbacks
from associated_learning.checkpoint import Checkpoints, copy_weights
from associated_learning.encoders import frozen, frozen_parts
from associated_learning.errors import InputError, NonFiniteLossError
from associated_learning.history import EpochRecord, TrainingState
from associated_learning.inference import check_batch, device_of, evaluate
from associated_learning.interrupt import Interrupt, deferred_interrupts
from associated_learning.network import Network
from associated_learning.optim import Schedule, advance, make_optimizers, make_schedulers
from associated_learning.step import update_network
from associated_learning.structure import to_device
from associated_learning.target_warmup import warm_targets
from associated_learning.targets import Classes

__all__ = ["BatchSource", "Trainer"]


class BatchSource(Protocol):
    """Minibatches whose order is a function of the epoch alone, so that runs can resume."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Yield the inputs and targets of an epoch, leaving out its first ``start`` batches."""


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

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs={self.epochs} came; expected at least 1.")
        if self.precision not in (None, torch.float32, torch.bfloat16):
            raise InputError(
                f"precision={self.precision} came; expected None or torch.bfloat16 (float16 would "
                "need its losses scaled)."
            )
        if self.schedule_every not in ("epoch", "step"):
            raise InputError(
                f"schedule_every={self.schedule_every!r} came; expected epoch or step."
            )
        for name in ("clip", "patience", "save_every"):
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
        for source in (train, validation):
            if source is not None and not hasattr(source, "epoch"):
                raise InputError(
                    f"batches of type {type(source).__name__} came; expected a source with "
                    "epoch(number, start): wrap a DataLoader or a list of pairs in LoaderBatches."
                )
        if len(train) == 0:
            raise InputError("the training data hold no batch; expected at least one sample.")
        with frozen(frozen_parts(net, self.freeze)):
            run = _Run(self, net, checkpoints)
            if checkpoints is not None and checkpoints.has("last"):
                run.resume()
            run.train(train, validation, Callbacks(callbacks))
            run.restore_best()
        return run.state


class _Run:
    """One call of `Trainer.fit`: the network with its optimizers and where it stands."""

    def __init__(self, settings: Trainer, net: Network, checkpoints: Checkpoints | None) -> None:
        self.settings = settings
        self.net = net
        self.checkpoints = checkpoints
        self.device = device_of(net)
        self.blocks = net.blocks()
        self.optimizers = make_optimizers(
            self.blocks,
            settings.optimizer,
            lr=settings.lr,
            encoder_lr=settings.encoder_lr,
            **settings.optimizer_options,
        )
        self.schedulers = make_schedulers(self.optimizers, settings.schedule)
        self.state = TrainingState()
        self.best: dict[str, Tensor] | None = None
        if settings.compile:
            for block in self.blocks:
                block.compile()

    def resume(self) -> None:
        assert self.checkpoints is not None
        progress = self.checkpoints.load_last(self.net, self.optimizers, self.schedulers)
        self.state = TrainingState.from_json(progress)
        self.state.stopped = self.out_of_patience()  # this trainer's patience, not the saved one's

    def train(self, train: BatchSource, validation: BatchSource | None, listener: Callback) -> None:
        epochs, state = self.settings.epochs, self.state
        try:
            listener.started(state, epochs=epochs, batches=len(train))
            if state.step == 0 and self.settings.target_warmup:
                self.warm_targets(train)
            with deferred_interrupts() as interrupt:
                while not state.stopped and state.epoch < epochs:
                    self.train_epoch(train, listener, interrupt)
                    self.end_epoch(validation, listener)
        finally:
            listener.ended(state)

    def warm_targets(self, train: BatchSource) -> None:
        begin = time.perf_counter()
        classes = isinstance(self.net.target, Classes)
        y = None if classes else next(iter(train.epoch(0)))[1]
        settings = self.settings
        warm_targets(self.net, y, steps=settings.target_warmup, seed=settings.seed)
        self.state.seconds += time.perf_counter() - begin

    def train_epoch(self, train: BatchSource, listener: Callback, interrupt: Interrupt) -> None:
        self.net.train()
        for part in frozen_parts(self.net, self.settings.freeze):
            part.eval()
        state, settings = self.state, self.settings
        begin = time.perf_counter()
        for x, y in train.epoch(state.epoch, start=state.batch):
            losses = self.train_batch(x, y)
            now = time.perf_counter()
            state.add_batch(losses, now - begin)
            begin = now
            listener.batch_done(state, losses)
            due = settings.save_every is not None and state.step % settings.save_every == 0
            if interrupt.requested or due:
                self.save()
            if interrupt.requested:
                raise KeyboardInterrupt

    def train_batch(self, x: Any, y: Tensor) -> list[dict[str, float]]:
        check_batch(x, y, self.state.step)
        x, y = to_device(x, self.device), y.to(self.device, non_blocking=True)
        losses = update_network(
            self.blocks,
            self.optimizers,
            x,
            self.net.target.encode(y),
            seed=self.settings.seed,
            step=self.state.step,
            clip=self.settings.clip,
            precision=self.settings.precision,
        )
        if self.settings.schedule_every == "step":
            advance(self.schedulers, None)
        return [{name: float(value) for name, value in terms.items()} for terms in losses]

    def end_epoch(self, validation: BatchSource | None, listener: Callback) -> None:
        begin = time.perf_counter()
        result = None if validation is None else evaluate(self.net, validation.epoch(0))
        record = EpochRecord(
            epoch=self.state.epoch + 1,
            step=self.state.step,
            losses=self.state.mean_losses(),
            scores=[] if result is None else list(result.scores),
            validation_losses=[] if result is None else list(result.losses),
            lr=[0.0 if o is None else float(o.param_groups[0]["lr"]) for o in self.optimizers],
            seconds=self.state.seconds,
            validation_seconds=time.perf_counter() - begin,
        )
        if self.settings.schedule_every == "epoch":
            advance(self.schedulers, record)
        if self.state.finish_epoch(record):
            self.keep_best()
        self.state.stopped = self.out_of_patience()
        self.save()
        listener.epoch_done(self.state, record)

    def out_of_patience(self) -> bool:
        patience, state = self.settings.patience, self.state
        validated = bool(state.records) and bool(state.records[-1].scores)
        return patience is not None and validated and state.epoch - state.best_epoch >= patience

    def save(self) -> None:
        if self.checkpoints is not None:
            self.require_finite()
            progress = self.state.to_json()
            self.checkpoints.save_last(self.net, self.optimizers, self.schedulers, progress)

    def require_finite(self) -> None:
        """Raise NonFiniteLossError before weights that are NaN replace a good checkpoint."""
        for name, part in self.net.parts().items():
            if not all(bool(torch.isfinite(p).all()) for p in part.parameters()):
                raise NonFiniteLossError(
                    f"the weights of {name} are not finite after batch {self.state.step - 1}, "
                    "although its loss was; what was saved before is unharmed. Lower the learning "
                    "rate or clip gradients."
                )

    def keep_best(self) -> None:
        self.require_finite()
        if self.checkpoints is not None:
            self.checkpoints.save_best(self.net, self.state.step)
        else:
            self.best = copy_weights(self.net)

    def restore_best(self) -> None:
        if self.state.best_epoch in (0, self.state.epoch):
            return
        if self.checkpoints is not None:
            self.checkpoints.load_best(self.net)
        elif self.best is not None:
            self.net.load_state_dict(self.best)
