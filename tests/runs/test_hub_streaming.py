"""Models of transformers that go from their files to a store and back, a layer at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import associated_learning as al
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub import feature_check
from associated_learning.runs.hub.hollow_model import hollow_model
from associated_learning.runs.hub.streaming import StoredModel, store_converted
from associated_learning.runs.inputs import evaluation_batches, load_data
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.resolved import resolved
from associated_learning.tensors.hollow import is_hollow
from hub_folders import write_model
from pipeline_runs import digests
from test_hub_runs import digits

transformers = pytest.importorskip("transformers")


def images() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(4, 1, 8, 8)


def converted(model: Any, **options: Any) -> al.ConvertedNetwork:
    torch.manual_seed(0)
    return al.convert(
        model,
        images(),
        target=al.Classes(3),
        at=3,
        balance="parameters",
        head=None,
        **options,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in several files, saved with a classifier and so with a prefix before its names."""
    write_model(tmp_path / "vit", "vit").save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    return tmp_path / "shards"


def stored(folder: Path, place: Path) -> StoredModel:
    config = transformers.AutoConfig.from_pretrained(folder)
    return store_converted(
        converted(hollow_model(config)), folder, place, config=config, example=images()
    )


def test_bridges_that_look_ahead_have_nothing_to_copy(folder: Path) -> None:
    model = hollow_model(transformers.AutoConfig.from_pretrained(folder))
    with pytest.raises(al.InputError, match=r"which are not in memory\. Take another bridge"):
        converted(model, bridge="block")


def test_a_hollow_model_has_all_shapes_and_no_memory(folder: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(folder)
    model, real = hollow_model(config), transformers.AutoModel.from_pretrained(folder)
    shapes = {name: p.shape for name, p in real.named_parameters()}
    assert {name: p.shape for name, p in model.named_parameters()} == shapes
    assert all(is_hollow(p) for p in model.parameters() if p.numel() > 1)
    for (name, ours), (_, theirs) in zip(model.named_buffers(), real.named_buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_layers_read_from_shards_answer_as_the_model(folder: Path, tmp_path: Path) -> None:
    whole = converted(transformers.AutoModel.from_pretrained(folder)).eval()
    net = stored(folder, tmp_path / "store").eval()
    assert torch.equal(net(images()), whole(images()))
    assert "in 3 layers" in str(net.plan)


def test_layers_in_another_order_are_told_though_their_shapes_fit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One number in the place of every weight, as conversion has it, would not tell."""
    config = transformers.AutoConfig.from_pretrained(folder)
    net = converted(hollow_model(config))
    chain = feature_check.encodings
    monkeypatch.setattr(
        feature_check, "encodings", lambda f, x: chain([f[0], *reversed(f[1:-1]), f[-1]], x)
    )
    four = al.convert(
        hollow_model(config), images(), target=al.Classes(3), at=4, balance="parameters", head=None
    )
    with pytest.raises(al.ConversionError, match="give other features than the model"):
        store_converted(four, folder, tmp_path / "s", config=config, example=images())
    store_converted(net, folder, tmp_path / "t", config=config, example=images())  # one between


def test_what_was_trained_in_the_store_is_loaded_by_transformers(
    folder: Path, tmp_path: Path
) -> None:
    batches = al.LoaderBatches([(images(), torch.tensor([0, 1, 2, 0]))] * 4)
    net = stored(folder, tmp_path / "store")
    whole = converted(transformers.AutoModel.from_pretrained(folder))
    al.Trainer(epochs=1, window=2).fit(net, batches)
    al.Trainer(epochs=1).fit(whole, batches)
    net.save_backbone(tmp_path / "saved")
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) == 3
    again = transformers.AutoModel.from_pretrained(tmp_path / "saved")
    expected = whole.backbone().state_dict()
    for name, tensor in again.state_dict().items():
        assert "pooler" in name or torch.equal(tensor, expected[name]), name
    with pytest.raises(al.CheckpointError, match="exists already"):
        net.save_backbone(tmp_path / "saved")


def test_weights_of_another_configuration_are_refused(folder: Path, tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(folder)
    config.intermediate_size = 48
    with pytest.raises(al.CheckpointError, match=r"of shape \[32, 16\]; expected \[48, 16\]"):
        store_converted(
            converted(hollow_model(config)), folder, tmp_path / "s", config=config, example=images()
        )
    config.intermediate_size, config.num_hidden_layers = 32, 4
    with pytest.raises(al.CheckpointError, match="holds 0 tensors called"):
        store_converted(
            converted(hollow_model(config)), folder, tmp_path / "s", config=config, example=images()
        )


def test_a_run_from_a_folder_never_loads_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(digits(tmp_path), executor="offload", store="disk", window=3)
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", None)
    result = train_run(config, tmp_path / "run")
    train_run(replace(config, window=None, memory="64GiB"), tmp_path / "other")  # as planned
    one, other = (digests(tmp_path / name / "checkpoints") for name in ("run", "other"))
    assert one == other
    net = open_run(tmp_path / "run").net
    assert isinstance(net, StoredModel)
    data = load_data(resolved(config))
    batches = list(evaluation_batches(resolved(config), data, "test").epoch(0))
    scores = al.evaluate(net.loaded(), batches).scores
    assert result.test_scores == pytest.approx(list(scores))
