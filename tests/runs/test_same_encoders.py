"""Backpropagation on the encoders of AL: training and head differ."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import associated_learning as al
from associated_learning.backprop import BPNetwork
from associated_learning.network import Network
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved, restored
from associated_learning.tensors.chain import encode
from associated_learning.tensors.padded_sequence import PaddedSequence

IMAGE = InputSpec(kind="image", num_classes=10, shape=(1, 16, 16))
TEXT = InputSpec(kind="text", num_classes=4, vocabulary_size=50, embedding_dim=12)
TABLE = InputSpec(kind="tabular", num_classes=3, shape=(5,))
MODELS = {"mlp": TABLE, "cnn": IMAGE, "vgg": IMAGE, "bilstm": TEXT, "transformer": TEXT}


def built(model: str, method: str, **settings: str) -> Network:
    config = resolved(RunConfig(model=model, method=method, **settings))  # type: ignore[arg-type]
    return build_network(config, MODELS[model]).eval()


def read_by_the_last_bridge(net: Network, x: Tensor | PaddedSequence) -> Tensor:
    top = net.al_layers()[-1]
    read: Tensor = top.readout(encode(net.encoders(), x))
    return read


@pytest.mark.parametrize("preset", ["any", "paper"])
@pytest.mark.parametrize("model", MODELS)
def test_the_head_sees_what_the_last_bridge_sees(model: str, preset: str) -> None:
    ours = built(model, "al", preset=preset)
    theirs = built(model, "bp", encoders="al", preset=preset)
    assert isinstance(theirs, BPNetwork)
    x = MODELS[model].example()
    read = read_by_the_last_bridge(ours, x)
    weights, bias = theirs.model.head.parameters()
    # the same encoders with the same first weights, and one linear map on top
    assert torch.equal(theirs(x), torch.addmm(bias, read, weights.T))


def test_a_users_own_data_get_the_stronger_baseline() -> None:
    assert resolved(RunConfig(method="bp", model="cnn")).encoders == "al"
    assert resolved(RunConfig(method="bp", model="cnn", preset="paper")).encoders == "paper"
    assert resolved(RunConfig(method="al", model="cnn")).encoders is None
    assert resolved(RunConfig(method="bp", model="hf:bert")).encoders is None


def test_older_runs_had_the_network_of_the_paper() -> None:
    for preset in ("any", "paper"):
        older = resolved(RunConfig(method="bp", model="cnn", preset=preset)).to_json()
        del older["encoders"]
        assert restored(older).encoders == "paper"
    older = resolved(RunConfig(method="bp", model="bilstm", preset="paper")).to_json()
    del older["encoders"]
    assert restored({**older, "hidden": None}).hidden == 350
    assert resolved(RunConfig(method="bp", model="bilstm", encoders="al")).hidden == 300


def test_what_is_not_read_is_refused() -> None:
    with pytest.raises(al.InputError, match="--encoders al came, but --method al has no such head"):
        resolved(RunConfig(encoders="al"))
    with pytest.raises(al.InputError, match="--encoders paper has a head of its own"):
        resolved(RunConfig(method="bp", model="cnn", readout="average", encoders="paper"))
    assert resolved(RunConfig(method="bp", model="cnn", readout="average")).readout == "average"
