"""All that a user can set about training, and one call that does it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from associated_learning.inference.metrics.names import MetricLike
from associated_learning.network import Network
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.executor_table import Work, chosen_executor, make_executor
from associated_learning.pipeline.offload.memory_plan import MemoryPlan, StagePlans
from associated_learning.pipeline.offload.settings import Offloading
from associated_learning.pipeline.offload.stage_division import StageDivision
from associated_learning.pipeline.offload.stored_network import StoredNetwork
from associated_learning.pipeline.stage_builder import StageBuilder
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.freezing import frozen, frozen_parts
from associated_learning.state.optimizers import Schedule
from associated_learning.state.training_state import TrainingState
from associated_learning.tensors.devices import device_of
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.callbacks import Callback, Callbacks
from associated_learning.training.epoch_judge import EpochJudge, Judge
from associated_learning.training.fit import TrainingRun
from associated_learning.training.growth.rules import Growth
from associated_learning.training.length import enough_epochs, updates_of, warm_cosine
from associated_learning.training.sources import Data, as_sources
from associated_learning.training.trainer_checks import (
    check_run,
    check_settings,
    check_stores,
    executor_over_store,
)
from associated_learning.training.validation import EpochMetric, epoch_metric
from associated_learning.update import UpdateRule

__all__ = ["BatchSource", "Trainer"]

_OFFLOADING = tuple(one.name for one in fields(Offloading))


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains AL networks and backpropagated ones alike, by the same loop and settings.

    Args:
        epochs: Largest number of epochs; None for 20, or more where a few batches an epoch would
            make less than 1,000 updates of them (`enough_epochs`).
        optimizer: Any class of ``torch.optim``, of which each block gets one, or one for each.
        lr: One learning rate, or one for each block.
        encoder_lr: That of the encoders, or one for each, if another; see `make_optimizers`.
        freeze: Number of lowest encoders, or names of modules in encoders, that are left as
            they are: no gradient, no dropout, no new statistics. What is beside them trains.
        target_warmup: Number of updates of g and h ahead of all others; see `warm_targets`.
        optimizer_options: Passed on to the optimizer.
        schedule: Makes a learning-rate scheduler of an optimizer, or one for each block; None
            for a constant rate, or, where ``epochs`` is None too and nothing grows, for a tenth of
            all updates of warm-up and then half a cosine down to 0.
        schedule_every: Whether schedulers advance every "epoch" or every "step".
        clip: Largest gradient norm of a block; None for no clipping.
        precision: Autocast type, such as ``torch.bfloat16``; None for float32.
        compile: Whether to ``torch.compile`` every block.
        patience: Number of epochs without a better validation score after which to stop.
        min_updates: Number of updates before which patience stops nothing.
        judge: By what depth epochs are judged. "any": the best epoch is that of the best
            validation score at any depth (of equals, that of the least validation loss), and
            patience counts from the last epoch in which some depth got better, so that upper
            layers can follow lower ones. "full": by the score of full depth alone, as in the
            paper (of equals, the earliest).
        metric: What validation scores are, for the best epoch, patience and growth: "loss", a name
            of `metrics_by_name` such as "f1", "iou" or "perplexity", a metric of torchmetrics, or
            an `EvaluationMetric`; the target's own score by default. One of which less is better
            counts with the sign turned.
        seed: Keys the randomness inside the layers (with the layer and the step).
        save_every: Number of weight updates between two checkpoints; None for one an epoch.
        gradient_accumulation_steps: Number of minibatches that make one update, the last of an
            epoch maybe of fewer: that on all their samples, in little more than the memory of one
            (see `update_on_parts`). All that counts updates (``min_updates``, ``save_every``,
            schedules by step) counts these.
        executor: Where the layers train: "sequential", one after the other; "threads", at the
            same time in threads of this process; "streams", on CUDA streams of one GPU;
            "processes", in the ranks that ``torchrun`` started; "offload", one at a time in memory,
            each on a window of minibatches. All give the same bits at the same number of threads
            inside operations. "auto": see `chosen_executor`.
        stages: Number of stages, divided by measured time; or the number of layers in each. By
            default as many as there are processors, GPUs or ranks.
        replicas: With "processes": number of ranks that share every minibatch of a stage, by
            ``DistributedDataParallel`` within the stage. More than one is not exact to the bit, and
            contrast compares only the samples that a replica has.
        wire: With "processes": ``torch.bfloat16`` rounds activations to half the traffic.
        store: With "offload": where the other layers' state lies: "host" memory, or a folder. With
            "threads" and "processes", this and the next four let each stage have one of its layers
            at a time in memory, and a store of its own for the others: in a folder, a folder each.
        window: Number of minibatches of a layer before the next one; None for what hides moving.
        memory: What may be used of the GPU, or by this process, such as "2GiB".
        activations: ``torch.bfloat16`` lets s wait in half the room, rounded; None: exact.
        recompute: Whether modules inside a layer recompute their activations.
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

    epochs: int | None = None
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
    min_updates: int = 0
    judge: Judge = "any"
    metric: MetricLike | None = None
    seed: int = 0
    save_every: int | None = None
    gradient_accumulation_steps: int = 1
    executor: str = "auto"
    stages: int | Sequence[int] | None = None
    replicas: int = 1
    wire: torch.dtype | None = None
    store: Path | str = "host"
    window: int | None = None
    memory: str | int | None = None
    activations: torch.dtype | None = None
    recompute: bool = False
    growth: Growth | None = None

    def __post_init__(self) -> None:
        check_settings(vars(self))

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
        train, validation = as_sources(train, validation, self.seed, saved=checkpoints is not None)
        if self.epochs is None:
            updates = updates_of(len(train), self.gradient_accumulation_steps)
            epochs = enough_epochs(updates)
            # layers that come late need a rate too
            falls = self.schedule is None and self.growth is None
            rates = warm_cosine(epochs, updates) if falls else {}
            whole = replace(self, epochs=epochs, **rates)
            return whole.fit(net, train, validation, callbacks=callbacks, checkpoints=checkpoints)
        name = chosen_executor(self.executor, device_of(net), self.stages)
        if isinstance(net, StoredNetwork):
            name = executor_over_store(name, self.executor, grows=self.growth is not None)
        check_run(name, self.replicas, self.store, checkpoints)
        if self.growth is not None:
            self.growth.check(net)
        metric = epoch_metric(self.metric, net.target, validated=validation is not None)
        frozen_modules = frozen_parts(net, self.freeze)
        with frozen(frozen_modules):
            training = self._training(net, self.epochs, frozen_modules, checkpoints, metric)
            offload = self._offloading(name)
            if name == "processes":
                # here, because not every build of torch has torch.distributed
                from associated_learning.training.ranks import fit_in_ranks

                return fit_in_ranks(vars(self), offload, training, train, validation, callbacks)

            def make(**parts: Any) -> Executor:
                work = Work(stages=self.stages, offload=offload, **parts)
                return make_executor(name, work, grows=self.growth is not None)

            return training.run(train, validation, Callbacks(callbacks), make)

    def memory_plan(self, net: Network, train: BatchSource) -> MemoryPlan:
        """Return how the executor "offload" would train a network: measured, nothing is trained.

        Args:
            net: The network.
            train: The training batches, of which those of the first update are used.

        Raises:
            InputError: Not even one layer fits into ``memory``; it tells what would help.
        """
        with frozen(frozen_parts(net, self.freeze)):
            training = self._training(net, 1, [], None)
            stage = training.reshaped(net.num_layers, frozen=0)
            sample = partial(training.sample, train)
            return self._offloading("offload").plan(net, stage, sample, self.stages)

    def stage_plans(self, net: Network, train: BatchSource) -> StagePlans:
        """Return what each stage of a pipeline would hold: measured, nothing is trained.

        Args:
            net: The network, which ``executor`` "threads" or "processes" divides into ``stages``.
            train: See `memory_plan`.

        Raises:
            InputError: Not even one layer of a stage fits into ``memory``.
        """
        with frozen(frozen_parts(net, self.freeze)):
            training = self._training(net, 1, [], None)
            division = StageDivision(
                offloading=self._offloading(self.executor),
                net=net,
                stage=training.reshaped(net.num_layers, frozen=0),
                stages=1 if self.stages is None else self.stages,
                sample=partial(training.sample, train),
                processes=self.executor == "processes",
            )
            return StagePlans(tuple(division.plans()))

    def sequential(self) -> Trainer:
        """Return the trainer that does the same in one process, one layer after the other."""
        one = Trainer(epochs=1)
        names = ("stages", "replicas", "wire", *_OFFLOADING)
        return replace(self, executor="sequential", **{name: getattr(one, name) for name in names})

    def _offloading(self, executor: str) -> Offloading:
        settings = Offloading(**{name: getattr(self, name) for name in _OFFLOADING})
        check_stores(settings, executor=executor, replicas=self.replicas)
        return settings

    def _training(
        self,
        net: Network,
        epochs: int,
        frozen_modules: Sequence[nn.Module],
        checkpoints: Checkpoints | None,
        metric: EpochMetric = None,
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
            epochs=epochs,
            judge=EpochJudge(
                net=net,
                patience=self.patience,
                min_updates=self.min_updates,
                judge=self.judge,
                growth=self.growth,
            ),
            metric=metric,
            save_every=self.save_every,
            accumulation=self.gradient_accumulation_steps,
            target_warmup=self.target_warmup,
            frozen_modules=frozen_modules,
            checkpoints=checkpoints,
        )
