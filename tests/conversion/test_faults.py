"""What cannot be converted says why: the place, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import associated_learning as al
from conversion.modules import (
    Branching,
    Counted,
    Messenger,
    Remembering,
    Tied,
    UNet,
    Worded,
    dense,
)

X = torch.randn(4, 6)


def faults(model: nn.Module, x: Any, at: Any) -> str:
    with pytest.raises(al.ConversionError) as caught:
        al.plan(model, x, at=at)
    assert all(fault.remedy for fault in caught.value.faults)
    return str(caught.value)


def test_a_connection_that_jumps_over_a_cut() -> None:
    text = faults(UNet(), torch.randn(2, 3, 8, 8), ["inner"])
    assert "inner: a connection jumps over this cut: what down makes" in text
    assert "is used by up" in text
    assert "Cut before down or after up" in text


def test_a_module_shared_by_two_layers() -> None:
    text = faults(Tied(), X, ["middle"])
    assert "again.weight and 1 more would belong to the layers on both sides" in text


def test_a_buffer_updated_across_a_cut() -> None:
    model = Counted()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    text = faults(model, X, ["second"])
    assert "the buffer norm.running_mean is updated across this cut" in text
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers())
    assert model.training


def test_control_flow_that_depends_on_data() -> None:
    text = faults(Branching(), X, ["second"])
    assert "the model itself: its forward depends on the content of a tensor" in text
    assert "data-dependent control flow" in text


def test_an_attribute_assigned_in_forward() -> None:
    assert "assigns self.last" in faults(Remembering(), X, ["second"])


def test_an_object_that_is_no_tensor() -> None:
    assert "an object of type Note between its parts" in faults(Messenger(), X, ["second"])


def test_an_output_that_is_no_tensor() -> None:
    assert "comes out of the model" in faults(Worded(), X, ["second"])


def test_all_faults_come_at_once() -> None:
    class Both(UNet):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Conv2d(8, 4, 3, padding=1)
            self.again = nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = self.again(self.down(x))
            c = self.middle(a) if a.sum() > 100 else self.middle(a) * 2
            c = self.inner(c)
            return self.head(self.again(self.up(torch.cat([a, c], 1))).mean((2, 3)))

    text = faults(Both(), torch.randn(2, 3, 8, 8), ["inner"])
    assert text.startswith("the model cannot be converted, for 3 reasons")
    assert "jumps" in text
    assert "shared or tied" in text
    assert "data-dependent" in text


def test_cuts_out_of_order_and_in_the_head() -> None:
    assert "it runs before 4" in faults(dense(), X, ["4", "2"])
    assert "6: it is part of the head" in faults(dense(), X, ["6"])


def test_auto_cuts_around_what_cannot_be_cut() -> None:
    plan = al.plan(UNet(), torch.randn(2, 3, 8, 8))
    assert [layer.modules for layer in plan.layers] == [("down",), ("middle", "inner"), ("up",)]
    tied = al.plan(Tied(), X)
    homes = [i for i, layer in enumerate(tied.layers) if "again" in layer.modules]
    assert len(homes) == 1


def test_auto_says_why_there_is_no_cut() -> None:
    text = faults(Branching(), X, "auto")
    assert "can be cut into 1 layer" in text
    assert "data-dependent" in text


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (["layers.2"], r"module 'layers.2' came, but it was not called .* Did you mean"),
        (["22"], r"'22' came, .* Did you mean '2'\?"),
        ([], "no names came to cut at"),
        (1, "1 layers came; expected two or more"),
        (True, "at=True came"),
        ("2", r"expected 'auto', a number, or a list: \['2'\]"),
        ({"2": "middle"}, "'middle' came; expected 'beginning' or 'end'"),
        (2.5, "at=2.5 came; expected"),
    ],
)
def test_bad_cuts(at: Any, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.plan(dense(), X, at=at)


def test_a_container_is_told_from_a_module_that_runs() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x).tanh()
            return x

    with pytest.raises(al.InputError, match=r"'blocks' came, but it is only a container.*blocks.0"):
        al.plan(Listed(), X, at=["blocks"])


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.randn(4, 7), r"Sequential fails on the example \(input \[4, 7\] torch.float32\)"),
        (X.long(), "Sequential fails on the example"),
        (torch.randn(1, 6), "an example of 1 samples came; expected a batch of two"),
        ([[1.0] * 6] * 4, "example inputs of type list came; expected a batch"),
        ({"x": 3}, "example inputs of type dict came"),
        (X * float("nan"), "NaN or infinite values came in the example"),
        (X.to("meta"), "came on meta, the model is on cpu"),
    ],
)
def test_bad_examples(example: Any, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.plan(dense(), example)


def test_a_network_in_al_form_is_refused() -> None:
    net = al.convert(dense(), X, target=al.Classes(5), at=2)
    with pytest.raises(al.InputError, match=r"in AL form already.*net\.backbone\(\)"):
        al.plan(net, X)
    with pytest.raises(al.InputError, match="in AL form already"):
        al.plan(nn.Sequential(net.layers[0].f, nn.Linear(8, 5)), X)


def test_normalisations_are_cut_at_where_nothing_else_is() -> None:
    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList(torch.randn(6, 6) for _ in range(3))
            self.norms = nn.ModuleList(nn.LayerNorm(6) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for weight, norm in zip(self.weights, self.norms, strict=True):
                x = norm(x) @ weight
            return x

    assert len(al.plan(Weights(), X).layers) == 3


def test_a_branch_that_only_training_takes_is_told() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
            self.head = nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x)
            if self.training:
                h = h * torch.bernoulli(torch.full((len(h), 1), 0.9))
            return self.head(self.second(h))

    assert "in training, the forward of the model itself takes another way" in str(
        al.plan(Dropping(), X, at=["second"])
    )
    whole = nn.Sequential(Dropping(), nn.Linear(5, 5), nn.Linear(5, 5))
    assert "takes another way" not in str(al.plan(whole, X, at=["1"]))


def test_more_layers_than_there_are_cuts() -> None:
    assert "it can be cut into 3 layers, 9 were asked for" in faults(dense(), X, 9)


def test_inputs_other_than_the_examples() -> None:
    net = al.convert(dense(), X, target=al.Classes(5), at=2)
    with pytest.raises(al.InputError, match="expected input, as in the example"):
        net((X, X))
    with pytest.raises(al.InputError, match="inputs y came; expected input"):
        net({"y": X})


def test_an_unknown_balance() -> None:
    with pytest.raises(al.InputError, match="balance='memory' came; expected one of time"):
        al.plan(dense(), X, balance="memory")  # type: ignore[arg-type]


class Masked(nn.Module):
    """Takes ids and a mask of padding, and a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = nn.Embedding(9, 6), nn.Linear(6, 8)
        self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(
        self, ids: torch.Tensor, padding_mask: torch.Tensor, scale: float = 1.0
    ) -> torch.Tensor:
        h = self.first(self.embed(ids).masked_fill(padding_mask.unsqueeze(2), 0)) * scale
        return self.head(self.second(h.tanh()).mean(1))


