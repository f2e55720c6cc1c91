"""`al.verify` finds what is broken, and leaves alone what it looks at."""

from __future__ import annotations

import copy

import pytest
import torch

import associated_learning as al
from conversion.modules import dense, residual_cnn
from small_networks import dense_network, noisy_network

X, Y = torch.randn(8, 6), torch.arange(8) % 4


def converted() -> al.ConvertedNetwork:
    return al.convert(dense(), X, target=al.Classes(5), at=3)


def test_a_sound_network_passes_and_the_report_names_what_was_checked() -> None:
    report = al.verify(converted(), (X, Y))
    assert all(check.holds for check in report.checks)
    text = str(report)
    assert "loss 2 trains layer 2 alone" in text
    assert "gradient for 8 of its 8 parameters, for none of the 16 others" in text
    for claim in (
        "encoders give the model's features, 8 samples",
        "encoders give the model's features, 1 sample",
        "encoders give the model's features, 5 samples",
        "layer 3 holds the model's own parameters",
        "rows of layer 3 are the samples",
        "the data reach bridge 3",
        "layers learn as the model does, in training",
        "layers learn as the model does, in evaluation",
    ):
        assert claim in text


def test_one_sample_is_enough_also_with_batch_norm() -> None:
    x = torch.randn(6, 3, 8, 8)
    net = al.convert(residual_cnn(), x, target=al.Classes(5), at=2)
    assert all(check.holds for check in al.verify(net, (x[:1], Y[:1])).checks)


def test_a_missing_cut_is_found() -> None:
    net = converted()
    net.layers[1].stop_gradients = False
    net.blocks = lambda: list(net.layers)  # type: ignore[method-assign]  # as if they were isolated
    with pytest.raises(al.VerificationError, match=r"it has a gradient for layers\.0"):
        al.verify(net, (X, Y))


def test_an_encoder_that_left_its_backbone_is_found() -> None:
    net = converted()
    net.layers[1] = copy.deepcopy(net.layers[1])
    with torch.no_grad():
        next(net.layers[1].f.parameters()).add_(0.1)
    with pytest.raises(al.VerificationError, match="it holds copies of"):
        al.verify(net, (X, Y))


def test_a_loss_that_trains_nothing_is_found() -> None:
    net = dense_network(2)
    for parameter in net.layers[0].parameters():
        parameter.requires_grad_(False)
    with pytest.raises(al.VerificationError, match="gradient for no parameter"):
        al.verify(net, (X, Y))


def test_an_encoder_that_its_loss_does_not_reach_is_found() -> None:
    class Detached(torch.nn.Linear):
        def forward(self, s: torch.Tensor) -> torch.Tensor:
            return super().forward(s).detach()

    net = al.al_form([torch.nn.Linear(6, 8), Detached(8, 8)], X, al.Classes(4))
    with pytest.raises(al.VerificationError, match="for no parameter of the encoder f"):
        al.verify(net, (X, Y))


def test_joint_layers_are_one_block() -> None:
    encoders = [torch.nn.Linear(6, 8), torch.nn.Linear(8, 8)]
    net = al.al_form(
        encoders, X, al.Classes(4), stop_gradients=[True, False], use_associated=[False, True]
    )
    assert al.verify(net, (X, Y)).checks[0].claim == "loss 1 trains layer 1 alone"


def test_nothing_changes() -> None:
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % 5
    for net, batch in (
        (al.convert(residual_cnn(), x, target=al.Classes(5), at=2), (x, y)),
        (noisy_network(), (X, Y)),
    ):
        net.layers[0].eval()
        before = copy.deepcopy(net.state_dict())
        state = torch.get_rng_state()
        al.verify(net, batch)
        assert torch.equal(torch.get_rng_state(), state)
        assert not net.layers[0].training
        assert net.layers[1].training
        assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
        assert all(parameter.grad is None for parameter in net.parameters())
