"""Runs with a label for every word: pretrained models and our own, AL and BP."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sklearn.metrics import accuracy_score, f1_score

from associated_learning.cli.evaluate import evaluate
from associated_learning.cli.export import export
from associated_learning.cli.info import info
from associated_learning.cli.predict import predict
from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.inputs import evaluation_batches, load_data, read_inputs
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from faults import InterruptAt
from hub_folders import BERT, write_model, write_tagged, write_tokenizer
from test_runs import same_weights

pytestmark = pytest.mark.usefixtures("no_hub")


def tagged(folder: Path, model: str, **changes: Any) -> RunConfig:
    data = folder / "tags.jsonl"
    data = data if data.exists() else write_tagged(data)
    own = {
        "hf": {"num_layers": 3, "encoder_lr": 1e-2, "epochs": 3},
        "bilstm": {"hidden": 8, "embedding_dim": 8, "num_layers": 1, "epochs": 12},
        "transformer": {"hidden": 8, "embedding_dim": 8, "num_layers": 1, "epochs": 12},
    }
    name = f"hf:{folder / model}" if model == "bert" else model
    settings = {"lr": 1e-2, "batch_size": 8, "threads": 1, **own[name.split(":")[0]], **changes}
    return RunConfig(task="tokens", data=str(data), model=name, **settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    write_model(folder / "bert")
    write_tokenizer(folder / "bert")
    train_run(tagged(folder, "bert"), folder / "run")
    shutil.rmtree(folder / "bert")  # the run's folder suffices
    return folder / "run"


def test_it_is_saved_as_a_model_of_transformers_at_every_depth(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That labels words as the run does."""
    words = ["a", "bad", "films"]
    for depth in (1, 2, 3):
        export(str(trained), tmp_path / str(depth), depth=depth, license_=None)
        folder = tmp_path / str(depth)
        model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        encoding = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            answers = model(**encoding).logits[0].argmax(-1).tolist()
        owners = encoding.word_ids()
        capsys.readouterr()
        predict(str(trained), [" ".join(words)], depth=depth)
        said = json.loads(capsys.readouterr().out)
        expected = [model.config.id2label[answers[owners.index(i)]] for i in range(len(words))]
        assert said == {"tokens": words, "labels": expected, "depth": depth}


def test_scores_are_those_of_scikit_learn(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_run(trained)
    data = load_data(opened.config, opened.preprocessor)
    right, said = [], []
    for x, y in evaluation_batches(opened.config, data, "test").epoch(0):
        kept = y != -100
        said += opened.net.predict(x, 1).labels[kept].tolist()
        right += y[kept].tolist()
    evaluate(str(trained), depth="1", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["accuracy"]["1"] == pytest.approx(accuracy_score(right, said))
    assert told["f1"]["1"] == pytest.approx(f1_score(right, said, average="macro"), abs=1e-6)
    result = json.loads((trained / "result.json").read_text())
    assert result["test_scores"][0] == pytest.approx(told["accuracy"]["1"])
    info(str(trained))
    assert "3 classes at every token" in capsys.readouterr().out


@pytest.mark.parametrize("width", [3, 5])
def test_a_head_of_the_same_width_is_kept(width: int, tmp_path: Path) -> None:
    """One of another width is made anew above the pretrained encoders."""
    torch.manual_seed(3)
    config = transformers.BertConfig(**BERT, num_labels=width)
    published = transformers.BertForTokenClassification(config).eval()
    published.save_pretrained(tmp_path / "bert")
    write_tokenizer(tmp_path / "bert")
    chosen = resolved(tagged(tmp_path, "bert"))
    inputs = read_inputs(chosen)
    net = build_network(chosen, inputs.spec, backbone=inputs.backbone, pretrained=True).eval()
    x = inputs.data.train.take(torch.arange(4))
    mask = x.mask().long()  # type: ignore[union-attr]
    model = net.backbone() if width == 5 else net  # type: ignore[operator]
    if width == 3:
        logits = published(x.values, attention_mask=mask).logits  # type: ignore[union-attr]
        assert torch.equal(model(x), logits)
    else:
        own = published.bert(x.values, attention_mask=mask)[0]  # type: ignore[union-attr]
        assert torch.equal(model.bert(x.values, attention_mask=mask)[0], own)  # type: ignore[union-attr]
        assert net(x).shape[-1] == 3


@pytest.mark.parametrize("method", ["al", "bp"])
@pytest.mark.parametrize("model", ["bilstm", "transformer"])
def test_models_of_our_own_learn(
    model: str, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train_run(tagged(tmp_path, model, method=method), tmp_path / "run")
    assert result.test_scores[-1] > 0.9
    assert result.largest_class is not None
    assert result.largest_class < 0.5
    predict(str(tmp_path / "run"), ["a good film", '["bad", "films"]'], file=None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["labels"] for line in lines] == [["O", "ADJ", "NOUN"], ["ADJ", "NOUN"]]
    with pytest.raises(InputError, match="only a model of transformers that was trained by"):
        export(str(tmp_path / "run"), tmp_path / "saved", depth=None, license_=None)


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = tagged(tmp_path, "bilstm", epochs=2, save_every=2)
    whole = train_run(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "killed", callbacks=[InterruptAt(5)])
    resumed = train_run(config, tmp_path / "killed")
    assert resumed.test_losses == whole.test_losses
    same_weights(tmp_path / "whole", tmp_path / "killed")


def test_a_model_without_a_tokenizer_takes_our_vocabulary(tmp_path: Path) -> None:
    data = write_tagged(tmp_path / "tags.jsonl")
    config = RunConfig(task="tokens", data=str(data), model="hf:bert", epochs=1, threads=1)
    assert len(train_run(config, tmp_path / "run").test_losses) == 4
    assert open_run(tmp_path / "run").spec.vocabulary_size == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "mlp", "hidden": None, "embedding_dim": None}, "expected one that reads texts"),
        ({"remove_stop_words": True}, "has a label for every word"),
        ({"readout": "mean"}, "reads every token as it is"),
        ({"block_size": 8}, "--task tokens has no blocks"),
        ({"label_noise": 0.5}, "no classes of whole samples"),
        ({"target_warmup": 5}, "--association target has no autoencoders"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    base = {"model": "bilstm", "hidden": 8, "embedding_dim": 8}
    with pytest.raises(InputError, match=message):
        resolved(RunConfig(task="tokens", data=str(tmp_path), **{**base, **changes}))


def test_what_a_run_of_words_has_no_use_for_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which continues no texts"):
        predict(str(trained), ["a"], max_new_tokens=3)
    with pytest.raises(InputError, match="early exit came for a run of --task tokens"):
        predict(str(trained), ["a"], exit_="auto")
    with pytest.raises(InputError, match="holds no words"):
        predict(str(trained), [" "])
    with pytest.raises(InputError, match="has no token: expected texts of at most 24 tokens"):
        predict(str(trained), ["good " * 30])
