"""The search of one method's settings, by Optuna: killed at any time, the same call goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from associated_learning.data import DataSet
from associated_learning.errors import InputError, NonFiniteLossError, needs_extra
from associated_learning.runs.inputs import evaluation_batches, read_inputs, training_batches
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.trainer import choose_device, make_trainer, placed
from associated_learning.runs.tuning.space import Choices, Range, SearchSpace
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback

if TYPE_CHECKING:
    from optuna import Study, Trial

__all__ = ["Found", "search"]

_SURE = 4  # settings that are tried to the end before others are given up


class Found(NamedTuple):
    """What a search of one method came to.

    Attributes:
        settings: The best ones, by name.
        score: Their best validation score, the larger the better (see `Trainer`).
        depth: At which depth.
        tried: Number of settings that were tried.
        pruned: Of these, those given up early, or whose loss was not finite.
        at_edge: Names of settings whose best value is the last of its list or range.
    """

    settings: Mapping[str, Any]
    score: float
    depth: int
    tried: int
    pruned: int
    at_edge: tuple[str, ...]


class _Prune(Callback):
    """Reports every epoch's best score of any exit, and ends what falls behind the median."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.pruned = False

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        self.trial.report(max(record.scores), record.epoch)
        if self.trial.should_prune():
            self.pruned = True
            state.stop()


def search(
    config: RunConfig,
    space: SearchSpace,
    data: DataSet,
    *,
    trials: int,
    journal: Path,
    told: Callable[[int], object] = lambda _: None,
) -> Found:
    """Try settings on the validation data, as many as are asked for; the test data are not read.

    The next ones are chosen by what the finished ones gave (`optuna.samplers.TPESampler`), and
    given up where they are behind the median of the finished ones at the same epoch.

    Raises:
        InputError: Optuna is not installed; or settings do not fit.
        KeyboardInterrupt: Ctrl-C; what was tried to its end is kept.
    """
    study, states = _study(journal, config.seed)
    for killed in study.get_trials(states=(states.RUNNING,)):
        study.tell(killed.number, state=states.FAIL)
    while len(_done(study)) < trials:
        trial = study.ask()
        chosen = {name: _suggested(trial, name, one) for name, one in space.items()}
        score = _score_of_trial(replace(config, **chosen), data, trial)
        study.tell(trial, score, state=states.PRUNED if score is None else states.COMPLETE)
        told(len(_done(study)))
    return _found(study, space)


def _study(journal: Path, seed: int) -> tuple[Study, Any]:
    with needs_extra("tune", "a search for settings"):
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name="settings",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_SURE, n_warmup_steps=1),
        direction="maximize",
        load_if_exists=True,
    )
    return study, optuna.trial.TrialState


def _done(study: Study) -> Sequence[Any]:
    """Return the trials that count: to their end, or given up."""
    return [one for one in study.trials if one.state.name in ("COMPLETE", "PRUNED")]


def _suggested(trial: Trial, name: str, one: Choices | Range) -> Any:
    if isinstance(one, Choices):
        return trial.suggest_categorical(name, one.values)
    if one.whole:
        return trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(name, one.low, one.high, log=one.log)


def _score_of_trial(config: RunConfig, data: DataSet, trial: Trial) -> float | None:
    """Train with some settings; return the best validation score, None if they were given up."""
    chosen, prune = resolved(config), _Prune(trial)
    inputs = read_inputs(chosen, data=data)
    device = choose_device(chosen.device)
    net = placed(
        build_network(chosen, inputs.spec, inputs.weights, backbone=inputs.backbone), device
    )
    data = data.to(device)
    train = training_batches(chosen, data)
    validation = evaluation_batches(chosen, data, "validation")
    try:
        state = make_trainer(chosen, len(train), net).fit(net, train, validation, callbacks=[prune])
    except NonFiniteLossError:
        return None
    best = state.records[state.best_epoch - 1] if state.best_epoch else None
    if prune.pruned or best is None:
        return None
    trial.set_user_attr("depth", best.best_depth(net.num_layers))
    return max(best.scores)


def _found(study: Study, space: SearchSpace) -> Found:
    done = _done(study)
    if all(one.state.name == "PRUNED" for one in done):
        raise InputError(
            f"all {len(done)} settings were given up: their losses were not finite. Search lower "
            "learning rates (--search lr=1e-5..1e-3)."
        )
    best = study.best_trial
    return Found(
        settings=dict(best.params),
        score=float(best.value or 0.0),
        depth=int(best.user_attrs["depth"]),
        tried=len(done),
        pruned=sum(one.state.name == "PRUNED" for one in done),
        at_edge=tuple(name for name, one in space.items() if _is_edge(one, best.params[name])),
    )


def _is_edge(one: Choices | Range, value: Any) -> bool:
    """Return whether a value is the last of a list of numbers, or in the last tenth of a range."""
    if isinstance(one, Range):
        return not 0.1 <= one.position(value) <= 0.9
    numbers = [v for v in one.values if type(v) in (int, float)]
    return len(numbers) > 2 and value in (min(numbers), max(numbers))
