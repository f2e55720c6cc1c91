"""A training run is a folder: settings, preprocessing, metrics, checkpoints, result, plots."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from associated_learning.data import (
    Batches,
    DataSet,
    KnownVectors,
    preprocessor_from_dict,
)
from associated_learning.errors import needs_extra
from associated_learning.inference.evaluation import score_samples
from associated_learning.inference.parameters import count_parameters
from associated_learning.network import Network
from associated_learning.runs.distributed import tell_run
from associated_learning.runs.exits.temperatures import fitted_temperatures, keep_temperatures
from associated_learning.runs.folder.description import (
    Description,
    keep_description,
    read_description,
)
from associated_learning.runs.folder.going_on import check_same, lengthen
from associated_learning.runs.folder.provenance import find_provenance
from associated_learning.runs.folder.size_limits import check_numbers
from associated_learning.runs.folder.sources import check_sources, keep_sources
from associated_learning.runs.folder.watch import FolderWatch, check_not_lost, sole_training
from associated_learning.runs.hub.network import needs_store
from associated_learning.runs.hub.streaming import stored_run
from associated_learning.runs.inputs import (
    RunInputs,
    evaluation_batches,
    load_data,
    read_inputs,
    training_batches,
)
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.networks.growth import lowest_layers
from associated_learning.runs.plots import can_plot, plot_curves
from associated_learning.runs.result import (
    RunResult,
    TestScores,
    make_result,
    read_result,
    write_result,
)
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.tasks.deciding import decided
from associated_learning.runs.tasks.metric import epoch_metric_name, headline
from associated_learning.runs.trainer import (
    choose_device,
    make_trainer,
    placed,
    set_up_torch,
    store_folder,
)
from associated_learning.runs.training_scores import (
    TRAINING_SCORES,
    TrainingScores,
    read_training_scores,
)
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.files import read_json
from associated_learning.state.training_state import TrainingState
from associated_learning.training.callbacks import Callback, JsonLines
from associated_learning.training.stage_trace import StageTrace
from associated_learning.training.validation import epoch_metric, scored

if TYPE_CHECKING:
    from associated_learning.pipeline.processes.rendezvous import Ranks

__all__ = ["default_folder", "read_config", "train_run"]

SAVE_SECONDS = 2.0  # between checkpoints, where epochs are shorter


def default_folder(config: RunConfig) -> Path:
    """Return ``runs/DATA-MODEL-METHOD-SEED``; METHOD is ``al-grown`` for networks that grow."""
    model = config.model_name.replace(":", "-")
    method = config.method if config.grow_from is None else f"{config.method}-grown"
    return Path("runs") / f"{Path(config.data).stem}-{model}-{method}-{config.seed}"


def train_run(
    config: RunConfig,
    folder: Path,
    *,
    callbacks: Iterable[Callback] = (),
    data: DataSet | None = None,
    known_vectors: KnownVectors | None = None,
    ranks: Ranks | None = None,
    save_seconds: float | None = None,
    plots: bool = True,
) -> RunResult:
    """Train, or resume, the run of a folder; read the test set once, at the end.

    Args:
        config: The settings.
        folder: Made if it does not exist. If it holds a run of the same settings, that run is
            resumed, or its result returned if it is finished; if of fewer epochs, it goes on.
        callbacks: Told about every batch and epoch, besides the metrics file.
        data: The data, if they are loaded already.
        known_vectors: The word vectors of their vocabulary, if they were looked up already.
        ranks: The processes of a pipeline, of which this is rank 0; the others `follow_run`.
        save_seconds: Least time between checkpoints at the ends of epochs, in seconds; None for 2.
        plots: Whether to draw the curves, where matplotlib is there.

    Raises:
        InputError: The folder holds a run of other settings or data, or a setting does not fit.
        CheckpointError: A file of the run is truncated, changed or foreign; its checkpoints are
            lost; or its folder was deleted or renamed while it trained.
        KeyboardInterrupt: Ctrl-C, after the batch is done and saved.
    """
    chosen = resolved(decided(config)[0])
    check_numbers(chosen.to_json())
    longer = check_same(chosen, folder)
    with sole_training(folder):
        if longer is not None:
            chosen = longer
            lengthen(chosen, folder)
        return _train(chosen, folder, callbacks, data, known_vectors, ranks, save_seconds, plots)


def _train(
    chosen: ResolvedConfig,
    folder: Path,
    callbacks: Iterable[Callback],
    data: DataSet | None,
    known_vectors: KnownVectors | None,
    ranks: Ranks | None,
    save_seconds: float | None,
    plots: bool,
) -> RunResult:
    """Train the run of a folder that is this process's alone."""
    if (finished := read_result(folder)) is not None:
        check_sources(folder, chosen)
        tell_run(ranks, None)
        return finished
    set_up_torch(chosen)
    # now, not when it ends: the code on the disk may change while it trains
    device, origin = choose_device(chosen.device), find_provenance(chosen.device)
    inputs = _read_inputs(chosen, folder, data, known_vectors)
    pause = SAVE_SECONDS if save_seconds is None else save_seconds
    checkpoints = Checkpoints(folder / "checkpoints", min_seconds=pause)
    check_not_lost(folder, checkpoints)
    whole = _whole_network(chosen, folder, inputs, checkpoints, device)
    net = lowest_layers(whole, chosen.grow_from)
    description = Description(chosen, inputs.spec, inputs.data.label_names, inputs.backbone)
    watch = _described(folder, description, inputs.data)
    data = inputs.data.to(device)
    train = training_batches(chosen, data)
    tell_run(ranks, description, batches=len(train), folder=folder)
    state = make_trainer(chosen, len(train), whole, folder=folder).fit(
        net,
        train,
        evaluation_batches(chosen, data, "validation"),
        callbacks=[watch, *_callbacks(chosen, folder, net, data, callbacks)],
        checkpoints=checkpoints,
    )
    result = make_result(
        state,
        test=_test_scores(chosen, net, evaluation_batches(chosen, data, "test"), data),
        data=data,
        by_accuracy=headline(chosen).endswith("accuracy"),
        parameters=count_parameters(net).training,
        vectors=inputs.vectors,
        training_curve=read_training_scores(folder / TRAINING_SCORES),
        origin=origin,
    )
    if plots:
        _plot(chosen, folder, state)
    _calibrate(chosen, folder, net, data)
    write_result(folder, result)
    return result


