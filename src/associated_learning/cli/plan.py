"""``al plan``: how a model would be cut into layers."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import torch
import typer
from torch import nn

from associated_learning.cli.layers import layers_table
from associated_learning.cli.tables import console
from associated_learning.conversion import convert
from associated_learning.conversion import plan as plan_model
from associated_learning.conversion.cutting.head import Head
from associated_learning.conversion.cutting.selection import At
from associated_learning.conversion.options import ALOptions
from associated_learning.errors import InputError, nearest
from associated_learning.network import ALNetwork
from associated_learning.pipeline.offload.memory_plan import MemoryPlan, StagePlans
from associated_learning.runs.example import ExampleSource, parse_shape
from associated_learning.runs.hub.model import find_model, fresh_model
from associated_learning.runs.hub.network import cut_names
from associated_learning.runs.inputs import input_spec, load_data
from associated_learning.runs.networks.factory import make_model
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.printable import escape
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.model import FAMILIES, HUB
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.tasks.deciding import decided
from associated_learning.targets import Classes
from associated_learning.tensors.nested import tensors_in
from associated_learning.training.loader import LoaderBatches
from associated_learning.training.trainer import Trainer

__all__ = ["plan"]

_EXAMPLE = "Example"
_LEARNS = "What layers learn by"
_MEMORY = "Larger than memory"
_as_in_training = functools.partial(typer.Option, help="As for al train.")
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
    data_root: Annotated[str | None, _as_in_training(rich_help_panel=_EXAMPLE)] = None,
    text_column: Annotated[str | None, _as_in_training(rich_help_panel=_EXAMPLE)] = None,
    label_column: Annotated[str | None, _as_in_training(rich_help_panel=_EXAMPLE)] = None,
    image_size: Annotated[int | None, _as_in_training(rich_help_panel=_EXAMPLE)] = None,
    bridge: Annotated[str | None, _as_in_training(rich_help_panel=_LEARNS)] = None,
    bridge_blocks: Annotated[
        int, _as_in_training(rich_help_panel=_LEARNS, min=1)
    ] = ALOptions.bridge_blocks,
    input_loss: Annotated[
        float, _as_in_training(rich_help_panel=_LEARNS, min=0)
    ] = ALOptions.input_loss,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Plan training by al train --executor offload within this much memory, such as "
            "2GiB: layers are measured on the example, with Adam in float32.",
            rich_help_panel=_MEMORY,
        ),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            help="Where layers lie that do not train: host memory or a folder, whose disk is "
            "measured.",
            rich_help_panel=_MEMORY,
        ),
    ] = "host",
    window: Annotated[int | None, _as_in_training(rich_help_panel=_MEMORY, min=1)] = None,
    recompute: Annotated[bool, _as_in_training(rich_help_panel=_MEMORY)] = False,
    stages: Annotated[
        str | None,
        typer.Option(
            help="As for al train: what each of several processes would hold that have this much "
            "memory each, and a store of its own.",
            rich_help_panel=_MEMORY,
        ),
    ] = None,
) -> None:
    """Show how a model would be cut into layers that train in isolation, or all that forbids it.

    Nothing is trained and no weights are read.

    Examples:

        al plan hf:bert --at 4

        al plan hf:models/minilm --at encoder.layer.2,encoder.layer.4 --sequence-length 128

        al plan mypackage.models:resnet --input-shape 3,224,224 --balance time

        al plan cnn --data cifar10

        al plan hf:bert --at 4 --batch-size 32 --memory 1GiB --store stores/bert

        al plan hf:bert --at 12 --batch-size 32 --memory 1GiB --stages 3
    """
    family = _is_family(model)
    asked = RunConfig(
        model=model if family else RunConfig.model,
        data=data or RunConfig.data,
        data_root=data_root,
        text_column=text_column,
        label_column=label_column,
        image_size=image_size,
        stages=stages,
        bridge=bridge,
        bridge_blocks=bridge_blocks,
        input_loss=input_loss,
    )
    config = resolved(decided(asked)[0])
    source = ExampleSource(
        data=None if data is None else load_data(config),
        shape=None if input_shape is None else parse_shape(input_shape),
        length=sequence_length,
        batch_size=batch_size,
    )
    if family and config.family != "hf":
        _show_family(config, source, at, memory)
        return
    network, example, parts = (
        _of_hub(config, source) if family else _model_of_user(model, source, head)
    )
    given = ALOptions(
        bridge=bridge or ALOptions.bridge,  # type: ignore[arg-type]
        bridge_blocks=bridge_blocks,
        input_loss=input_loss,
    )
    cuts = _show_cuts(network, example, cut_names(at, None), balance, parts, given)
    if memory is not None:
        net = convert(network, example, target=Classes(2), at=cuts, head=parts, options=given)
        settings = {"memory": memory, "store": store, "window": window, "recompute": recompute}
        _show_memory(net, example, config.stage_sizes, **settings)
    elif stages is not None:
        why = "expected both: what each stage may hold"
        raise InputError(f"--stages {stages} came without --memory; {why}.")


def _show_cuts(
    network: nn.Module, example: Any, at: At, balance: str, head: Head, options: ALOptions
) -> list[str]:
    """Show how a model would be cut; return where its layers begin."""
    found = plan_model(
        network,
        example,
        at=at,
        balance=balance,  # type: ignore[arg-type]
        head=head,
        options=options,
    )
    console.print(escape(str(found), lines=True), soft_wrap=True, highlight=False)
    return [layer.begins for layer in found.layers[1:]]


def _show_memory(
    net: ALNetwork, example: Any, stages: int | list[int] | None, **settings: Any
) -> None:
    """Show how Adam would train a network within a limit of memory, or in stages within it each."""
    executor = "offload" if stages is None else "processes"
    trainer = Trainer(epochs=1, executor=executor, stages=stages, **settings)
    count = len(tensors_in(example)[0])
    batches = LoaderBatches([(example, torch.arange(count) % 2)])
    found: MemoryPlan | StagePlans = (
        trainer.memory_plan(net, batches) if stages is None else trainer.stage_plans(net, batches)
    )
    console.print(f"\n{escape(str(found), lines=True)}", soft_wrap=True, highlight=False)


def _is_family(model: str) -> bool:
    """Return whether a name is of a family or of transformers, not of a user's own function."""
    family = model in FAMILIES or model.startswith(HUB)
    if not family and ":" not in model:
        raise InputError(
            f"{model} came; expected {', '.join(FAMILIES)}, hf:NAME or package.module:factory."
            f"{nearest(model, FAMILIES)}"
        )
    return family


def _show_family(
    config: ResolvedConfig, source: ExampleSource, at: str, memory: str | None
) -> None:
    """Show the layers that a family of ours is made of."""
    if memory is not None:
        raise InputError(
            f"--memory {memory} came with {config.model}, a small family of ours; expected hf:NAME "
            "or package.module:factory. From Python: Trainer.memory_plan(net, batches)."
        )
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


def _model_of_user(name: str, source: ExampleSource, head: str) -> tuple[nn.Module, Any, Head]:
    """Return a model of the user's, an example, and what its head is."""
    model = make_model(name)
    parts: dict[str, Head] = {"auto": "auto", "none": None}
    names = [part.strip() for part in head.split(",")]
    return model, source.for_model(model), parts.get(head, names)
