"""``al plan``: the table, or all faults, for models of transformers, of ours and of the user's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import associated_learning as al
from associated_learning.runs.example import ExampleSource, parse_shape
from associated_learning.runs.networks.factory import make_model
from hub_folders import write_films, write_model, write_tokenizer
from test_cli import al as command

OWN = """
import torch
from torch import nn


def small():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    )


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.middle, self.up = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        low = self.down(x)
        return self.up(self.middle(low)) + low


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.first, self.second = (
            nn.Embedding(50, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        )

    def forward(self, input_ids, attention_mask):
        return self.second(self.first(self.words(input_ids)) * attention_mask.unsqueeze(2))


ready = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


def nothing():
    return 3


def needy(width):
    return nn.Linear(width, 1)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's in the working directory."""
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)


def planned(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    code, out, err = command("plan", *arguments, capsys=capsys)
    assert code == 0, err
    return out


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    code, out, err = command("plan", *arguments, capsys=capsys)
    assert (code, out) == (2, "")
    return err


def test_the_table_is_that_of_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    out = planned("own_models:small", "--input-shape", "3,4", "--at", "2", capsys=capsys)
    plan = al.plan(make_model("own_models:small"), torch.randn(2, 3, 4), at=2, balance="flops")
    assert out == str(plan) + "\n"
    out = planned("own_models:small", "--input-shape", "3,4", "--at", "2,", capsys=capsys)
    plan = al.plan(make_model("own_models:small"), torch.randn(2, 3, 4), at=["2"], balance="flops")
    assert out == str(plan) + "\n"


def test_balance_and_head_are_handed_on(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("own_models:small", "--input-shape", "12", "--at", "2")
    out = planned(*arguments, "--balance", "parameters", "--head", "4, 5", capsys=capsys)
    assert "share of parameters" in out.splitlines()[1]
    assert out.splitlines()[-1].endswith(": 5")
    out = planned(*arguments, "--head", "none", capsys=capsys)
    assert "dropped" not in out
    assert "no balance" not in out
    err = refused(*arguments, "--balance", "tiem", capsys=capsys)
    assert "balance='tiem' came" in err


def test_all_faults_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(
        "own_models:Unet", "--input-shape", "4", "--at", "middle,up", "--head", "none",
        capsys=capsys,
    )  # fmt: skip
    assert "jumps over this cut" in err
    with pytest.raises(al.ConversionError, match="jumps over") as found:
        al.plan(make_model("own_models:Unet"), torch.randn(2, 4), at=["middle", "up"], head=None)
    assert all(str(fault) in err.replace("\n    ", " ") for fault in found.value.faults)


def test_a_model_of_texts_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    out = planned(
        "own_models:Tagger", "--sequence-length", "7", "--at", "second", "--head", "none",
        "--batch-size", "3", capsys=capsys,
    )  # fmt: skip
    assert " x 7 x 8" in out
    assert "attention_mask" in out


def test_a_finished_model_is_taken_too(capsys: pytest.CaptureFixture[str]) -> None:
    out = planned("own_models:ready", "--input-shape", "4", "--head", "none", capsys=capsys)
    assert "Sequential in 2 layers" in out


def test_a_pretrained_folder_by_shape_and_by_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "bert")
    model = f"hf:{write_tokenizer(tmp_path / 'bert')}"
    out = planned(model, "--at", "encoder.layer.1", "--sequence-length", "9", capsys=capsys)
    assert "BertModel in 2 layers" in out
    assert " x 9 x 16" in out
    films = str(write_films(tmp_path / "films.csv"))
    out = planned(
        model, "--data", films, "--text-column", "text", "--batch-size", "4", "--at", "3",
        capsys=capsys,
    )  # fmt: skip
    assert "BertModel in 3 layers" in out
    assert " x 7 x 16" in out or " x 6 x 16" in out


def test_a_model_of_images_by_shape_and_by_data(capsys: pytest.CaptureFixture[str]) -> None:
    out = planned("hf:vit", "--input-shape", "3,32,32", "--at", "2", capsys=capsys)
    assert "ViTModel in 2 layers" in out
    assert " x 65 x 128" in out  # 32 / 4 squared, and one token more
    out = planned("hf:vit", "--data", "digits", capsys=capsys)
    assert " x 65 x 128" in out
    assert "ViTModel in 4 layers" in out


@pytest.mark.parametrize("family", ["mlp", "cnn", "vgg", "bilstm", "transformer"])
def test_families_of_ours_show_their_layers(
    family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = planned(family, capsys=capsys)
    rows = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    numbers = [row for row in rows if row]
    layers = {"mlp": 3, "cnn": 4, "vgg": 4, "bilstm": 3, "transformer": 3}[family]
    assert numbers == [str(i) for i in range(1, layers + 1)]


def test_families_follow_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert "[B, 32, 8, 8]" in planned("cnn", "--data", "digits", capsys=capsys)
    assert "[B, 32, 16, 16]" in planned("cnn", "--input-shape", "1,16,16", capsys=capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfromer"], "package.module:factory. Did you mean 'transformer'"),
        (["cnn", "--at", "2"], "--at 2 came, but cnn is made of layers"),
        (["own_models:smal"], "own_models has no smal. Did you mean 'small'"),
        (["own_modls:small"], "own_modls, of own_modls:small, cannot be imported"),
        (["own_models:nothing"], "own_models:nothing made int; expected a torch.nn.Module"),
        (["own_models:needy"], "own_models:needy() fails"),
        (["own_models:OWN"], "own_models has no OWN"),
        (["own_models:small"], "without an example of its inputs; expected --input-shape"),
        (["own_models:small", "--input-shape", "3,x"], "'3,x' is no shape"),
        (["own_models:small", "--input-shape", "0"], "'0' is no shape"),
        (["own_models:small", "--input-shape", "5"], "Sequential fails on the example"),
        (
            ["own_models:small", "--input-shape", "12", "--data", "digits"],
            "expected one of --data, --input-shape and --sequence-length",
        ),
        (["own_models:small", "--input-shape", "12", "--at", "7,"], "module '7' came"),
        (["hf:bert", "--data", "digits"], "hf:bert reads texts, the data are of kind image"),
        (["hf:bert", "--batch-size", "1"], "an example of 1 samples came"),
        (["mlp", "--data", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_mistakes_end_with_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    err = refused(*arguments, capsys=capsys).replace("\n", " ")
    assert message in err
    assert "Traceback" not in err


def test_shapes_are_read() -> None:
    assert (parse_shape("3,224,224"), parse_shape("7")) == ((3, 224, 224), (7,))


def test_example_texts_have_padding() -> None:
    """A mask without padding would let a model skip it, and hide what depends on it."""
    texts = ExampleSource(length=5, batch_size=3).texts()
    assert texts.mask().tolist() == [[True] * 5, [True] * 4 + [False], [True] * 4 + [False]]


def test_memory_tells_what_is_resident_and_what_is_offloaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "hf:bert", "--at", "2", "--store", str(tmp_path), "--memory"]
    code, out, err = command(*words, "64GiB", capsys=capsys)
    assert code == 0, err
    for word in ("limit", "resident", "offloaded", "window K", "time lost"):
        assert f"\n{word}" in out
    copies = command(*words, "64GiB", "--bridge", "block", capsys=capsys)[1]
    states = [float(text.split(" of training state")[0].split()[-2]) for text in (out, copies)]
    assert states[1] > states[0]  # which has another copy of the upper layer
    code, _, err = command(*words, "1MiB", capsys=capsys)
    assert code == 2
    assert "layer 1 alone needs" in err
    code, out, err = command(*words, "64GiB", "--stages", "2", capsys=capsys)
    assert code == 0, err
    stages = [line for line in out.splitlines() if line.startswith("stage ")]
    assert [line.split(":")[0].split() for line in stages] == [
        ["stage", "1", "layer", "1"],
        ["stage", "2", "layer", "2"],
    ]
    code, _, err = command("plan", "hf:bert", "--at", "2", "--stages", "2", capsys=capsys)
    assert code == 2
    assert "--stages 2 came without --memory" in err
    code, _, err = command("plan", "cnn", "--memory", "1GiB", capsys=capsys)
    assert code == 2
    assert "expected hf:NAME" in err
