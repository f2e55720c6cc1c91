"""Runs of language models: they begin as the pretrained model, and are saved as what it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers

import associated_learning as al
from associated_learning.cli.evaluate import evaluate
from associated_learning.cli.export import export
from associated_learning.cli.info import info
from associated_learning.cli.predict import predict
from associated_learning.cli.train import _show
from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.runs.equivalence import verify_run
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.inputs import evaluation_batches, load_data, read_inputs
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.result import read_result
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from faults import InterruptAt
from hub_folders import write_causal, write_config, write_stories, write_tokenizer
from test_runs import same_weights

pytestmark = pytest.mark.usefixtures("no_hub")


def stories(folder: Path, **changes: Any) -> RunConfig:
    settings = {
        "task": "lm", "data": str(write_stories(folder / "stories.txt")),
        "model": f"hf:{folder / 'gpt'}", "block_size": 8, "num_layers": 3, "epochs": 2,
        "batch_size": 8, "lr": 1e-2, "threads": 1,
    }  # fmt: skip
    return RunConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories")
    write_causal(folder / "gpt")
    train_run(stories(folder), folder / "run")
    return folder / "run"


@pytest.mark.parametrize("method", ["al", "bp"])
def test_a_run_begins_as_the_pretrained_model(method: str, tmp_path: Path) -> None:
    published = write_causal(tmp_path / "gpt")
    config = resolved(stories(tmp_path, method=method))
    inputs = read_inputs(config)
    net: Network = build_network(config, inputs.spec, backbone=inputs.backbone, pretrained=True)
    ids = inputs.data.train.take(torch.arange(4))
    assert torch.equal(net.eval()(ids), published(ids).logits)


def test_no_text_is_in_two_splits(tmp_path: Path) -> None:
    write_causal(tmp_path / "gpt")
    lines = [f"{'cat ' * i}." for i in range(1, 31)]
    (tmp_path / "counted.txt").write_text("\n".join(lines))
    data = load_data(resolved(stories(tmp_path, data=str(tmp_path / "counted.txt"))))
    dots = [
        int((split.labels == 8).sum()) for split in (data.train, data.validation, data.test)
    ]  # a text has one dot
    assert dots == [22, 2, 6]


def losses(model: Any, batches: Any) -> float:
    """Return a model's own mean loss of a token."""
    total, count = 0.0, 0
    for ids, y in batches.epoch(0):
        logits = model(ids).logits.flatten(0, 1)
        total += float(F.cross_entropy(logits, y.flatten(), reduction="sum"))
        count += int((y >= 0).sum())
    return total / count


def test_it_is_saved_as_a_model_of_transformers_at_every_depth(
    trained: Path, tmp_path: Path
) -> None:
    """That has the test losses of the run, and continues a text as ``generate`` does."""
    opened = open_run(trained)
    result = json.loads((trained / "result.json").read_text())
    test = evaluation_batches(opened.config, load_data(opened.config), "test")
    for depth in (1, 2, 3):
        export(str(trained), tmp_path / str(depth), depth=depth, license_=None)
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / str(depth)).eval()
        assert type(model).__name__ == "GPT2LMHeadModel"
        assert model.config.num_hidden_layers == depth
        with torch.no_grad():
            assert losses(model, test) == pytest.approx(result["test_losses"][depth - 1], rel=1e-5)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "3")
    assert again("the cat", return_tensors="pt")["input_ids"].tolist() == [[2, 4]]