def _calibrate(config: ResolvedConfig, folder: Path, net: Network, data: DataSet) -> None:
    validation = evaluation_batches(config, data, "validation")
    keep_temperatures(folder, fitted_temperatures(net, validation.epoch(0)))


def _described(folder: Path, description: Description, data: DataSet) -> FolderWatch:
    """Keep what makes a folder a run, or check that it is still that; return what watches it."""
    keep_sources(folder, description.config)
    keep_description(folder, description, data)  # which may tell more exactly what has changed
    check_sources(folder, description.config)
    return FolderWatch(folder, lambda: keep_description(folder, description, data))


def _plot(config: ResolvedConfig, folder: Path, state: TrainingState) -> None:
    if can_plot():  # a picture is no reason to lose the result
        plot_curves({config.method.upper(): state.records}, folder / "plots" / "curves.png")


def _callbacks(
    config: ResolvedConfig, folder: Path, net: Network, data: DataSet, others: Iterable[Callback]
) -> list[Callback]:
    """Return what is told about a run: its files, and the callbacks that came."""
    told: list[Callback] = [JsonLines(folder / "metrics.jsonl")]
    if config.watch_training:
        batches = evaluation_batches(config, data, "train")
        told.append(TrainingScores(folder / TRAINING_SCORES, net, batches))
    told += others
    if config.trace is not None:
        with needs_extra("plots", "--trace"):  # before the training, not after it
            import matplotlib  # noqa: F401

        picture, file = folder / "plots" / "pipeline.png", folder / "pipeline.json"
        told.append(StageTrace(config.trace, picture=picture, file=file))
    return told


def _whole_network(
    config: ResolvedConfig,
    folder: Path,
    inputs: RunInputs,
    checkpoints: Checkpoints,
    device: torch.device,
) -> Network:
    """Return the network of a run with all its layers, on a device or in a store."""
    if inputs.backbone is not None and needs_store(config):
        last = checkpoints.path("last") if checkpoints.has("last") else None
        store = Path(store_folder(config.store, folder))
        return stored_run(
            config, inputs.spec, inputs.backbone, store, device=device, checkpoint=last
        )
    # layers that a resumed run has yet to grow are in no checkpoint
    pretrained = config.grow_from is not None or not checkpoints.has("last")
    return placed(_network(config, inputs, pretrained), device)


def _network(config: ResolvedConfig, inputs: RunInputs, pretrained: bool) -> Network:
    backbone = inputs.backbone
    return build_network(
        config, inputs.spec, inputs.weights, backbone=backbone, pretrained=pretrained
    )


def _test_scores(
    config: ResolvedConfig, net: Network, batches: Batches, data: DataSet
) -> TestScores:
    """Return what the test data say; of one class a sample, in the order of the samples."""
    metric = epoch_metric_name(config)
    if net.target.positions or metric is not None or config.task == "multilabel":
        named = None if config.task == "lm" else epoch_metric(metric, net.target, validated=True)
        by_depth, found = scored(net, batches.epoch(0), named)
        losses = list(found.losses) if net.target.positions else []
        return TestScores(by_depth, losses, found.num_samples, None)
    scores = score_samples(net, batches.epoch(0))
    if data.target_scale is not None:
        return TestScores.of_numbers(scores, data.test.labels)
    return TestScores.of(scores[:, batches.order().argsort()])


def _read_inputs(
    config: ResolvedConfig, folder: Path, data: DataSet | None, known: KnownVectors | None
) -> RunInputs:
    """Read what the run of a folder starts from, or started from."""
    if not (folder / "config.json").exists():
        return read_inputs(config, data=data, known=known)
    if data is None:
        preprocessor = preprocessor_from_dict(read_json(folder / "preprocessing.json"))
        data = load_data(config, preprocessor)
    backbone = read_description(folder).backbone
    return read_inputs(config, data=data, known=known, backbone=backbone)


def read_config(folder: Path) -> ResolvedConfig:
    """Return the settings of the run in a folder. Raises CheckpointError if it is no run."""
    return read_description(folder).config
