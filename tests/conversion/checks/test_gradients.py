"""Gradients: a lost backward, a lost use, and what only training does are found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from associated_learning.conversion.checks.gradients import check_gradients
from conversion.subjects import Net, X, subject


class Through(torch.autograd.Function):
    """The sign, straight through."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return torch.sign(x)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


def straight(h: Tensor, mode: bool) -> Tensor:
    return Through.apply(h)


@pytest.mark.parametrize("mode", [True, False])
def test_layers_that_learn_as_the_model_does_pass(mode: bool) -> None:
    model = Net(straight)
    (check,) = check_gradients(subject(model, straight), {"x": X}, in_training=mode)
    assert check.holds
    assert check.evidence == "values, and gradients of 6 parameters"


def test_a_lost_backward_is_found_where_it_is() -> None:
    wrong = subject(Net(straight), lambda h, mode: torch.sign(h))
    (check,) = check_gradients(wrong, {"x": X}, in_training=False)
    assert not check.holds
    assert check.place == "layer 1"
    assert (
        "the gradient of a.weight (and 1 more) is another than the model's (of size 0"
        in check.evidence
    )


def test_a_reversed_gradient_is_found() -> None:
    wrong = subject(Net(), lambda h, mode: -h + 2 * h.detach())
    (check,) = check_gradients(wrong, {"x": X}, in_training=False)
    assert "the gradient of a.weight" in check.evidence


def test_what_only_training_does_is_found_in_training_alone() -> None:
    def halved(h: Tensor, mode: bool) -> Tensor:
        return h * (0.5 if mode else 1.0)

    wrong = subject(Net(halved))
    assert check_gradients(wrong, {"x": X}, in_training=False)[0].holds
    (check,) = check_gradients(wrong, {"x": X}, in_training=True)
    assert "in training mode the layers' features are off by up to" in check.evidence


def test_evaluation_that_cannot_be_differentiated_is_found_in_training() -> None:
    def in_place(h: Tensor, mode: bool) -> Tensor:
        out = h.exp()
        return out * 1.0 if mode else out.mul_(1.0)

    wrong = subject(Net(in_place), lambda h, mode: h.exp().mul_(1.0))
    (check,) = check_gradients(wrong, {"x": X}, in_training=True)
    assert (
        "in training mode the model can be differentiated, but its layers cannot" in check.evidence
    )


def test_a_parameter_in_no_layer_is_found() -> None:
    model = Net()
    wrong = subject(model, maps=(model.a, nn.Linear(5, 5)))
    with torch.no_grad():
        wrong.encoders[1].module.load_state_dict(model.b.state_dict())  # type: ignore[operator, union-attr]
    (check,) = check_gradients(wrong, {"x": X}, in_training=False)
    assert "b.weight (and 1 more) acts on the features, but is in no layer" in check.evidence


def test_random_numbers_are_the_same_where_the_model_draws_more() -> None:
    import associated_learning as al

    class Noisy(nn.Module):
        """An auxiliary head with dropout of its own, in training alone, as GoogLeNet's."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.drop, self.b = nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 8)
            self.aux, self.noise, self.out = nn.Linear(8, 3), nn.Dropout(0.5), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            h = self.a(x).relu()
            aux = self.aux(self.noise(h)) if self.training else None
            y = self.out(self.b(self.drop(h)).relu())
            return y if aux is None else (y, aux)

    net = al.convert(Noisy(), torch.randn(8, 8), target=al.Classes(3), at=["drop"])
    inputs = {"x": torch.randn(5, 8)}
    (check,) = check_gradients(net.subject(), inputs, in_training=True)
    assert check.holds


def test_nothing_is_checked_where_the_model_itself_cannot_train() -> None:
    def fails(h: Tensor, mode: bool) -> Tensor:
        if mode:
            raise ValueError("labels, please")
        return h

    assert check_gradients(subject(Net(fails)), {"x": X}, in_training=True) == []


def test_modes_buffers_and_random_state_are_left_alone() -> None:
    model = Net()
    model.b = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.5))  # type: ignore[assignment]
    model.a.eval()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    assert check_gradients(subject(model), {"x": X}, in_training=True)[0].holds
    assert not model.a.training
    assert model.b.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