def test_a_text_goes_on_as_generate_lets_it(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also from one token, and beyond the positions of the model as far as those reach."""
    export(str(trained), tmp_path / "saved", depth=2, license_=None)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    capsys.readouterr()
    for text in ("the", "the cat sees a"):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        expected = model.generate(
            ids, max_new_tokens=9, do_sample=False, pad_token_id=0, attention_mask=ids * 0 + 1
        )
        predict(str(trained), [text], depth=2, max_new_tokens=9, as_json=True)
        said = json.loads(capsys.readouterr().out)
        whole = tokenizer.decode(expected[0], skip_special_tokens=True)
        assert text + said["continuation"] == whole
    predict(str(trained), ["the cat"], max_new_tokens=20)
    assert len(capsys.readouterr().out.split()) <= 22


@pytest.mark.parametrize("step", [1, 5])
def test_a_killed_run_ends_with_the_same_bits(step: int, trained: Path, tmp_path: Path) -> None:
    whole = read_result(trained)
    assert whole is not None
    write_causal(tmp_path / "gpt")
    config = stories(tmp_path, save_every=2)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "killed", callbacks=[InterruptAt(step)])
    resumed = train_run(config, tmp_path / "killed")
    assert resumed.test_losses == whole.test_losses
    assert resumed.validation_losses == whole.validation_losses
    same_weights(trained, tmp_path / "killed")


def test_backpropagation_trains_the_same_encoders(tmp_path: Path) -> None:
    write_causal(tmp_path / "gpt")
    result = train_run(stories(tmp_path, method="bp"), tmp_path / "bp")
    assert len(result.test_losses) == 1
    assert result.test_losses[0] < math.log(12)
    assert isinstance(open_run(tmp_path / "bp").net, al.BPNetwork)
    with pytest.raises(InputError, match="only a model of transformers that was trained by"):
        export(str(tmp_path / "bp"), tmp_path / "saved", depth=None, license_=None)


def test_tables_show_perplexities(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = read_result(trained)
    assert result is not None
    _show(trained, open_run(trained).config, result)
    shown = capsys.readouterr().out
    assert f"{math.exp(result.test_losses[0]):.3g}" in shown
    assert "perplexity in the best epoch" in shown
    evaluate(str(trained), depth="all", split="validation", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [told["loss"][k] for k in "123"] == pytest.approx(result.validation_losses)
    assert told["perplexity"]["1"] == pytest.approx(math.exp(told["loss"]["1"]))
    evaluate(str(trained), depth="1")
    assert "blocks, depth 1: perplexity" in capsys.readouterr().out
    info(str(trained))
    assert "the next of 12 tokens, blocks of 8" in capsys.readouterr().out


def test_what_a_language_model_has_no_use_for_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="early exit came for a run of --task lm"):
        predict(str(trained), ["the"], exit_="auto")
    with pytest.raises(InputError, match="early exit came for a run of --task lm"):
        evaluate(str(trained), depth="all", exits=True)
    with pytest.raises(InputError, match="came for a run of --task lm, whose answers"):
        export(str(trained), tmp_path / "model.onnx", depth=None, license_=None)
    with pytest.raises(InputError, match="0 new tokens were asked for"):
        predict(str(trained), ["the"], max_new_tokens=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "bilstm", "num_layers": None}, "expected a causal model of transformers"),
        ({"grow_from": 1}, "added by the rules of accuracies, not of losses"),
        ({"label_noise": 0.1}, "no classes of whole samples"),
        ({"label_column": "label"}, "--task lm takes whole texts"),
        ({"max_length": 9}, "--task lm takes whole texts"),
        ({"latent": 16}, "--association target has no autoencoders"),
        ({"association": "squared", "local_loss": "ce"}, "--local-loss ce came"),
        ({"executor": "offload", "store": "disk"}, "use --store host"),
        ({"task": "classification"}, "--task classification has no blocks"),
        (
            {"task": "classification", "block_size": None, "association": "target"},
            "is for answers at every position",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        resolved(stories(tmp_path, **changes))


def test_models_and_texts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_causal(tmp_path / "gpt")
    with pytest.raises(InputError, match="blocks of 17 tokens came for a model"):
        read_inputs(resolved(stories(tmp_path, block_size=17)))
    short = tmp_path / "short.txt"
    short.write_text("the cat\na dog\na cat\nthe dog\n")
    with pytest.raises(InputError, match=r"tokens together; expected more than one block of 8"):
        read_inputs(resolved(stories(tmp_path, data=str(short))))
    write_causal(tmp_path / "gpt", vocab_size=8)
    with pytest.raises(InputError, match="9 token ids, the model's head answers 8"):
        read_inputs(resolved(stories(tmp_path)))
    write_tokenizer(write_config(tmp_path / "bert"))
    with pytest.raises(InputError, match="BertLMHeadModel answers from later tokens too"):
        read_inputs(resolved(stories(tmp_path, model=f"hf:{tmp_path / 'bert'}")))
    write_config(tmp_path / "plain", "gpt2", n_embd=16, n_head=2)
    with pytest.raises(InputError, match="has no tokenizer; expected a folder"):
        read_inputs(resolved(stories(tmp_path, model=f"hf:{tmp_path / 'plain'}")))
    with pytest.raises(InputError, match="transformers has no causal language model of the type"):
        read_inputs(resolved(stories(tmp_path, model="hf:vit")))


def test_a_pipeline_trains_to_the_same_bits(tmp_path: Path) -> None:
    write_causal(tmp_path / "gpt")
    found = verify_run(stories(tmp_path, executor="threads", stages="2"), steps=3)
    assert found is not None
    assert found.steps == 3


def test_layers_may_learn_by_equation_3(tmp_path: Path) -> None:
    write_causal(tmp_path / "gpt")
    config = stories(tmp_path, association="squared", latent=8, epochs=1)
    assert len(train_run(config, tmp_path / "run").test_losses) == 3
