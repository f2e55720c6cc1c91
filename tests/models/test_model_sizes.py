"""Parameter counts against the paper's layer lists, and shapes of every family."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from associated_learning.errors import InputError
from associated_learning.models import CNN, MLP, VGG, BiLSTM, LayeredModel, Transformer
from associated_learning.models.activations import make_activation
from associated_learning.tensors.padded_sequence import PaddedSequence


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _convolutions(*channels: int) -> int:
    return sum(9 * a * b + b for a, b in pairwise(channels))


def _dense(*widths: int) -> int:
    return sum(a * b + b for a, b in pairwise(widths))


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (CNN(), 5_929_962),
        (BiLSTM(), 13_774_004),
        (BiLSTM(head_hidden=(400,)), 14_053_204),
        (Transformer(), 10_342_028),
    ],
    ids=["cnn", "bilstm", "bilstm with dense head", "transformer"],
)
def test_paper_parameter_counts(model: nn.Module, count: int) -> None:
    assert _parameters(model) == count


def test_vgg_parameters_follow_the_layer_list() -> None:
    convolutions = _convolutions(3, 128, 256, 256, 512, 512, 512)
    norms = 2 * (128 + 256 + 256 + 3 * 512 + 1500 + 4 * 300)
    dense = _dense(2048, 1500, 300, 300, 300, 300, 10)
    assert _parameters(VGG()) == convolutions + norms + dense
    assert round(_parameters(VGG()) / 1e6, 1) == 10.6


def test_vgg_in_al_form_infers_with_12_2_million_parameters() -> None:
    model = VGG(batch_norm=False, activation="elu", dense=(1024, 1024))
    bridge, decoders = _dense(1024, 1500, 300), _dense(300, 300, 300, 300, 10)
    assert len(model.layers) == 4
    assert round((_parameters(model.layers) + bridge + decoders) / 1e6, 1) == 12.2


@pytest.mark.parametrize(
    ("model", "widths"),
    [
        (CNN(head_hidden=(8,)), [32 * 32 * 32, 16 * 16 * 32, 16 * 16 * 64, 8 * 8 * 64]),
        (VGG(dense=(16,), head_hidden=()), [65536, 32768, 2048, 16]),
        (VGG(image_size=28, head_hidden=()), [256 * 14**2, 512 * 7**2, 512]),
        (CNN(image_size=28, head_hidden=()), [32 * 28**2, 32 * 14**2, 64 * 14**2, 64 * 7**2]),
    ],
    ids=["cnn", "vgg", "vgg 28", "cnn 28"],
)
def test_image_layers_have_the_listed_widths(model: LayeredModel, widths: list[int]) -> None:
    side = 28 if widths[0] in (256 * 14**2, 32 * 28**2) else 32
    s = torch.zeros(2, 3, side, side)
    seen = []
    for layer in model.layers:
        s = layer(s)
        seen.append(s.flatten(1).shape[1])
    assert seen == widths
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 10)


@pytest.mark.parametrize("activation", ["elu", nn.ELU], ids=str)
def test_activation_by_name_or_class(activation: str | type[nn.Module]) -> None:
    model = CNN(activation=activation, head_hidden=())
    assert isinstance(model.layers[0][1], nn.ELU)


def test_unknown_activation_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'relu'"):
        make_activation("rellu")


def test_mlp_widths() -> None:
    model = MLP(in_features=6, hidden=(5, 4), out_features=3)
    assert _parameters(model) == _dense(6, 5, 4, 3)
    assert len(MLP(hidden=8, num_layers=16).layers) == 16
    with pytest.raises(InputError, match="give one of the two"):
        MLP(hidden=(8, 8), num_layers=3)
    with pytest.raises(InputError, match="at least one hidden layer"):
        MLP(hidden=())


def test_vgg_refuses_images_below_16() -> None:
    with pytest.raises(InputError, match="needs 16 or more"):
        VGG(image_size=8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLP(),
        lambda: CNN(head_hidden=(8,)),
        lambda: VGG(head_hidden=(8,)),
        lambda: BiLSTM(vocabulary_size=20, embedding_dim=6, hidden=4),
        lambda: Transformer(vocabulary_size=20, embedding_dim=6, feedforward=8),
    ],
    ids=["mlp", "cnn", "vgg", "bilstm", "transformer"],
)
def test_initial_weights_follow_the_seed(make: type[LayeredModel]) -> None:
    weights = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        weights.append(make().layers[0].state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_batch_normalisation_of_the_cnn_is_counted_by_hand() -> None:
    channels, hidden = (32, 32, 32, 32, 64, 64, 64, 64), (1280, 256, 256, 256, 256)
    assert _parameters(CNN(batch_norm=True)) - _parameters(CNN()) == 2 * sum((*channels, *hidden))
    kinds = [type(part).__name__ for part in CNN(batch_norm=True).layers[0]]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 2


@pytest.mark.parametrize("model", [CNN(), VGG()], ids=["cnn", "vgg"])
def test_image_weights_are_he_normal(model: LayeredModel) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 50_000:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
            assert not module.bias.any()


def test_text_models_are_one_encoder_per_layer() -> None:
    ids = PaddedSequence(torch.tensor([[3, 4, 5]]), torch.tensor([3]))
    for model in (
        BiLSTM(vocabulary_size=9, embedding_dim=6, hidden=4, num_layers=3, out_features=2),
        Transformer(vocabulary_size=9, embedding_dim=6, num_layers=3, out_features=2),
    ):
        assert len(model.layers) == 4
        assert model(ids).shape == (1, 2)
