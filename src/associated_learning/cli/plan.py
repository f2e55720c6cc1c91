"""``al plan``: how a model would be cut into layers."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from torch import nn

from associated_learning.cli.layers import layers_table
from associated_learning.cli.tables import console
from associated_learning.conversion import plan as plan_model
from associated_learning.conversion.cutting.head import Head
from associated_learning.errors import InputError, nearest
from associated_learning.network import ALNetwork
from associated_learning.runs.config import ResolvedConfig, RunConfig
from associated_learning.runs.defaults import resolved
from associated_learning.runs.example import ExampleSource, parse_shape
from associated_learning.runs.factory import make_model
from associated_learning.runs.families import build_network
from associated_learning.runs.hub.model import find_model, fresh_model
from associated_learning.runs.hub.network import cut_names
from associated_learning.runs.input_spec import InputSpec
from associated_learning.runs.inputs import input_spec, load_data
from associated_learning.runs.printable import escape
from associated_learning.runs.settings.model import FAMILIES, HUB

__all__ = ["plan"]

_EXAMPLE = "Example"
_SHAPES = {"mlp": (1, 28, 28), "cnn": (3, 32, 32), "vgg": (3, 32, 32)}


def plan(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="hf:... as for al train; mlp, cnn, vgg, bilstm or transformer; or "
            "package.module:factory, a function or class without arguments that makes a model.",
        ),
    ],
    *,
    at: Annotated[
        str,
        typer.Option(
            help="Where layers begin: names of modules with commas between them, a number of "
            "layers, or auto, for four or fewer of about the same cost."
        ),
    ] = "auto",
    balance: Annotated[
        str, typer.Option(help="What makes layers of the same cost: flops, parameters or time.")
    ] = "flops",
    head: Annotated[
        str,
        typer.Option(
            help="The old classifier, which is dropped: names of modules with commas between "
            "them, none, or auto."
        ),
    ] = "auto",
    input_shape: Annotated[
        str | None,
        typer.Option(
            help="Shape of one input, such as 3,224,224, for an example of random numbers.",
            rich_help_panel=_EXAMPLE,
        ),
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(help="Number of tokens of an example of texts.", rich_help_panel=_EXAMPLE),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Samples of the example.", rich_help_panel=_EXAMPLE)
    ] = 2,
    data: Annotated[
        str | None,
        typer.Option(
            help="Take the example from these data, named as for al train.",
            rich_help_panel=_EXAMPLE,
        ),
    ] = None,
    data_root: Annotated[
        str | None, typer.Option(help="As for al train.", rich_help_panel=_EXAMPLE)
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="As for al train.", rich_help_panel=_EXAMPLE)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="As for al train.", rich_help_panel=_EXAMPLE)
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="As for al train.", rich_help_panel=_EXAMPLE)
    ] = None,
) -> None:
    """Show how a model would be cut into layers that train in isolation, or all that forbids it.

    Nothing is trained and no weights are read.

    Examples:

        al plan hf:bert --at 4

        al plan hf:models/minilm --at encoder.layer.2,encoder.layer.4 --sequence-length 128

        al plan mypackage.models:resnet --input-shape 3,224,224 --balance time

        al plan cnn --data cifar10
    """
    family = model in FAMILIES or model.startswith(HUB)
    if not family and ":" not in model:
        raise InputError(
            f"{model} came; expected {', '.join(FAMILIES)}, hf:NAME or package.module:factory."
            f"{nearest(model, FAMILIES)}"
        )
    config = resolved(
        RunConfig(
            model=model if family else RunConfig.model,
            data=data or RunConfig.data,
            data_root=data_root,
            text_column=text_column,
            label_column=label_column,
            image_size=image_size,
        )
    )
    source = ExampleSource(
        data=None if data is None else load_data(config),
        shape=None if input_shape is None else parse_shape(input_shape),
        length=sequence_length,
        batch_size=batch_size,
    )
    if family and config.family != "hf":
        _show_family(config, source, at)
        return
    network, example, parts = _of_hub(config, source) if family else _own(model, source, head)
    found = plan_model(
        network,
        example,
        at=cut_names(at, None),
        balance=balance,  # type: ignore[arg-type]
        head=parts,
    )
    console.print(escape(str(found), lines=True), soft_wrap=True, highlight=False)


def _show_family(config: ResolvedConfig, source: ExampleSource, at: str) -> None:
    """Show the layers that a family of ours is made of."""
    if at != "auto":
        raise InputError(f"--at {at} came, but {config.model} is made of layers; leave it out.")
    if source.data is not None:
        spec = input_spec(config, source.data, None)
    elif config.model in _SHAPES:
        shape = source.shape or _SHAPES[config.model]
        spec = InputSpec(kind="image", num_classes=10, shape=shape)
    else:
        spec = InputSpec(kind="text", num_classes=10, vocabulary_size=30_000, embedding_dim=300)
    net = build_network(config, spec).eval()
    assert isinstance(net, ALNetwork)
    console.print(layers_table(net, spec))


def _of_hub(config: ResolvedConfig, source: ExampleSource) -> tuple[nn.Module, Any, None]:
    """Return a fresh model of transformers, an example, and its head: it has none."""
    found = find_model(config.model)
    if source.data is not None:
        spec, example = input_spec(config, source.data, None), source.of_data()
    elif found.kind == "text":
        size = getattr(found.config, "vocab_size", None)
        if size is None:
            raise InputError(
                f"{config.model} reads both texts and images, or neither; plan it from Python: "
                "al.plan(model, example_inputs)."
            )
        spec = InputSpec(kind="text", num_classes=2, vocabulary_size=size)
        example = source.texts()
    else:
        spec = InputSpec(kind="image", num_classes=2, shape=source.shape or found.shape)
        example = source.images(spec.shape)
    return fresh_model(found.fitted(spec)), example, None


def _own(name: str, source: ExampleSource, head: str) -> tuple[nn.Module, Any, Head]:
    """Return a model of the user's, an example, and what its head is."""
    model = make_model(name)
    parts: dict[str, Head] = {"auto": "auto", "none": None}
    names = [part.strip() for part in head.split(",")]
    return model, source.for_model(model), parts.get(head, names)
