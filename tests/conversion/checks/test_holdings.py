"""Copies and shared parameters are found; other sizes and unread data, too."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.conversion.checks.batches import check_batches
from associated_learning.conversion.checks.holdings import check_holdings
from associated_learning.conversion.checks.reach import check_reach
from associated_learning.conversion.slicing.slice import Stream
from conversion.subjects import Net, X, subject


def test_layers_that_hold_the_models_own_parameters_pass() -> None:
    assert [check.holds for check in check_holdings(subject(Net()))] == [True, True]


def test_a_copy_is_found_and_named() -> None:
    model = Net()
    first, second = check_holdings(subject(model, maps=(model.a, copy.deepcopy(model.b))))
    assert first.holds
    assert not second.holds
    assert second.evidence.startswith("it holds copies of module.weight and 1 more")
    assert second.place == "layer 2, from b on"


def test_a_parameter_of_two_layers_is_found() -> None:
    model = Net()
    _, second = check_holdings(subject(model, maps=(model.b, model.b)))
    assert second.evidence == "it shares module.weight and 1 more with layer 1"


def test_a_layer_that_goes_by_the_number_of_samples_is_found() -> None:
    def centred(h: Tensor, mode: bool) -> Tensor:
        return h - h.mean(0, keepdim=True) if len(h) > 4 else h

    wrong = [c.claim for c in check_batches(subject(Net(centred)), {"x": X}) if not c.holds]
    assert wrong == ["encoders give the model's features, 5 samples"]


def test_a_layer_that_goes_by_the_length_is_found() -> None:
    def last(h: Tensor, mode: bool) -> Tensor:
        return h[:, -6:] if h.shape[1] > 6 else h

    x = torch.randn(3, 5, 4)
    found = check_batches(subject(Net(last), x=x), {"x": x})
    assert len(found) == 7  # the model takes no other width
    assert [c.claim for c in found if not c.holds] == [
        "encoders give the model's features, 2 of axis 1"
    ]


def test_which_inputs_reach_a_bridge() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 8)
            self.out = nn.Linear(8, 3)

        def forward(self, x: Tensor, late: Tensor) -> Tensor:
            return self.out(self.c(self.a(x).relu()).relu() + self.b(late))

    x = (torch.randn(4, 4), torch.randn(4, 4))
    net = al.convert(Two(), x, target=al.Classes(3), at=["c"])
    found = check_reach(net.subject(), net.subject().arguments.bind(x))
    assert [check.evidence for check in found] == ["x", "x, late"]


def test_a_bridge_that_reads_nothing_is_found() -> None:
    class Constant(nn.Module):
        def forward(self, s: Stream) -> Tensor:
            return torch.ones(len(s.values), 2)

    first, second = check_reach(subject(Net(), readout=Constant()), {"x": X})
    assert first.evidence == "none of x changes what the bridge reads"
    assert second.holds
