"""Parameter counts against those computed from the released code, layer list by layer list."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.models import (
    CNN,
    VGG,
    BiLSTM,
    Flatten,
    LastState,
    MaskedMean,
    StateConcat,
    StateSum,
    Transformer,
)

VOCABULARY, WIDTH = 30_000, 300
EMBEDDING = VOCABULARY * WIDTH
FOUR = al.Classes(4)


def tokens() -> al.PaddedSequence:
    return al.PaddedSequence(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2]))


def bilstm_al(**options: object) -> al.ALNetwork:
    model = BiLSTM(vocabulary_size=VOCABULARY, embedding_dim=WIDTH, hidden=300, out_features=4)
    return al.al_form(model.layers, tokens(), FOUR, **options)


def transformer_al(**options: object) -> al.ALNetwork:
    model = Transformer(
        vocabulary_size=VOCABULARY, embedding_dim=WIDTH, feedforward=256, out_features=4
    )
    return al.al_form(model.layers, tokens(), FOUR, **options)


def test_bilstm_al_as_released_later() -> None:
    """All latents 128, bridges on the sum of the final states: 12,792,388."""
    net = bilstm_al(latent=128, readout=[MaskedMean(), StateSum(), StateSum()])
    assert al.count_parameters(net).training == 12_792_388


def test_bilstm_al_with_bridges_on_both_states() -> None:
    net = bilstm_al(latent=128, readout=[MaskedMean(), StateConcat(), StateConcat()])
    assert al.count_parameters(net).training == 12_869_188


def test_bilstm_al_as_in_the_classification_scripts() -> None:
    """Latents 128, 300, 300, no biases, bridges on the last position: 13,265,824."""
    readout = [MaskedMean(), LastState(), LastState()]
    net = bilstm_al(latent=[128, 300, 300], bias=False, readout=readout)
    assert al.count_parameters(net).training == 13_265_824


def test_transformer_al() -> None:
    net = transformer_al(latent=128)
    assert al.count_parameters(net).training == 10_215_900


def test_transformer_al_as_in_the_classification_scripts() -> None:
    """Latents 128, 256, 256, no biases in b, g and h: 10,422,744 with them is not reached."""
    with_biases = al.count_parameters(transformer_al(latent=[128, 256, 256])).training
    without = al.count_parameters(transformer_al(latent=[128, 256, 256], bias=False)).training
    assert 10_422_744 in (with_biases, without)


def test_al_never_exceeds_bp_for_the_lstm() -> None:
    """The paper's rule (section 3.2), with Table 7's widths."""
    bp = BiLSTM(vocabulary_size=VOCABULARY, embedding_dim=WIDTH, hidden=350, out_features=4)
    bp_count = al.count_parameters(al.BPNetwork(bp, FOUR)).training
    assert bp_count == 13_774_004
    net = bilstm_al(latent=128, readout=[MaskedMean(), StateSum(), StateSum()])
    assert al.count_parameters(net).training < bp_count


def released_image_al(encoders: nn.ModuleList, latent: int, hidden: int) -> al.ALNetwork:
    return al.al_form(
        encoders,
        torch.zeros(1, 3, 32, 32),
        al.Classes(10, "mse"),
        latent=latent,
        readout=Flatten(),
        bridge="mlp",
        bridge_hidden=hidden,
        activation="sigmoid",
    )


def test_cnn_al_trains_80_million_and_infers_with_the_bp_networks_count() -> None:
    bp = al.count_parameters(al.BPNetwork(CNN(), al.Classes(10)))
    assert bp.training == 5_929_962
    net = released_image_al(CNN(activation="elu").layers, 256, 1280)
    counts = al.count_parameters(net)
    bridges = sum(p.numel() for layer in net.al_layers() for p in layer.b.parameters())
    assert round(counts.training / 1e6, 1) == 80.5
    assert round(bridges / 1e6, 1) == 80.0
    # one more 10 -> 256 map than BP's head: h_4 .. h_2 are its 256 -> 256 maps, h_1 its last
    assert counts.inference[-1] == bp.training


def test_vgg_al_trains_164_million_and_infers_with_12() -> None:
    bp = al.count_parameters(al.BPNetwork(VGG(), al.Classes(10)))
    net = released_image_al(
        VGG(batch_norm=False, activation="elu", dense=(1024, 1024)).layers, 300, 1500
    )
    counts = al.count_parameters(net)
    assert round(bp.training / 1e6, 1) == 10.6
    assert round(counts.training / 1e6, 1) == 164.4
    assert round(counts.inference[-1] / 1e6, 1) == 12.2


def test_inference_needs_no_g_and_one_bridge() -> None:
    net = transformer_al(latent=128)
    first = net.al_layers()[0]
    expected = EMBEDDING + sum(
        p.numel() for module in (first.b, first.h) for p in module.parameters()
    )
    assert al.count_parameters(net).inference[0] == expected


def test_a_shared_parameter_counts_once() -> None:
    linear = nn.Linear(3, 3)
    net = al.BPNetwork(nn.Sequential(linear, linear), al.Classes(3))
    assert al.count_parameters(net) == (12, (12,))


def test_a_parameter_in_two_layers_is_refused() -> None:
    linear = nn.Linear(4, 4)
    with pytest.raises(al.InputError, match=r"f\.weight of layer 2 belongs to layer 1 too"):
        al.al_form([linear, linear], torch.zeros(2, 4), al.Classes(3))
