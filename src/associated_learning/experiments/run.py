"""A training run is a folder: settings, preprocessing, metrics, checkpoints, result, plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiplicativeLR

from associated_learning.callbacks import Callback, JsonLines
from associated_learning.checkpoint import Checkpoints
from associated_learning.data import DataSet, Preprocessor, preprocessor_from_dict
from associated_learning.errors import CheckpointError, InputError
from associated_learning.experiments.config import RunConfig
from associated_learning.experiments.description import (
    Description,
    keep_description,
    read_description,
)
from associated_learning.experiments.families import InputSpec, build_network, resolved
from associated_learning.experiments.inputs import (
    evaluation_batches,
    input_spec,
    load_data,
    load_word_vectors,
    training_batches,
)
from associated_learning.experiments.origin import Origin, find_origin
from associated_learning.experiments.plots import plot_curves
from associated_learning.files import read_json, write_json
from associated_learning.history import EpochRecord, TrainingState
from associated_learning.inference import Evaluation, evaluate
from associated_learning.network import Network
from associated_learning.trainer import Trainer

__all__ = [
    "OpenRun",
    "RunResult",
    "default_folder",
    "make_trainer",
    "open_run",
    "read_config",
    "read_history",
    "train_run",
]

_OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


class OpenRun(NamedTuple):
    """A run as its folder tells it.

    Attributes:
        config: Its settings, resolved.
        spec: What its data look like.
        label_names: Name of each class.
        preprocessor: Treats new inputs.
        net: The network with the best weights so far, in evaluation mode.
    """

    config: RunConfig
    spec: InputSpec
    label_names: tuple[str, ...]
    preprocessor: Preprocessor
    net: Network


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came out of a finished run.

    Attributes:
        test_scores: Test accuracy at depth 1, 2, ..., L, of the best epoch on validation.
        validation_scores: Validation accuracy at every depth in that epoch.
        best_epoch: That epoch, from 1.
        epochs: Number of epochs trained.
        seconds: Time of all training, without validation.
        vector_coverage: Share of the vocabulary that the word vectors know; None without.
        commit: Commit of the code it was trained by (see `Origin`).
        torch: Version of torch.
        hardware: Processor and number of threads, or GPU.
    """

    test_scores: list[float]
    validation_scores: list[float]
    best_epoch: int
    epochs: int
    seconds: float
    vector_coverage: float | None
    # runs that were finished before these were kept do not tell them
    commit: str = "unknown"
    torch: str = "unknown"
    hardware: str = "unknown"


def default_folder(config: RunConfig) -> Path:
    """Return ``runs/DATA-MODEL-METHOD-SEED``."""
    return Path("runs") / f"{Path(config.data).stem}-{config.model}-{config.method}-{config.seed}"


def train_run(
    config: RunConfig,
    folder: Path,
    *,
    callbacks: Iterable[Callback] = (),
    data: DataSet | None = None,
) -> RunResult:
    """Train, or resume, the run of a folder; read the test set once, at the end.

    Args:
        config: The settings.
        folder: Made if it does not exist. If it holds a run of the same settings, that run is
            resumed, or its result returned if it is finished.
        callbacks: Told about every batch and epoch, besides the metrics file.
        data: The data, if they are loaded already.

    Raises:
        InputError: The folder holds a run of other settings or data, or a setting does not fit.
        CheckpointError: A file of the run is truncated or foreign.
        KeyboardInterrupt: Ctrl-C, after the batch is done and saved.
    """
    config = resolved(config)
    _check_same(config, folder)
    if (folder / "result.json").exists():
        return _read_result(folder / "result.json")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = _device(config.device)
    # now, not when it ends: the code on the disk may change while it trains
    origin = find_origin(config.device)
    data = load_data(config) if data is None else data
    vectors = load_word_vectors(config, data)
    spec = input_spec(config, data, vectors)
    net = build_network(config, spec, None if vectors is None else vectors.weights)
    net = net.to(device)
    train = training_batches(config, data)
    keep_description(folder, Description(config, spec, data.label_names), data)
    state = make_trainer(config, len(train)).fit(
        net,
        train,
        evaluation_batches(config, data, "validation"),
        callbacks=[JsonLines(folder / "metrics.jsonl"), *callbacks],
        checkpoints=Checkpoints(folder / "checkpoints"),
    )
    test = evaluate(net, evaluation_batches(config, data, "test").epoch(0))
    result = _result(state, test, None if vectors is None else vectors.coverage, origin)
    plot_curves({config.method.upper(): state.records}, folder / "plots" / "curves.png")
    write_json(folder / "result.json", asdict(result))
    return result


