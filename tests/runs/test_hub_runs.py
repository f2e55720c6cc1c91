"""Runs of models of transformers: the same encoders for AL and BP, and a folder that suffices."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import associated_learning as al
from associated_learning.models import LayeredModel
from associated_learning.models.lookahead import Lookahead
from associated_learning.network import Network
from associated_learning.runs.folder.description import read_description
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub.network import find_backbone
from associated_learning.runs.inputs import input_spec, load_data
from associated_learning.runs.ledger.rows import make_row
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.result import RunResult, read_history
from associated_learning.runs.run import default_folder, train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.trainer import make_trainer
from associated_learning.state.freezing import encoders_in
from faults import InterruptAt
from hub_folders import write_config, write_films, write_model, write_tokenizer
from small_networks import dense_network

OWN: dict[str, dict[str, Any]] = {"al": {}, "bp": {"latent": None, "target_warmup": None}}


pytestmark = pytest.mark.usefixtures("no_hub")


@pytest.fixture
def films(tmp_path: Path) -> RunConfig:
    return films_in(tmp_path)


def films_in(folder: Path) -> RunConfig:
    """Write texts, and a pretrained BERT with its tokenizer."""
    write_model(folder / "bert")
    write_tokenizer(folder / "bert")
    return RunConfig(
        data=str(write_films(folder / "films.csv")), text_column="text",
        model=f"hf:{folder / 'bert'}", num_layers=3, latent=8, epochs=2, batch_size=8, threads=1,
        target_warmup=5,
    )  # fmt: skip


def digits(tmp_path: Path) -> RunConfig:
    """Images of digits, and a pretrained ViT in a folder."""
    write_model(tmp_path / "vit", "vit")
    return RunConfig(
        model=f"hf:{tmp_path / 'vit'}", num_layers=3, latent=8, epochs=1, limit_train=100,
        threads=1, target_warmup=5,
    )  # fmt: skip


def start(config: RunConfig) -> tuple[Network, Any]:
    """Return the network that a run starts with, and a batch of its data."""
    config = resolved(config)
    data = load_data(config)
    spec = input_spec(config, data, None)
    x = data.train.take(torch.arange(4))
    backbone = find_backbone(config, spec, x)
    return build_network(config, spec, backbone=backbone, pretrained=True).eval(), x


def chained(net: Network, x: Any) -> Any:
    for f in encoders_in(net):
        x = f(x)
    return x


@pytest.mark.parametrize("method", ["al", "bp"])
def test_a_run_starts_with_the_features_of_the_pretrained_model(
    method: str, films: RunConfig
) -> None:
    from transformers import AutoModel

    net, x = start(replace(films, method=method, **OWN[method]))
    assert len(encoders_in(net)) == 3
    published = AutoModel.from_pretrained(films.model.removeprefix("hf:")).eval()
    mask = x.mask().long()
    features = published(x.values, attention_mask=mask).last_hidden_state
    assert torch.equal(chained(net, x).values, features)
    if method == "bp":
        means = torch.stack(
            [f[:n].mean(0) for f, n in zip(features, x.lengths.tolist(), strict=True)]
        )
        assert isinstance(net, al.BPNetwork)
        assert isinstance(net.model, LayeredModel)
        torch.testing.assert_close(net(x), net.model.head(means))


def test_images_start_with_the_features_of_the_pretrained_model(tmp_path: Path) -> None:
    from transformers import AutoModel

    net, x = start(digits(tmp_path))
    published = AutoModel.from_pretrained(tmp_path / "vit").eval()
    features = published(x).last_hidden_state
    assert torch.equal(chained(net, x).values, features)


@pytest.mark.parametrize("kind", ["films", "digits"])
def test_both_methods_start_with_the_same_encoders(
    kind: str, films: RunConfig, tmp_path: Path
) -> None:
    config = films if kind == "films" else digits(tmp_path)
    (one, _), (two, _) = start(config), start(replace(config, method="bp", **OWN["bp"]))
    weights = [
        {key: value for f in encoders_in(net) for key, value in f.state_dict().items()}
        for net in (one, two)
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.parametrize("method", ["al", "bp"])
def test_fine_tuning_learns(method: str, films: RunConfig, tmp_path: Path) -> None:
    config = replace(
        films, method=method, **OWN[method], epochs=15, lr=1e-2,
        encoder_lr=3e-3, warmup=0.1, schedule="linear", patience=0,
    )  # fmt: skip
    result = train_run(config, tmp_path / "run")
    assert result.test_scores[-1] == 1.0
    assert len(result.test_scores) == (3 if method == "al" else 1)


@pytest.mark.parametrize("kind", ["films", "digits", "fresh", "own words"])
@pytest.mark.parametrize("method", ["al", "bp"])
def test_the_folder_of_a_run_suffices(
    kind: str, method: str, films: RunConfig, tmp_path: Path
) -> None:
    """The model's folder is deleted; the run opens with the same answers, and is scored again."""
    config = digits(tmp_path) if kind == "digits" else films
    if kind == "fresh":
        config = replace(config, model="hf:distilbert", num_layers=2)
    if kind == "own words":
        folder = write_config(tmp_path / "plain")
        config = replace(config, model=f"hf:{folder / 'config.json'}")
    config = replace(config, method=method, **OWN[method])
    result = train_run(config, tmp_path / "run")
    for name in ("bert", "vit", "plain"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    opened = open_run(tmp_path / "run")
    data = load_data(opened.config, opened.preprocessor)
    x = data.test.take(torch.arange(len(data.test)))
    scores = al.evaluate(opened.net, [(x, data.test.labels)]).scores
    assert list(scores) == pytest.approx(result.test_scores)
    inputs = ["a good film"] if data.kind == "text" else [_image(tmp_path)]
    answer = opened.net.predict(opened.preprocessor(inputs))
    assert answer.labels.shape == (1,)
    assert train_run(config, tmp_path / "run") == result


def _image(folder: Path) -> str:
    from PIL import Image

    Image.new("L", (8, 8), 128).save(folder / "grey.png")
    return str(folder / "grey.png")


def saved_often(config: RunConfig, method: str) -> RunConfig:
    return replace(
        config, method=method, **OWN[method], save_every=1, freeze="1",
        encoder_lr=1e-3, lr=1e-2, warmup=2, schedule="cosine",
    )  # fmt: skip


@pytest.fixture(scope="module", params=["al", "bp"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, RunResult, Path]:
    """A method, and a run of it that nothing killed: its result and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    result = train_run(saved_often(films_in(folder), request.param), folder / "run")
    return request.param, result, folder / "run"


@pytest.mark.parametrize("step", [1, 5, 9])
def test_a_killed_run_goes_on_without_the_models_folder(
    undisturbed: tuple[str, RunResult, Path], step: int, films: RunConfig, tmp_path: Path
) -> None:
    method, whole, folder = undisturbed
    config = saved_often(films, method)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "killed", callbacks=[InterruptAt(step)])
    if step > 1:  # before, nothing was saved but where the weights came from
        shutil.rmtree(tmp_path / "bert")
    resumed = train_run(config, tmp_path / "killed")
    assert resumed.test_scores == whole.test_scores
    files = [sorted((of / "checkpoints").glob("best-*/*")) for of in (folder, tmp_path / "killed")]
    assert [p.name for p in files[0]] == [p.name for p in files[1]]
    for one, two in zip(*files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_frozen_encoders_keep_the_pretrained_weights(films: RunConfig, tmp_path: Path) -> None:
    train_run(replace(films, freeze="2", lr=0.01), tmp_path / "run")
    stored = load_file(tmp_path / "bert" / "model.safetensors")
    net = open_run(tmp_path / "run").net
    changed = []
    for f in encoders_in(net):
        own = [(k, v) for k, v in f.state_dict().items() if f"bert.{k}" in stored]
        assert own
        changed.append(any(not torch.equal(v, stored[f"bert.{k}"]) for k, v in own))
    assert changed == [False, False, True]


def test_modules_are_frozen_by_name(films: RunConfig, tmp_path: Path) -> None:
    train_run(replace(films, freeze="embeddings, encoder.layer.2.output"), tmp_path / "run")
    stored = load_file(tmp_path / "bert" / "model.safetensors")
    weights = dict(item for f in encoders_in(open_run(tmp_path / "run").net) for item in
                   f.named_parameters())  # fmt: skip
    kept = {name for name, weight in weights.items() if torch.equal(weight, stored[f"bert.{name}"])}
    asked = {n for n in weights if n.startswith(("embeddings.", "encoder.layer.2.output."))}
    assert kept == asked
    assert len(asked) == 5 + 4


def test_rates_fall_from_encoder_to_encoder(films: RunConfig) -> None:
    config = resolved(replace(films, encoder_lr=0.8, encoder_lr_decay=0.5, lr=0.1))
    net = dense_network(3)
    assert make_trainer(config, 10, net).encoder_lr == [0.2, 0.4, 0.8]
    ours = resolved(RunConfig(encoder_lr_decay=0.5, lr=0.1))
    assert make_trainer(ours, 10, net).encoder_lr == pytest.approx([0.025, 0.05, 0.1])


def test_bridges_of_two_maps_have_the_width_asked_for(films: RunConfig) -> None:
    net, _ = start(replace(films, bridge="mlp", bridge_hidden=24))
    assert isinstance(net, al.ALNetwork)
    shapes = [
        [m.weight.shape for m in layer.b if hasattr(m, "weight")] for layer in net.al_layers()
    ]
    assert shapes == [[(24, 16), (8, 24)]] * 3


def test_bridges_look_ahead_by_copies_of_the_pretrained_blocks(films: RunConfig) -> None:
    net, _ = start(replace(films, bridge="block", bridge_blocks=2))
    assert isinstance(net, al.ALNetwork)
    first, *above = net.al_layers()
    assert isinstance(first.readout, Lookahead)
    for copy, layer in zip(first.readout.blocks, above, strict=True):
        pairs = zip(copy.parameters(), layer.f.parameters(), strict=True)
        assert all(torch.equal(a, b) and a is not b for a, b in pairs)


def test_a_converted_model_learns_by_a_local_loss_without_autoencoders(
    films: RunConfig, tmp_path: Path
) -> None:
    asked = replace(films, local_loss="predsim", latent=None, target_warmup=None, epochs=1)
    train_run(asked, tmp_path / "run")
    net = open_run(tmp_path / "run").net
    assert isinstance(net, al.ALNetwork)
    assert [type(layer.g) for layer in net.al_layers()] == [torch.nn.Identity] * 3
    history = read_history(tmp_path / "run")
    assert [list(terms) for terms in history[0].losses] == [["associated"]] * 3


def test_cuts_are_found_once(films: RunConfig, tmp_path: Path) -> None:
    """A balance by measured time may not cut a run anew when it is opened or resumed."""
    config = replace(films, num_layers=None, at="2", balance="time")
    train_run(config, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    description = read_description(tmp_path / "run")
    assert description.backbone is not None
    (cut,) = description.backbone.cuts
    net = open_run(tmp_path / "run").net
    assert isinstance(net, al.ConvertedNetwork)
    assert [layer.begins for layer in net.plan.layers] == ["", cut]
    assert json.loads(path.read_text())["backbone"]["config"]["model_type"] == "bert"


def test_named_cuts_are_taken(films: RunConfig) -> None:
    net, _ = start(replace(films, num_layers=None, at="encoder.layer.1, encoder.layer.2"))
    assert isinstance(net, al.ConvertedNetwork)
    begins = [layer.begins for layer in net.plan.layers]
    assert begins == ["", "encoder.layer.1", "encoder.layer.2"]


def test_texts_are_cut_to_what_the_model_can_count(films: RunConfig, tmp_path: Path) -> None:
    long = " ".join(["film"] * 100)
    path = tmp_path / "films.csv"
    path.write_text(path.read_text() + f"{long},0\n{long},1\n" * 5)
    data = load_data(resolved(films))
    assert int(data.train.lengths.max()) == 24
    own = write_config(tmp_path / "plain")
    data = load_data(resolved(replace(films, model=f"hf:{own}")))
    assert int(data.train.lengths.max()) == 24


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 8}, "--hidden 8 came, but the configuration of hf:"),
        ({"dropout": 0.5}, "--dropout 0.5 came, but the configuration of hf:"),
        ({"vectors": "glove.txt"}, "--vectors glove.txt came, but the configuration of hf:"),
        ({"readout": "mean"}, "--readout mean came, but a converted model"),
        ({"stop_gradients": False}, "--stop-gradients False came, but a converted model"),
        ({"vocabulary_size": 9}, "--vocabulary-size 9 came, but the texts are split by"),
        ({"remove_stop_words": True}, "--remove-stop-words True came, but the texts are"),
        ({"at": "2"}, "--at 2 came with --num-layers 3, which are two answers"),
        ({"max_length": 99}, "--max-length 99 came for hf:"),
        ({"data": "digits", "text_column": None}, "data of kind image came for a model whose"),
        ({"num_layers": 99}, "the model cannot be converted, for"),
        ({"num_layers": None, "at": "encoder.layr.1"}, r"Did you mean 'encoder\.layer\.1'"),
        ({"freeze": "embeding"}, r"freeze=embeding came, .* Did you mean 'embeddings'"),
        ({"bridge_hidden": 9}, "--bridge-hidden 9 came, but only --bridge mlp has a width"),
        ({"bridge_blocks": 2}, "--bridge-blocks 2 came, but only --bridge block has copies"),
        ({"coders": "etf", "target_warmup": 5}, "--target-warmup 5 came, but g and h of --coders"),
        ({"freeze": "4"}, "freeze=4 came for a network of 3 encoders"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    settings: dict[str, Any], message: str, films: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(al.InputError, match=message):
        train_run(replace(films, **settings), tmp_path / "run")


@pytest.mark.parametrize("name", ["at", "balance"])
def test_families_of_ours_have_no_cuts_to_choose(name: str) -> None:
    value = {"at": "2", "balance": "time"}[name]
    with pytest.raises(al.InputError, match=f"--{name} {value} came, but --model mlp is made of"):
        resolved(RunConfig(**{name: value}))  # type: ignore[arg-type]


def test_no_path_goes_into_names(films: RunConfig, tmp_path: Path) -> None:
    assert films.model_name == "hf:bert"
    assert replace(films, model="hf:/a/vit/config.json").model_name == "hf:vit"
    assert replace(films, model="hf:bert").model_name == "hf:bert"
    assert default_folder(films) == Path("runs/films-hf-bert-al-0")
    row = make_row(resolved(films), train_run(films, tmp_path / "run"), experiment="test")
    assert (row.model, row.config["model"]) == ("hf:bert", "hf:bert")
    assert str(tmp_path) not in json.dumps(row.config)


def test_rates_of_the_run_are_those_asked_for(films: RunConfig, tmp_path: Path) -> None:
    config = replace(films, lr=0.4, schedule="linear", warmup=0.5, epochs=2, batch_size=22)
    train_run(config, tmp_path / "run")
    steps = [record.step for record in read_history(tmp_path / "run")]
    # after the last update of an epoch: the rise ends at half of the updates, then it falls
    assert steps == [2, 4]
    assert [r.lr[0] for r in read_history(tmp_path / "run")] == pytest.approx([0.4, 0.0])
