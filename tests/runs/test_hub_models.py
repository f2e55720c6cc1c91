"""Models of transformers: found, fitted to data, loaded; no hub is asked."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import associated_learning as al
from associated_learning.runs.hub.config import (
    SMALL,
    config_from_json,
    config_to_json,
    model_class,
)
from associated_learning.runs.hub.model import find_model, fresh_model
from associated_learning.runs.networks.input_spec import InputSpec
from hub_folders import WORDS, write_config, write_model, write_tokenizer

TEXTS = InputSpec(kind="text", num_classes=2, vocabulary_size=len(WORDS))
PHOTOS = InputSpec(kind="image", num_classes=10, shape=(3, 224, 224))
DIGITS = InputSpec(kind="image", num_classes=10, shape=(1, 8, 8))


pytestmark = pytest.mark.usefixtures("no_hub")


def write_folder(folder: Path, kind: str = "bert", **sizes: Any) -> Path:
    write_model(folder, kind, **sizes)
    return write_tokenizer(folder) if kind == "bert" else folder


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_weights_are_those_of_the_folder(kind: str, tmp_path: Path) -> None:
    published = write_model(tmp_path, kind)
    if kind == "bert":
        write_tokenizer(tmp_path)
    found = find_model(f"hf:{tmp_path}")
    model = found.load(found.fitted(TEXTS if kind == "bert" else DIGITS)).eval()
    x = torch.tensor([[2, 5, 3]]) if kind == "bert" else torch.randn(2, 1, 8, 8)
    features = getattr(published, kind)(x).last_hidden_state
    assert torch.equal(model(x).last_hidden_state, features)


def test_half_precision_weights_are_trained_in_float32(tmp_path: Path) -> None:
    published = write_model(tmp_path)
    published.bfloat16().save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    found = find_model(f"hf:{tmp_path}")
    model = found.load(found.fitted(TEXTS))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    stored = published.bert.embeddings.word_embeddings.weight
    assert torch.equal(model.embeddings.word_embeddings.weight, stored.float())


def test_a_configuration_alone_starts_with_fresh_weights(tmp_path: Path) -> None:
    write_config(tmp_path)
    for name in (tmp_path, tmp_path / "config.json"):
        found = find_model(f"hf:{name}")
        assert (found.weights, found.tokenizer, found.kind) == (None, None, "text")
        assert found.config.hidden_size == 16


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "distilbert", "gpt2", "modernbert", "t5", "vit", "swin", "resnet"]
)
def test_a_type_alone_gives_a_small_model_that_fits_the_data(kind: str) -> None:
    found = find_model(f"hf:{kind}")
    text = found.kind == "text"
    spec = InputSpec(kind="text", num_classes=2, vocabulary_size=50) if text else PHOTOS
    config = found.fitted(spec)
    model = fresh_model(config).eval()
    with torch.no_grad():
        features = model(torch.tensor([[7, 49, 0]]) if text else torch.zeros(1, 3, 224, 224))[0]
    assert features.shape[0] == 1
    assert sum(p.numel() for p in model.parameters()) < 10_000_000
    if hasattr(config, "num_hidden_layers") and not hasattr(config, "depths"):
        assert config.num_hidden_layers == SMALL["num_hidden_layers"]


def test_the_patches_of_a_fresh_model_follow_the_size_of_the_images() -> None:
    found = find_model("hf:vit")
    sides = {side: (1, side, side) for side in (8, 28, 32, 224)}
    specs = {s: InputSpec(kind="image", num_classes=2, shape=shape) for s, shape in sides.items()}
    patches = {side: found.fitted(spec).patch_size for side, spec in specs.items()}
    assert patches == {8: 1, 28: 4, 32: 4, 224: 28}


def test_a_configuration_survives_as_json() -> None:
    for kind in ("bert", "swin", "t5"):
        config = find_model(f"hf:{kind}").config
        values = json.loads(json.dumps(config_to_json(config)))
        again = config_from_json(values)
        assert again.to_dict() == config.to_dict()
        one, two = (dict(model_class(c)(c).named_parameters()) for c in (config, again))
        assert {k: p.shape for k, p in one.items()} == {k: p.shape for k, p in two.items()}


def test_a_configuration_that_cannot_be_read_any_more_is_named() -> None:
    with pytest.raises(al.CheckpointError, match=r"cannot read the configuration .* by 99\.0"):
        config_from_json({"model_type": "from-the-future", "transformers_version": "99.0"})


@pytest.mark.parametrize("asked", ["models/minlm", "./modles/minilm", "mdels/mini_lm"])
def test_a_misspelt_folder_is_told_the_nearest(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("models/minilm", "models/bert", "models/minlmm-without-one"):
        Path(name).mkdir(parents=True)
    for name in ("minilm", "bert"):
        write_config(Path("models", name))
    with pytest.raises(al.InputError, match=rf"hf:{asked} .* Did you mean hf:models/minilm\?"):
        find_model(f"hf:{asked}")


@pytest.mark.parametrize(
    ("positions", "padding", "longest"), [(24, 0, 24), (26, 1, 24), (None, 0, None)]
)
def test_the_longest_text_is_what_the_positions_can_count(
    positions: int | None, padding: int, longest: int | None
) -> None:
    found = find_model("hf:mamba" if positions is None else "hf:roberta")
    if positions is not None:
        found.config.max_position_embeddings, found.config.pad_token_id = positions, padding
    assert found.longest == longest
    assert (found.length(None), found.length(7)) == (longest, 7)


@pytest.mark.parametrize("kind", ["roberta", "bert", "gpt2"])
def test_a_text_of_the_longest_length_runs(kind: str) -> None:
    found = find_model(f"hf:{kind}")
    found.config.max_position_embeddings = 20
    model = fresh_model(found.fitted(TEXTS)).eval()
    ids = torch.full((1, found.longest), 5)
    assert model(ids)[0].shape[1] == found.longest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:bertt", r"neither a folder .* knows\. Did you mean 'bert'\? .* hf:OWNER/bertt"),
        ("hf:./nowhere", r"hf:\./nowhere is neither a folder .* Check the path"),
        ("hf:/nowhere/config.json", r"is neither a folder .* Check the path"),
        ("hf:wav2vec2", r"hf:wav2vec2 reads input_values; expected a model of texts"),
    ],
)
def test_models_that_are_not_there_are_named(name: str, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        find_model(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no configuration of a model"),
        ("[]", "is no configuration of a model"),
        ('{"hidden_size": 3}', "is no configuration of a model .* with its model_type"),
        ('{"model_type": "berd"}', r"type 'berd', which transformers .* know.* 'bert'"),
    ],
)
def test_foreign_configurations_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(al.InputError, match=message):
        find_model(f"hf:{tmp_path}")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(al.InputError, match=r"config\.json is no configuration of a model"):
        find_model(f"hf:{tmp_path}")


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(al.InputError, match=r"are pickled \(pytorch_model\.bin\)"):
        find_model(f"hf:{tmp_path}")


def test_weights_without_tokenizer_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    with pytest.raises(al.InputError, match="holds weights but no tokenizer"):
        find_model(f"hf:{tmp_path}")


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "bert")
    other = write_folder(tmp_path / "gpt2", "bert")
    write_config(other, "gpt2", n_embd=16, n_layer=2, n_head=2, vocab_size=10)
    found = find_model(f"hf:{other}")
    with pytest.raises(al.InputError, match=r"are of another model: 28 tensors are missing"):
        found.load(found.fitted(TEXTS))
    wider = write_folder(tmp_path / "wide")
    write_config(wider, hidden_size=32)
    found = find_model(f"hf:{wider}")
    with pytest.raises(al.InputError, match=r"the weights of .* cannot be read"):
        found.load(found.fitted(TEXTS))
    (wider / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(al.InputError, match=r"the weights of .* cannot be read"):
        found.load(found.fitted(TEXTS))


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("bert", DIGITS, "reads texts, the data are of kind image; use cnn, vgg or .* hf:vit"),
        ("vit", TEXTS, "reads images, the data are of kind text; use bilstm, transformer or"),
        (
            "vit",
            InputSpec(kind="table", num_classes=2, shape=(4,)),
            "reads images, the data are of kind table; use mlp",
        ),
        (
            "vit",
            InputSpec(kind="image", num_classes=2, shape=(3, 8, 8)),
            r"images of 3 channels came for .*, which takes 1; expected data of 1 channels",
        ),
        (
            "bert",
            InputSpec(kind="text", num_classes=2, vocabulary_size=11),
            "has 11 token ids, its configuration a vocab_size of 10",
        ),
    ],
)
def test_data_that_do_not_fit_are_named(
    kind: str, spec: InputSpec, message: str, tmp_path: Path
) -> None:
    found = find_model(f"hf:{write_folder(tmp_path, kind)}")
    with pytest.raises(al.InputError, match=message):
        found.fitted(spec)


def test_a_text_longer_than_the_positions_is_refused(tmp_path: Path) -> None:
    found = find_model(f"hf:{write_folder(tmp_path)}")
    with pytest.raises(al.InputError, match=r"--max-length 25 came for .* positions for 24 tokens"):
        found.preprocessor(25)
    preprocessor = found.preprocessor(None)
    assert preprocessor is not None
    assert preprocessor.max_length == 24


def test_sizes_that_cannot_be_are_named(tmp_path: Path) -> None:
    write_config(tmp_path, num_attention_heads=3)
    found = find_model(f"hf:{tmp_path}")
    with pytest.raises(al.InputError, match="transformers cannot build a model of the type 'bert'"):
        fresh_model(found.fitted(TEXTS))


def test_without_transformers_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(al.InputError, match=r"pip install 'associated_learning\[hf\]'"):
        find_model("hf:bert")


def test_a_folder_may_be_moved_while_a_run_goes_on(tmp_path: Path) -> None:
    """Nothing is read from the folder after the model was loaded."""
    found = find_model(f"hf:{write_folder(tmp_path / 'model')}")
    config = found.fitted(TEXTS)
    model, preprocessor = found.load(config).eval(), found.preprocessor(None)
    shutil.rmtree(tmp_path / "model")
    assert preprocessor is not None
    assert model(preprocessor(["a good film"]).values)[0].shape == (1, 5, 16)


@pytest.mark.parametrize("shard", ["x.bin", "../model.safetensors", "/tmp/model.safetensors", 3])
def test_an_index_that_names_other_files_is_refused(shard: object, tmp_path: Path) -> None:
    """Such a file would reach ``torch.load``."""
    write_tokenizer(tmp_path)
    write_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": shard}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    found = find_model(f"hf:{tmp_path}")
    with pytest.raises(al.InputError, match=r"expected files of the folder whose names end in"):
        found.load(found.config)


def test_a_strangers_configuration_names_no_code_and_no_monstrous_sizes(tmp_path: Path) -> None:
    path = write_config(tmp_path) / "config.json"
    values = json.loads(path.read_text())
    strange = {"attn_implementation": "stranger/kernels", "auto_map": {"AutoModel": "x.Y"}}
    path.write_text(json.dumps({**values, **strange}))
    config = find_model(f"hf:{tmp_path}").config
    assert "stranger" not in json.dumps(config.to_dict())
    assert config._attn_implementation != "stranger/kernels"
    for name, size in (("num_hidden_layers", 10**7), ("hidden_size", 2**40), ("vocab_size", 2**62)):
        path.write_text(json.dumps({**values, name: size}))
        with pytest.raises(al.InputError, match=f"{name} is {size}; expected"):
            find_model(f"hf:{tmp_path}")
