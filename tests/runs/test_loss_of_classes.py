"""Class weights and label smoothing of a run, and measures by name."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from torch.nn.functional import cross_entropy

from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub.model import find_model
from associated_learning.runs.networks.class_weights import balanced_weights
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.unused import check_unused
from commands import run_al


@pytest.mark.parametrize("method", ["al", "bp"])
def test_a_run_learns_by_weighted_and_smoothed_labels(method: str, tmp_path: Path) -> None:
    rows = [f"{i % 7},{i * i % 5},{'rare' if i % 5 == 0 else 'common'}\n" for i in range(100)]
    (tmp_path / "t.csv").write_text("a,b,label\n" + "".join(rows))
    (tmp_path / "test.csv").write_text("a,b,label\n" + "".join(rows))
    run_al(
        "train", "--data", tmp_path / "t.csv", "--test-data", tmp_path / "test.csv", "--model",
        "mlp", "--method", method, "--hidden", 8, "--epochs", 1, "--threads", 1, "--quiet",
        "--class-weight", "balanced", "--label-smoothing", 0.1, "--run-folder", tmp_path / "run",
    )  # fmt: skip
    target = open_run(tmp_path / "run").net.target
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    weight = torch.tensor(described["inputs"]["class_weights"])
    assert weight[1] / weight[0] == pytest.approx(4, rel=0.2)  # cut from the training split
    output, y = torch.randn(6, 2), torch.tensor([0, 1, 0, 0, 1, 1])
    expected = cross_entropy(output, y, weight=weight, label_smoothing=0.1)
    torch.testing.assert_close(target.loss(output, target.encode(y)), expected)

    pytest.importorskip("torchmetrics")
    found = run_al("evaluate", tmp_path / "run", "--metric", "balanced_accuracy", "--json")
    shown = run_al("evaluate", tmp_path / "run", "--metric", "balanced_accuracy", "--depth", 1)
    assert f"balanced_accuracy {json.loads(found)['balanced_accuracy']['1']:.4f}" in shown
    file = tmp_path / "answers.jsonl"
    last = max(json.loads(found)["balanced_accuracy"], key=int)
    asked = ("--file", tmp_path / "test.csv", "--depth", last)
    run_al("predict", tmp_path / "run", *asked, "--output", file)
    said = [json.loads(line)["label"] for line in file.read_text().splitlines()]
    truth = [row.strip().split(",")[-1] for row in rows]
    recalls = [
        sum(a == b == name for a, b in zip(said, truth, strict=True)) / truth.count(name)
        for name in ("common", "rare")
    ]
    assert json.loads(found)["balanced_accuracy"][last] == pytest.approx(sum(recalls) / 2)


def test_balanced_weights_let_every_class_count_the_same() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = torch.tensor(balanced_weights(labels, 3))
    torch.testing.assert_close(weights * labels.bincount(), torch.full((3,), 10 / 3))
    with pytest.raises(InputError, match=r"class 3 .* has no training sample"):
        balanced_weights(labels, 4)


@pytest.mark.parametrize(
    "other",
    [
        {"first_loss": "mse"},
        {"local_loss": "ce"},
        {"method": "bp", "double_softmax": True},
        {"task": "tokens", "model": "bilstm"},
    ],
)
def test_class_losses_are_refused_where_nothing_reads_them(other: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"--label-smoothing 0\.1 came"):
        check_unused(RunConfig(label_smoothing=0.1, **other))
    with pytest.raises(InputError, match="--class-weight balanced came"):
        check_unused(RunConfig(class_weight="balanced", **other))


def test_a_mistyped_type_of_model_is_told_without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")

    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", asked)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", asked)
    with pytest.raises(InputError, match=r"Did you mean 'bert'\? .*hf:OWNER/bret"):
        find_model("hf:bret")
    with pytest.raises(InputError, match="the hub was asked"):
        find_model("hf:distilgpt2")  # a model on the hub, of the time before owners


@pytest.mark.parametrize(
    ("status", "message"), [(404, "has no model of that name"), (503, "cannot be asked")]
)
def test_a_name_that_the_hub_does_not_know_is_told_after_one_question(
    status: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an answer as the hub gives it, not by the retries of a download."""
    transformers = pytest.importorskip("transformers")
    asked: list[str] = []

    def answered(self: Any, request: Any, **_: Any) -> Any:
        asked.append(str(request.url))
        headers = {"x-error-code": "RepoNotFound"} if status == 404 else {}
        return httpx.Response(status, headers=headers, request=request)

    httpx = importlib.import_module(type(huggingface_hub.get_session()).__module__.split(".")[0])
    monkeypatch.setattr(httpx.Client, "send", answered)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", None)
    with pytest.raises(InputError, match=message):
        find_model("hf:owner/wrong")
    assert sum(url.endswith("/owner/wrong") for url in asked) == 1
