"""The paper's network families with their settings (Tables 7 and 8, section 6.6), AL and BP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from associated_learning.backprop import BPNetwork
from associated_learning.conversion import al_form
from associated_learning.conversion.list_readouts import readouts_for
from associated_learning.errors import InputError
from associated_learning.models import (
    CNN,
    MLP,
    VGG,
    BiLSTM,
    Flatten,
    GlobalAverage,
    KeptPositions,
    LastState,
    LayeredModel,
    MaskedMean,
    MeanMax,
    PooledFlatten,
    SegmentationCNN,
    StateConcat,
    StateSum,
    Transformer,
)
from associated_learning.models.dense import dense_head
from associated_learning.network import Network
from associated_learning.runs.hub.network import Backbone, build_converted
from associated_learning.runs.networks.al_options import al_options
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.settings.setting import numbers
from associated_learning.runs.tasks.target import task_target
from associated_learning.targets import Target
from associated_learning.tensors.randomness.keyed import seeded

__all__ = ["IMAGE_MODELS", "TEXT_MODELS", "build_network"]

Value = TypeVar("Value", int, float)
TEXT_MODELS = ("bilstm", "transformer")
IMAGE_MODELS = ("cnn", "vgg")


def build_network(
    config: ResolvedConfig,
    spec: InputSpec,
    vectors: Tensor | None = None,
    *,
    backbone: Backbone | None = None,
    pretrained: bool = False,
) -> Network:
    """Build the network of a run; the weights are keyed by its seed.

    Args:
        config: The settings.
        spec: What the data look like.
        vectors: Word vectors ``[vocabulary_size, embedding_dim]`` for the embedding.
        backbone: A model of transformers, where the settings name one.
        pretrained: Whether to read its weights, if it has any.

    Raises:
        InputError: The model does not fit the kind of data.
    """
    target = task_target(config, spec)
    if backbone is not None:
        with seeded(config.seed, "weights"):
            return build_converted(config, spec, backbone, target, pretrained=pretrained)
    _check_kind(config.model, spec)
    with seeded(config.seed, "weights"):
        model = _MODELS[config.model](config, spec, vectors)
        if config.method == "bp":
            return _end_to_end(config, model, spec, target)
        encoders = [nn.Sequential(*model.layers)] if config.single_layer else list(model.layers)
        count = len(encoders)
        stops = [True] + [config.stop_gradients] * (count - 1)
        return al_form(
            encoders,
            spec.example(),
            target,
            options=al_options(config),
            readout=None if spec.positions else _readouts(config, count),
            stop_gradients=stops,
            use_associated=[config.lower_associated] * (count - 1) + [True],
        )


def _end_to_end(
    config: ResolvedConfig, model: LayeredModel, spec: InputSpec, target: Target
) -> BPNetwork:
    if target.positions:  # the same head reads every token; that of pixels is made for them
        model.readout = KeptPositions() if target.positions == 1 else model.readout
    elif config.encoders == "al":
        _read_as_al(config, model, spec, target)
    elif config.readout is not None:
        model.readout = _READOUTS[config.readout]()
    if config.double_softmax:
        model.head = nn.Sequential(model.head, nn.Softmax(dim=1))
    return BPNetwork(model, target)


def _read_as_al(
    config: ResolvedConfig, model: LayeredModel, spec: InputSpec, target: Target
) -> None:
    """Put a model's head on what the last bridge of AL would read."""
    encoders = list(model.layers)
    read = readouts_for(encoders, spec.example(), _readouts(config, len(encoders)), target)
    model.readout = read.modules[-1]
    hidden = tuple(numbers("head_hidden", config.head_hidden))
    model.head = dense_head(read.widths[-1], hidden, spec.num_classes)


def _check_kind(model: str, spec: InputSpec) -> None:
    if model in TEXT_MODELS and spec.kind != "text":
        raise InputError(
            f"--model {model} reads text, the data are of kind {spec.kind}; use mlp"
            + (", cnn or vgg." if spec.kind == "image" else ".")
        )
    if model in IMAGE_MODELS and spec.kind != "image":
        fit = "bilstm or transformer" if spec.kind == "text" else "mlp"
        raise InputError(f"--model {model} reads images, the data are {spec.kind}; use {fit}.")
    if model == "mlp" and spec.kind == "text":
        raise InputError("--model mlp reads numbers, the data are text; use bilstm or transformer.")


