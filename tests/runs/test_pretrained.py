"""A prefix as a folder of the Hugging Face hub: saved, read again, and told about."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

import associated_learning as al
from associated_learning.cli.main import app
from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub.pretrained import PretrainedModel
from associated_learning.runs.result import read_result
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.state.files import read_json, write_json


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "reviews"
    texts = folder.parent / "reviews.csv"
    rows = [f"{word} film {i % 7},{star}" for i in range(60) for word, star in
            (("good", "up"), ("bad", "down"))]  # fmt: skip
    texts.write_text("\n".join(["text,label", *rows]))
    config = RunConfig(
        data=str(texts), model="bilstm", hidden=6, embedding_dim=8, epochs=2, threads=1
    )
    train_run(config, folder)
    return folder


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_saved_and_read_again(run: Path, tmp_path: Path, depth: int) -> None:
    model = PretrainedModel.from_run(run, depth)
    model.save_pretrained(tmp_path / "hub")
    again = PretrainedModel.from_pretrained(tmp_path / "hub")
    opened = open_run(run)
    x = opened.preprocessor(["good film 1", "a bad film", "an unheard of film"])
    assert torch.equal(again(x), opened.net(x, depth))
    prediction = again.predict(["good film 1", "a bad film"])
    assert prediction.labels.tolist() == opened.net(x, depth).argmax(1)[:2].tolist()
    assert again.label_names == opened.label_names
    names = {path.name for path in (tmp_path / "hub").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors"}
    held = sum(value.numel() for value in load_file(tmp_path / "hub/model.safetensors").values())
    assert held == al.count_parameters(opened.net).inference[depth - 1]


def test_the_card_tells_this_runs_figures(run: Path) -> None:
    result = read_result(run)
    assert result is not None
    card = PretrainedModel.from_run(run, 2).generate_model_card()
    assert card.data.library_name == "associated-learning"
    assert card.data.pipeline_tag == "text-classification"
    for told in (
        "bilstm on reviews, depth 2",
        "| classes | down, up |",
        f"| test accuracy | {np.round(result.test_scores[1], 4)} |",
        "the first 2 layers",
    ):
        assert told in card.text
    assert str(run.parent) not in card.content  # no path of the machine it was trained on


def test_the_card_names_no_licence_but_the_users(run: Path, tmp_path: Path) -> None:
    model = PretrainedModel.from_run(run, 1)
    assert "license" not in model.generate_model_card().data.to_dict()
    model.save_pretrained(tmp_path / "hub", model_card_kwargs={"license": "CC-BY-4.0"})
    assert ModelCard.load(tmp_path / "hub" / "README.md").data.license == "cc-by-4.0"
    for wrong in ("mit\ntags: [x]", "", "the usual one"):
        with pytest.raises(InputError, match=r"expected an identifier .* such as apache-2\.0"):
            model.generate_model_card(license=wrong)


def test_the_random_state_is_left_alone(run: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    PretrainedModel.from_run(run)
    assert torch.equal(torch.rand(1), expected)


def test_foreign_folders_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run"):
        PretrainedModel.from_run(tmp_path)
    with pytest.raises(InputError, match="depth 9 came"):
        PretrainedModel.from_run(run, 9)


def corrupted(run: Path, folder: Path, what: str) -> None:
    """Export a run, and do to its folder what strangers and bad disks do."""
    PretrainedModel.from_run(run, 2).save_pretrained(folder)
    config, weights = folder / "config.json", folder / "model.safetensors"
    described, tensors = read_json(config), load_file(weights)
    described.pop("files")  # which would tell, if a stranger left it in
    first = next(iter(tensors))
    if what == "missing":
        del tensors[first]
    elif what == "renamed":
        tensors["elsewhere"] = tensors.pop(first)
    elif what == "shape":
        tensors[first] = torch.zeros(2, 2)
    elif what == "layers":
        described["described"]["config"]["num_layers"] = 10**7
    elif what == "width":
        described["described"]["config"]["hidden"] = 2**62
    elif what == "pattern":
        described["preprocessing"]["token_pattern"] = "(a+)+$"
    elif what == "temperature":
        described["temperature"] = 0
    elif what == "foreign":
        described = {"model_type": "bert"}
    save_file(tensors, weights)
    write_json(config, described)
    if what == "no config":
        config.unlink()
    elif what == "truncated":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif what == "pickle":
        weights.write_bytes(pickle.dumps({"a": 1}))
    elif what == "pickle by its name":
        weights.unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    elif what == "pipe":
        weights.unlink()
        os.mkfifo(weights)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"does not fit .*config.json; missing: model\."),
        ("renamed", r"missing: model\..*; unknown: elsewhere"),
        ("shape", r"of another shape: model\."),
        ("layers", "num_layers is 10000000; expected 10000 at most"),
        ("width", "hidden is 4611686018427387904; expected"),
        ("pattern", r"cuts texts by a pattern of its own \('\(a\+\)\+\$'\)"),
        ("temperature", "the temperature 0 came; expected a number above 0"),
        ("foreign", "describes no model of this library"),
        ("no config", "holds no config.json"),
        ("truncated", "model.safetensors cannot be read"),
        ("pickle", "model.safetensors cannot be read"),
        ("pickle by its name", "pytorch_model.bin is pickled, could run any code"),
        ("pipe", "is no regular file"),
    ],
)
def test_every_fault_of_an_exported_folder_is_ours_with_a_remedy(
    what: str, message: str, run: Path, tmp_path: Path
) -> None:
    corrupted(run, tmp_path / "hub", what)
    with pytest.raises(al.errors.AssociatedLearningError, match=message):
        PretrainedModel.from_pretrained(tmp_path / "hub")
    for command in (
        ["predict", str(tmp_path / "hub"), "a film"],
        ["evaluate", str(tmp_path / "hub")],
    ):
        with pytest.raises(CheckpointError, match=r"Name a folder|is read by PretrainedModel"):
            app(command, standalone_mode=False)


def test_a_changed_byte_of_an_exported_folder_is_noticed(run: Path, tmp_path: Path) -> None:
    PretrainedModel.from_run(run, 1).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.safetensors has changed since it was saved"):
        PretrainedModel.from_pretrained(tmp_path)