def open_run(folder: Path) -> OpenRun:
    """Open a run's folder for evaluation and prediction.

    Raises:
        CheckpointError: It is no run, or a file of it is truncated or foreign.
    """
    config, spec, label_names = read_description(folder)
    net = build_network(config, spec).to(_device(config.device))
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.load_best(net)
    preprocessor = preprocessor_from_dict(read_json(folder / "preprocessing.json"))
    net.eval()
    return OpenRun(config, spec, label_names, preprocessor, net)


def read_config(folder: Path) -> RunConfig:
    """Return the settings of the run in a folder. Raises CheckpointError if it is no run."""
    return read_description(folder).config


def read_history(folder: Path) -> list[EpochRecord]:
    """Return the finished epochs of the run in a folder.

    Raises:
        CheckpointError: The metrics are missing or foreign; names the line.
    """
    path = folder / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); name another run.") from error
    return [_record(f"{path}, line {number}", line) for number, line in enumerate(lines, start=1)]


def make_trainer(config: RunConfig, batches: int) -> Trainer:
    """Make the trainer of resolved settings.

    Args:
        config: The settings.
        batches: Number of batches of an epoch, for the schedule.
    """
    epochs = config.epochs or 1
    optimizer = _OPTIMIZERS[config.optimizer]
    return Trainer(
        epochs=epochs,
        optimizer=optimizer,
        lr=1e-3 if config.lr is None else config.lr,
        optimizer_options={"weight_decay": config.weight_decay},
        schedule=_schedule(config.schedule or "constant", epochs * batches),
        schedule_every="step",
        clip=config.clip or None,
        precision=torch.bfloat16 if config.precision == "bf16" else None,
        compile=config.compile,
        patience=config.patience or None,
        seed=config.seed,
        save_every=config.save_every,
    )


def _read_result(path: Path) -> RunResult:
    try:
        return RunResult(**read_json(path))
    except TypeError as error:
        raise CheckpointError(
            f"{path} is no result of a run of this library ({error}); name another folder."
        ) from error


def _record(where: str, line: str) -> EpochRecord:
    try:
        return EpochRecord(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{where} is no epoch of a run of this library ({error}); name another run."
        ) from error


def _schedule(name: str, steps: int) -> Callable[[Optimizer], LRScheduler] | None:
    if name == "cosine":
        return lambda optimizer: CosineAnnealingLR(optimizer, steps)
    if name == "milestones":
        # the released image code: a tenth at 40, 60 and 80 %, a half at 90 % of the epochs
        factors = {int(steps * at): factor for at, factor in
                   ((0.4, 0.1), (0.6, 0.1), (0.8, 0.1), (0.9, 0.5))}  # fmt: skip
        return lambda optimizer: MultiplicativeLR(optimizer, lambda step: factors.get(step, 1.0))
    return None


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but computes nothing
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name} cannot be used here ({str(error).splitlines()[0]}); use auto or cpu."
        ) from error
    return device


def _check_same(config: RunConfig, folder: Path) -> None:
    """Raise InputError if the folder is none, or holds a run of other settings."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; expected a folder for the run. Name another.")
    if not (folder / "config.json").exists():
        return
    # where and how fast a run computes may change when it is resumed
    other = replace(
        read_config(folder),
        device=config.device,
        threads=config.threads,
        save_every=config.save_every,
    )
    differences = config.differences(other)
    if differences:
        raise InputError(
            f"{folder} holds a run of other settings ({'; '.join(differences)}: asked for now, "
            "there). Name another --run-folder, or resume that run with its own settings: "
            f"al train --resume {folder}"
        )


def _result(
    state: TrainingState, test: Evaluation, coverage: float | None, origin: Origin
) -> RunResult:
    return RunResult(
        test_scores=list(test.scores),
        validation_scores=state.records[state.best_epoch - 1].scores,
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        seconds=sum(record.seconds for record in state.records),
        vector_coverage=coverage,
        **origin._asdict(),
    )