def _mlp(config: ResolvedConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    return MLP(
        in_features=int(torch.Size(spec.shape).numel()),
        out_features=spec.num_classes,
        hidden=_given(config.hidden),
        num_layers=_given(config.num_layers),
        dropout=_given(config.dropout),
    )


def _cnn(config: ResolvedConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    activation = "elu" if _as_al(config) else "relu"
    if spec.positions:
        return SegmentationCNN(
            in_channels=spec.shape[0],
            out_features=spec.num_classes,
            image_size=spec.shape[1:],  # type: ignore[arg-type]
            batch_norm=config.batch_norm,
            activation=activation,
        )
    return CNN(
        in_channels=spec.shape[0],
        image_size=_side(spec),
        out_features=spec.num_classes,
        batch_norm=config.batch_norm,
        activation=activation,
    )


def _vgg(config: ResolvedConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    isolated = _as_al(config)  # the released AL code: ELU, a dense layer
    return VGG(
        in_channels=spec.shape[0],
        image_size=_side(spec),
        out_features=spec.num_classes,
        batch_norm=config.batch_norm,
        activation="elu" if isolated else "relu",
        dense=(1024, 1024) if isolated else (),
    )


def _as_al(config: ResolvedConfig) -> bool:
    """Return whether the encoders are those of AL's network."""
    return config.method == "al" or config.encoders == "al"


def _bilstm(config: ResolvedConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    return BiLSTM(
        hidden=_given(config.hidden),
        carry_state=config.carry_state,
        **_of_texts(config, spec, vectors),
    )


def _transformer(config: ResolvedConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    return Transformer(
        feedforward=_given(config.hidden),
        positions=bool(spec.positions),  # a word's label asks what stands beside it
        **_of_texts(config, spec, vectors),
    )


def _of_texts(config: ResolvedConfig, spec: InputSpec, vectors: Tensor | None) -> dict[str, Any]:
    """Return the arguments that all models of texts take."""
    return {
        "vocabulary_size": spec.vocabulary_size,
        "embedding_dim": spec.embedding_dim,
        "out_features": spec.num_classes,
        "num_layers": _given(config.num_layers),
        "dropout": _given(config.dropout),
        "embedding_dropout": _given(config.embedding_dropout),
        "head_hidden": tuple(numbers("head_hidden", config.head_hidden)),
        "weights": vectors,
    }


def _given(value: Value | None) -> Value:
    """Return a size or rate that only some families have, for one of those."""
    assert value is not None  # their defaults have it
    return value


_MODELS = {
    "mlp": _mlp,
    "cnn": _cnn,
    "vgg": _vgg,
    "bilstm": _bilstm,
    "transformer": _transformer,
}


def _side(spec: InputSpec) -> int:
    if spec.shape[1] != spec.shape[2]:
        raise InputError(f"images of {spec.shape[1]} x {spec.shape[2]} came; expected squares.")
    return spec.shape[1]


_READOUTS: dict[str, Callable[[], nn.Module]] = {
    "flatten": Flatten,
    "average": GlobalAverage,
    "pooled": lambda: PooledFlatten(4),
    "mean": MaskedMean,
    "mean-max": MeanMax,
    "last": LastState,
    "state-sum": StateSum,
    "state-concat": StateConcat,
}


def _readouts(config: ResolvedConfig, count: int) -> Sequence[nn.Module] | None:
    """Return each layer's readout; the embedding is always averaged (section 2.1.1)."""
    if config.readout in (None, "grid"):
        if config.readout is not None and config.model not in IMAGE_MODELS:
            raise InputError(f"--readout grid came for --model {config.model}; it is for images.")
        return None
    make = _READOUTS[config.readout]
    if config.model in TEXT_MODELS and not config.single_layer:
        return [MaskedMean(), *(make() for _ in range(count - 1))]
    return [make() for _ in range(count)]
