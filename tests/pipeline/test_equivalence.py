"""The proof that users run: it must hold for every family, and fail where bits differ."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import associated_learning as al
from associated_learning import models
from associated_learning.cli.main import app
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from faults import KillAt, KilledError
from pipeline_runs import digests
from small_networks import batches_of, dense_network


def texts(count: int) -> al.LoaderBatches:
    """Minibatches of texts whose lengths differ from batch to batch."""
    draw = torch.Generator().manual_seed(1)
    batches = []
    for i in range(count):
        length = 5 + i % 4
        lengths = torch.randint(1, length + 1, (8,), generator=draw)
        lengths[0] = length
        ids = torch.randint(1, 50, (8, length), generator=draw)
        ids[torch.arange(length) >= lengths.unsqueeze(1)] = 0
        batches.append((al.PaddedSequence(ids, lengths), torch.arange(8) % 3))
    return al.LoaderBatches(batches)


def images(count: int) -> al.LoaderBatches:
    draw = torch.Generator().manual_seed(1)
    return al.LoaderBatches(
        [(torch.randn(8, 1, 12, 12, generator=draw), torch.arange(8) % 3) for _ in range(count)]
    )


FAMILIES: dict[str, Any] = {
    "cnn": (lambda: models.CNN(in_channels=1, image_size=12), images),
    "bilstm": (
        lambda: models.BiLSTM(
            vocabulary_size=50, embedding_dim=8, hidden=6, num_layers=2, dropout=0.2
        ),
        texts,
    ),
    "transformer": (
        lambda: models.Transformer(
            vocabulary_size=50, embedding_dim=12, feedforward=8, num_layers=3, dropout=0.2
        ),
        texts,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_to_the_same_bits(family: str) -> None:
    make, data = FAMILIES[family]
    batches = data(12)
    x, _ = next(batches.epoch(0))
    net = al.al_form(make().layers, x, al.Classes(3), latent=8)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    trainer = al.Trainer(epochs=1, lr=0.01, clip=1.0, executor="threads", stages=net.num_layers)
    report = al.verify_pipeline(net, batches, trainer, steps=30)
    assert report is not None
    assert report.exact
    assert len(report.rows) == 2 * net.num_layers
    assert len({row.sequential for row in report.rows}) == len(report.rows)
    assert "layer-1" in str(report)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_converted_network_trains_to_the_same_bits() -> None:
    model = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)
    )
    batches = al.LoaderBatches(batches_of(5))
    net = al.convert(model, batches_of(1)[0][0], target=al.Classes(4), at=2)
    trainer = al.Trainer(epochs=1, executor="threads", stages=2)
    report = al.verify_pipeline(net, batches, trainer, steps=10)
    assert report is not None
    assert report.exact


def test_bits_that_depend_on_the_executor_are_found() -> None:
    class Leaks(nn.Module):
        """Computes something else in a thread of its own."""

        def forward(self, x: Tensor) -> Tensor:
            alone = threading.current_thread() is threading.main_thread()
            return x if alone else x * 1.0000002

    encoders = [nn.Linear(6, 6), nn.Sequential(Leaks(), nn.Linear(6, 6)), nn.Linear(6, 6)]
    net = al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)
    trainer = al.Trainer(epochs=1, executor="threads", stages=3)
    with pytest.raises(al.VerificationError, match="not end with the same bits") as caught:
        al.verify_pipeline(net, al.LoaderBatches(batches_of(5)), trainer, steps=5)
    told = {line.split()[0]: line.split()[-1] for line in str(caught.value).splitlines()[3:9]}
    assert told["layer-1"] == told["optimizer-1"] == "yes"
    assert told["layer-2"] == told["optimizer-2"] == "NO"


@pytest.mark.parametrize(
    ("executor", "steps", "message"), [("threads", 0, "steps=0 came"), ("auto", 5, "with itself")]
)
def test_what_would_prove_nothing_is_refused(executor: str, steps: int, message: str) -> None:
    trainer = al.Trainer(epochs=1, executor=executor)
    with pytest.raises(al.InputError, match=message):
        al.verify_pipeline(dense_network(2), al.LoaderBatches(batches_of(1)), trainer, steps=steps)


def test_the_command_shows_the_digests() -> None:
    command = "verify pipeline --executor threads --stages 2 --num-layers 3 --steps 6 --hidden 16"
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if "yes" in line]
    assert len(rows) == 6
    for row in rows:
        _, _, sequential, pipeline, _, *_ = row.split("│")
        assert sequential == pipeline
        assert len(sequential.strip()) == 16
    assert "After 6 weight updates the pipeline holds the same bits" in result.output


def test_the_commands_run_is_the_same_in_threads_and_draws_what_ran(tmp_path: Path) -> None:
    settings = "train --epochs 2 --num-layers 3 --hidden 16 --dropout 0.1 --threads 1 --quiet"
    for name, more in (("one", ""), ("many", "--executor threads --stages 2,1 --trace 30")):
        command = [*settings.split(), "--run-folder", str(tmp_path / name), *more.split()]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    one, many = (digests(tmp_path / name / "checkpoints") for name in ("one", "many"))
    assert one == many
    trace = json.loads((tmp_path / "many" / "pipeline.json").read_text())
    work = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(work) == 2 * 30
    assert (tmp_path / "many" / "plots" / "pipeline.png").stat().st_size > 10_000


def test_a_run_goes_on_with_other_stages(tmp_path: Path) -> None:
    """How many stages there are is no setting of the run: it may change when it is resumed."""
    config = RunConfig(num_layers=3, hidden=16, threads=1, epochs=2, save_every=4, stages="2")
    train_run(config, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_run(config, tmp_path / "cut", callbacks=[KillAt(15)])
    more = ["--executor", "threads", "--stages", "3", "--quiet"]
    result = CliRunner().invoke(app, ["train", "--resume", str(tmp_path / "cut"), *more])
    assert result.exit_code == 0, result.output
    whole, cut = (digests(tmp_path / name / "checkpoints") for name in ("whole", "cut"))
    assert cut == whole


@pytest.mark.parametrize("stages", ["two", "2,", "1,x"])
def test_stages_that_are_no_numbers_are_refused(stages: str) -> None:
    result = CliRunner().invoke(app, ["train", "--stages", stages])
    assert isinstance(result.exception, al.InputError)
    assert f"--stages {stages} came; expected a number" in str(result.exception)