def masked() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(0, 9, (4, 7)), torch.arange(7) >= torch.tensor([[7], [3], [5], [1]])


def test_a_sequence_is_refused_where_the_second_argument_is_no_mask_of_tokens() -> None:
    ids, padding = masked()
    net = al.convert(Masked(), (ids, padding), target=al.Classes(5), at=["second"])
    with pytest.raises(al.InputError, match=r"a Sequence came, .* expected ids, padding_mask"):
        net(al.PaddedSequence(ids, (~padding).sum(1)))


def test_an_argument_that_was_constant_cannot_change() -> None:
    ids, padding = masked()
    example = {"padding_mask": padding, "ids": ids, "scale": 2.0}  # in any order
    net = al.convert(Masked(), example, target=al.Classes(5), at=["second"])
    assert net(example).shape == (4, 5)
    with pytest.raises(al.InputError, match=r"scale came as 50\.0; it was 2\.0"):
        net({**example, "scale": 50.0})
    with pytest.raises(al.InputError, match="scale came as a tensor"):
        net({**example, "scale": torch.ones(4)})


def test_labels_are_no_input() -> None:
    ids, padding = masked()
    example = {"ids": ids, "padding_mask": padding, "labels": torch.zeros(4)}
    with pytest.raises(al.InputError, match="labels came among the example inputs"):
        al.plan(Masked(), example)


def test_gradients_turned_off_inside_a_taken_apart_forward() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
            self.head = nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                h = self.first(x)
            return self.head(self.second(h).relu())

    assert "turns gradients off" in faults(Frozen(), X, ["second"])


def test_a_last_map_with_an_activation_after_it_is_a_layer() -> None:
    features = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    assert al.plan(features, X, at=2).dropped == ()
    scores = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 5), nn.Softmax(1))
    assert al.plan(scores, X, at=2).dropped == ("2",)


def test_a_model_that_wants_labels_in_training_is_converted() -> None:
    class Strict(Tied):
        def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            assert not (self.training and labels is None)
            return super().forward(x)

    assert len(al.plan(Strict(), X, at=["again"]).layers) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": nn.Linear}, "expected a model"),
        ({"model": nn.DataParallel(dense())}, r"wraps a model; convert model\.module"),
        ({"target": 3}, "target=3 came"),
        ({"at": [2, 4]}, r"at=\[2, 4\] came; expected names"),
        ({"head": "6"}, r"head='6' came; expected .* a list: \['6'\]"),
        ({"readout": "mean"}, "readout 'mean' came for layer 1"),
    ],
)
def test_arguments_of_a_wrong_kind(arguments: dict[str, Any], message: str) -> None:
    given = {"model": dense(), "target": al.Classes(5), "at": 2, **arguments}
    with pytest.raises(al.InputError, match=message):
        al.convert(given.pop("model"), X, **given)


def _adds_in_place(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    h = model.first(x).relu()
    h += model.second(h).tanh()
    return h


def _writes_into_x(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model.second(model.first(x.mul_(0.5)).relu())


def _counts(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    model.calls.append(1)
    return model.second(model.first(x).relu() / len(model.calls))


def _draws(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model.second(nn.functional.dropout(model.first(x), 0.5))


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (
            _adds_in_place,
            "layer 2, from second on: neither the model nor this layer can be",
        ),
        (_writes_into_x, r"writes into its own input \(x\).* x = x\.clone\(\)"),
        (_counts, "another answer every time it runs on the same batch .* counts its calls"),
        (_draws, "drawn at random in evaluation mode, too .* F.dropout"),
    ],
)
def test_what_is_wrong_with_the_models_own_forward_is_named(
    hidden: Callable[[nn.Module, torch.Tensor], torch.Tensor], message: str
) -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 5)
            self.calls: list[int] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(hidden(self, x))
            return out

    with pytest.raises(al.ConversionError, match=message):
        al.plan(Wrong(), X.clone(), at=["second"])


def test_as_many_layers_as_said_can_be_made() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(x).tanh()).tanh()

    model = nn.Sequential(Block(), Block(), Block(), nn.Linear(6, 5))
    assert len(al.plan(model, X, at=6).layers) == 6
    assert "it can be cut into 6 layers, 7 were asked for" in faults(model, X, 7)
