"""All that a user can set about training, and one call that does it."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.pipeline.choice import chosen_executor, make_executor
from associated_learning.pipeline.stage_builder import StageBuilder
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.freezing import frozen, frozen_parts
from associated_learning.state.history import TrainingState
from associated_learning.state.optimizers import Schedule
from associated_learning.tensors.devices import device_of
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.callbacks import Callback, Callbacks
from associated_learning.training.growth.rules import Growth
from associated_learning.training.run import TrainingRun
from associated_learning.training.sources import Data, as_source
from associated_learning.update import UpdateRule

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
        growth: Lets the network grow while it trains; see `Growth`. Settings that are lists hold
            an entry for each of its ``max_layers``.

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
    growth: Growth | None = None

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
        if self.growth is not None:
            self._check_growing()

    def _check_growing(self) -> None:
        """Raise InputError for settings that only networks of a fixed depth can have."""
        refused = {
            "patience": (self.patience is not None, "Growth has a patience of its own"),
            "replicas": (self.replicas > 1, "stages that change are not replicated"),
            "stages": (
                isinstance(self.stages, (list, tuple)),
                "layers are divided anew whenever one is put on top; a number is taken",
            ),
        }
        for name, (came, why) in refused.items():
            if came:
                value = getattr(self, name)
                raise InputError(f"{name}={value} came with growth; {why}. Leave it out.")

    def fit(
        self,
        net: Network,
        train: Data,
        validation: Data | None = None,
        *,
        callbacks: Iterable[Callback] = (),
        checkpoints: Checkpoints | None = None,
    ) -> TrainingState:
        """Train a network; it ends with the weights of its best epoch on the validation data.

        With ``checkpoints``, a run that was interrupted or killed goes on exactly where its
        last checkpoint stands, and ends with the same bits as one that was never stopped.

        Args:
            net: The network, on the device where it is to be trained.
            train: The training batches: a source such as `Batches`; a DataLoader, a list or another
                iterable of pairs or of dictionaries with ``labels`` (see `LoaderBatches`); or
                arrays ``(x, y)``, taken 64 rows at a time. What cannot resume exactly says so.
            validation: Batches to choose the best epoch by; without them the last is kept.
            callbacks: Told about every batch and epoch.
            checkpoints: Where to save and to resume from; None saves nothing.

        Raises:
            InputError: There is no batch, or one holds NaN, infinity or labels out of range.
            NonFiniteLossError: A layer's loss is not finite; the last checkpoint stays.
            CheckpointError: A checkpoint cannot be written or read.
            KeyboardInterrupt: Ctrl-C or SIGTERM, after the batch is done and saved.
        """
        train = self._source(train, shuffle=True, resumed=checkpoints is not None)
        if validation is not None:
            validation = self._source(validation, shuffle=False, resumed=False)
        name = chosen_executor(self.executor, device_of(net), self.stages)
        if name != "processes" and self.replicas > 1:
            raise InputError(
                f"replicas={self.replicas} came with executor={name!r}; only the ranks of "
                "executor='processes' can share the minibatches of a stage. Leave replicas out."
            )
        if self.growth is not None:
            self.growth.check(net)
        frozen_modules = frozen_parts(net, self.freeze)
        with frozen(frozen_modules):
            training = self._training(net, frozen_modules, checkpoints)
            if name == "processes":
                return self._fit_in_ranks(training, train, validation, callbacks)
            grows = self.growth is not None
            make = functools.partial(make_executor, name, stages=self.stages, grows=grows)
            return training.run(train, validation, Callbacks(callbacks), make)

    def _source(self, data: Data, *, shuffle: bool, resumed: bool) -> BatchSource:
        source = as_source(data, seed=self.seed, shuffle=shuffle)
        if len(source) == 0:
            raise InputError("the data hold no batch; expected at least one sample.")
        if resumed and not getattr(source, "resumes", True):
            warnings.warn(
                "persistent_workers=True came: what workers draw is not keyed, so a run that "
                "resumes may end with other bits than one that was never stopped.",
                stacklevel=3,
            )
        return source

    def _training(
        self, net: Network, frozen_modules: Sequence[nn.Module], checkpoints: Checkpoints | None
    ) -> TrainingRun:
        builder = StageBuilder(
            optimizer=self.optimizer,
            lr=self.lr,
            encoder_lr=self.encoder_lr,
            options=self.optimizer_options,
            schedule=self.schedule,
            compile=self.compile,
            rule=UpdateRule(seed=self.seed, clip=self.clip, precision=self.precision),
            rates_follow_steps=self.schedule_every == "step",
            layers=None if self.growth is None else self.growth.max_layers,
        )
        return TrainingRun(
            net=net,
            builder=builder,
            epochs=self.epochs,
            patience=self.patience,
            save_every=self.save_every,
            target_warmup=self.target_warmup,
            growth=self.growth,
            frozen_modules=frozen_modules,
            checkpoints=checkpoints,
        )

    def _fit_in_ranks(
        self,
        training: TrainingRun,
        train: BatchSource,
        validation: BatchSource | None,
        callbacks: Iterable[Callback],
    ) -> TrainingState:
        # here, because not every build of torch has torch.distributed
        from associated_learning.pipeline.processes.executor import Crew, follow
        from associated_learning.pipeline.processes.placement import check_ranks, make_processes
        from associated_learning.pipeline.processes.rendezvous import joined, number_of_ranks

        # before they meet, so that all of them are told the same
        net, growth = training.net, self.growth
        most = len(net.blocks()) if growth is None else growth.max_layers
        check_ranks(number_of_ranks(), most, stages=self.stages, replicas=self.replicas)
        with joined(self._same_in_all_ranks(net, train)) as ranks:
            if ranks.rank > 0:
                outcome = follow(
                    ranks, net, training.reshaped, replicas=self.replicas, wire=self.wire
                )
                return training.end(TrainingState.from_json(outcome))
            crew = Crew(ranks, replicas=self.replicas, device=device_of(net), wire=self.wire)
            make = functools.partial(make_processes, crew, stages=self.stages)
            return training.run(train, validation, Callbacks(callbacks), make)

    def _same_in_all_ranks(self, net: Network, train: BatchSource) -> dict[str, str]:
        """Return what all ranks must agree on, by name."""
        values = {f.name: repr(getattr(self, f.name)) for f in fields(self)}
        values = {name: _ADDRESS.sub("", value) for name, value in values.items()}
        shapes = [f"{key} {list(value.shape)}" for key, value in net.state_dict().items()]
        return {**values, "network": "; ".join(shapes), "batches of an epoch": str(len(train))}
