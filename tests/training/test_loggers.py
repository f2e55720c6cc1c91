"""Trackers get what the run did, by calls that their documented signatures take."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.training.adapters.loggers import MLflow, RunLog
from associated_learning.training.callbacks import Callback

Call = tuple[int | None, dict[str, float]]


class WandbRun:
    """The signature of ``wandb.Run.log``, and its rule: steps never fall (0.31)."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def log(
        self, data: dict[str, Any], step: int | None = None, commit: bool | None = None
    ) -> None:
        assert step is not None
        assert not self.calls or step >= (self.calls[-1][0] or 0), "wandb drops it"
        self.calls.append((step, dict(data)))


class TrackioRun:
    """The signature of ``trackio.Run.log``, and the names that it reserves (0.43)."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        assert not set(metrics) & {"project", "run", "timestamp", "step", "time", "metrics"}
        self.calls.append((step, dict(metrics)))


def stand_in_for_mlflow(calls: list[Call], run: str | None) -> ModuleType:
    """A module with the signature of ``mlflow.log_metrics`` and its law for names (3.17)."""
    module = ModuleType("mlflow")

    def log_metrics(
        metrics: dict[str, float],
        step: int | None = None,
        synchronous: bool | None = None,
        run_id: str | None = None,
        timestamp: int | None = None,
        model_id: str | None = None,
        dataset: Any = None,
    ) -> None:
        assert run_id == run
        for name, value in metrics.items():
            assert all(c.isalnum() or c in "_-. :/" for c in name), name
            assert type(value) is float
        calls.append((step, dict(metrics)))

    module.log_metrics = log_metrics  # type: ignore[attr-defined]
    return module


class Witness(Callback):
    """Hears itself what there is to tell."""

    def __init__(self) -> None:
        self.told: dict[int, dict[str, float]] = {}

    def batch_done(self, state: Any, losses: Any) -> None:
        for i, terms in enumerate(losses, start=1):
            for name, value in terms.items():
                self.told.setdefault(state.step, {})[f"loss/{name}/layer-{i}"] = value

    def epoch_done(self, state: Any, record: Any) -> None:
        for i, score in enumerate(record.scores, start=1):
            self.told.setdefault(record.step, {})[f"validation/depth-{i}"] = score


def trained(*callbacks: Callback) -> dict[int, dict[str, float]]:
    torch.manual_seed(0)
    x = torch.randn(8, 4)
    batches = [(x[i : i + 2], (x[i : i + 2, 0] > 0).long()) for i in (0, 2, 4, 6)]
    net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, al.Classes(2), latent=4)
    witness = Witness()
    al.Trainer(epochs=2, lr=0.125).fit(net, batches, batches, callbacks=[*callbacks, witness])
    return witness.told


def check(calls: list[Call], told: dict[int, dict[str, float]]) -> None:
    """Every second batch and each epoch came with their values, and nothing else."""
    assert [step for step, _ in calls] == [2, 4, 4, 6, 8, 8]
    for step, values in calls:
        assert step is not None
        rates = {name: values.pop(name) for name in list(values) if name.startswith("lr/")}
        if rates:
            assert rates == {"lr/layer-1": 0.125, "lr/layer-2": 0.125}
            assert values.pop("epoch") == step / 4
        assert values.items() <= told[step].items()
    for step in (2, 4, 6, 8):
        merged = {name for at, values in calls if at == step for name in values}
        assert merged == set(told[step])


@pytest.mark.parametrize("kind", [WandbRun, TrackioRun])
def test_runs_that_log_dictionaries(kind: type[Any]) -> None:
    run = kind()
    check(run.calls, trained(RunLog(run, every=2)))


@pytest.mark.parametrize("run", [None, "a1b2"])
def test_mlflow(run: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Call] = []
    monkeypatch.setitem(sys.modules, "mlflow", stand_in_for_mlflow(calls, run))
    check(calls, trained(MLflow(run, every=2)))


def test_a_log_of_no_batch_is_refused() -> None:
    with pytest.raises(al.InputError, match=r"every=0 came; expected at least 1 batch"):
        RunLog(WandbRun(), every=0)
