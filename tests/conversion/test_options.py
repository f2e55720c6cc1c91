"""The options of an AL form: one value, which is taken as a whole or by keywords."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.conversion.options import ALKeywords
from associated_learning.losses.contrast import contrastive_loss

FIELDS = {field.name: field.default for field in dataclasses.fields(al.ALOptions)}
TARGET = al.Classes(3)
X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


class Values(nn.Module):
    """A readout of its own, for vectors and for streams of them."""

    def forward(self, s: Any) -> torch.Tensor:
        values: torch.Tensor = getattr(s, "values", s) if not isinstance(s, torch.Tensor) else s
        return values


# for each field a value that is not the default
OTHER: dict[str, Any] = {
    "latent": 7,
    "readout": Values(),
    "bridge": "mlp",
    "bridge_hidden": 9,
    "bridge_blocks": 2,
    "bridge_select": "uniform",
    "bridge_frozen": True,
    "bridge_momentum": 0.9,
    "coders": "etf",
    "activation": "sigmoid",
    "decoder_activation": "relu",
    "linear_decoders": True,
    "bias": False,
    "association": None,
    "input_loss": 0.5,
    "overlap": True,
    "detach_target": False,
    "stop_gradients": [True, True, False],
    "use_associated": [True, False, True],
}

# what a field has no effect without
NEEDED: dict[str, dict[str, Any]] = {
    "bridge_hidden": {"bridge": "mlp"},
    "bridge_blocks": {"bridge": "block"},
    "bridge_select": {"bridge": "block"},
    "bridge_frozen": {"bridge": "block"},
    "bridge_momentum": {"bridge": "block"},
    "use_associated": {"stop_gradients": [True, True, False]},
}


def form(**options: Any) -> al.ALNetwork:
    torch.manual_seed(0)
    return al.al_form([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)], X, TARGET, **options)


def converted(**options: Any) -> al.ALNetwork:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    return al.convert(model, X, target=TARGET, at=["1", "2"], **options)


def seen(net: al.ALNetwork) -> list[Any]:
    """What two networks of the same options have alike."""
    return [
        (repr(layer.b), repr(layer.g), repr(layer.h), repr(layer.readout), layer.association)
        if part == "modules"
        else (
            [parameter.requires_grad for parameter in layer.parameters()],
            *(
                layer.input_decoder is None,
                layer.window is None,
                [p.sum().item() for p in layer.readout.parameters()],
                layer.detach_target,
                layer.stop_gradients,
                layer.use_associated,
            ),
        )
        for layer in net.al_layers()
        for part in ("modules", "switches")
    ]


def test_every_field_is_tried() -> None:
    assert OTHER.keys() == FIELDS.keys()


def test_the_keywords_for_type_checkers_are_the_fields() -> None:
    value, keywords = (get_type_hints(kind) for kind in (al.ALOptions, ALKeywords))
    assert keywords == value


@pytest.mark.parametrize("function", [al.al_form, al.convert, al.plan])
def test_help_shows_every_field_with_its_default(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in FIELDS} == FIELDS


@pytest.mark.parametrize("make", [form, converted])
@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_taken_as_keyword_and_in_the_value(
    make: Callable[..., al.ALNetwork], name: str
) -> None:
    asked = {**NEEDED.get(name, {}), name: OTHER[name]}
    by_keyword, by_value = make(**asked), make(options=al.ALOptions(**asked))
    assert seen(by_keyword) == seen(by_value)
    assert seen(by_keyword) != seen(make(**NEEDED.get(name, {})))


def test_a_keyword_takes_the_place_of_what_the_value_says() -> None:
    net = form(options=al.ALOptions(latent=7, bias=False), latent=5)
    assert [layer.g[0].out_features for layer in net.al_layers()] == [5, 5, 5]
    assert net.layers[0].b.bias is None


def test_a_converted_model_learns_by_the_association_that_it_was_given() -> None:
    """Each layer's associated loss is that of the formula, on its own bridge and target."""
    net = converted(association=contrastive_loss, latent=5).eval()
    t = TARGET.encode(torch.arange(4) % 3)
    for layer, output in zip(net.al_layers(), net.associate(X, torch.arange(4) % 3), strict=True):
        expected = contrastive_loss(layer.bridge(output.s), layer.g(t))
        torch.testing.assert_close(output.losses["associated"], expected)
        t = output.t


@pytest.mark.parametrize("make", [form, converted])
@pytest.mark.parametrize(("wrong", "right"), [("latnet", "latent"), ("associaton", "association")])
def test_a_wrong_keyword_names_the_nearest(
    make: Callable[..., al.ALNetwork], wrong: str, right: str
) -> None:
    with pytest.raises(al.InputError, match=rf"no argument '{wrong}'\. Did you mean '{right}'"):
        make(**{wrong: 8})


def test_the_nearest_keyword_may_be_no_option() -> None:
    with pytest.raises(al.InputError, match=r"no argument 'balanc'\. Did you mean 'balance'"):
        converted(balanc="flops")
