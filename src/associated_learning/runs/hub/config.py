"""Configurations of the library transformers: read, made small, fitted to data, kept as JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError, InputError, nearest, needs_extra
from associated_learning.runs.folder.size_limits import check_backbone_sizes
from associated_learning.state.files import read_json

__all__ = [
    "SMALL",
    "config_from_json",
    "config_to_json",
    "model_class",
    "quiet_transformers",
    "read_config_file",
    "small_config",
    "transformers_library",
]

SMALL: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 256,
    "encoder_layers": 4,
    "decoder_layers": 2,
    # networks in stages, such as swin, convnext or resnet
    "embed_dim": 48,
    "num_heads": [3, 6, 12, 24],
    "hidden_sizes": [32, 64, 128, 256],
    "depths": [2, 2, 2, 2],
}
"""Sizes of a fresh model that was asked for by its type alone, as far as the type has them."""


# task -> the classes of its models, and what these are called
_WITH_HEAD = {
    "lm": ("MODEL_FOR_CAUSAL_LM_MAPPING", "causal language model"),
    "tokens": ("MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING", "classifier of tokens"),
}


def transformers_library() -> Any:
    """Import transformers. Raises InputError that says how to install it."""
    with needs_extra("hf", "--model hf:..."):
        import transformers
    return transformers


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Let transformers show neither bars nor tables of what it reads; errors are still raised."""
    with needs_extra("hf", "--model hf:..."):
        from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def read_config_file(path: Path) -> Any:
    """Read a config.json of transformers.

    Raises:
        InputError: The file is missing or foreign, or its type of model is unknown.
    """
    library = transformers_library()
    try:
        values = read_json(path)
        kind = values["model_type"]
    except (CheckpointError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is no configuration of a model ({type(error).__name__}: {error}); expected "
            "the config.json of a model of transformers, with its model_type."
        ) from error
    check_backbone_sizes(values)
    if kind not in library.CONFIG_MAPPING:
        raise InputError(
            f"{path} is of the type {kind!r}, which transformers {library.__version__} does not "
            f"know.{nearest(str(kind), library.CONFIG_MAPPING)} Name a model of a known type."
        )
    return config_from_json(values)


def small_config(kind: str) -> Any:
    """Return a configuration of a type with the sizes of `SMALL`, and its own where it has others.

    Example:
        >>> config = small_config("vit")
        >>> config.hidden_size, config.num_hidden_layers, config.num_attention_heads
        (128, 4, 4)
    """
    library = transformers_library()
    with quiet_transformers():
        default = library.AutoConfig.for_model(kind)
        sizes = {name: size for name in SMALL if (size := _small(default, name)) is not None}
        # the stages tell the sizes of the whole, and heads must divide the width of their stage
        told = {"hidden_size", "num_hidden_layers"} if "depths" in sizes else set()
        if "embed_dim" not in sizes:
            told.add("num_heads")
        sizes = {name: size for name, size in sizes.items() if name not in told}
        return library.AutoConfig.for_model(kind, **sizes)


def _small(default: Any, name: str) -> Any:
    size, old = SMALL[name], getattr(default, name, None)
    if isinstance(size, int):
        return size if isinstance(old, int) else None
    return size[: len(old)] if isinstance(old, (list, tuple)) and len(old) <= len(size) else None


def model_class(config: Any, task: str = "classification") -> Any:
    """Return the class of the model of a configuration.

    For classification it is the plain model, without a head; of models with encoder and decoder
    that of the encoder, where there is one for texts.

    Raises:
        InputError: transformers has none.
    """
    library = transformers_library()
    if task in _WITH_HEAD:
        mapping_name, what = _WITH_HEAD[task]
        mapping = getattr(library, mapping_name)
        if type(config) not in mapping:
            raise InputError(
                f"transformers has no {what} of the type {config.model_type!r}, which --task "
                f"{task} needs."
            )
        return mapping[type(config)]
    mappings = [library.MODEL_MAPPING]
    if getattr(config, "is_encoder_decoder", False):
        mappings.insert(0, library.MODEL_FOR_TEXT_ENCODING_MAPPING)
    for mapping in mappings:
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, (list, tuple)) else found
    raise InputError(
        f"transformers has no plain model of the type {config.model_type!r}; expected one that "
        "AutoModel can build, such as bert or vit."
    )


def config_to_json(config: Any) -> dict[str, Any]:
    """Return a configuration with all its defaults, which other versions may have changed."""
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return values


def config_from_json(values: dict[str, Any]) -> Any:
    """Return the configuration that `config_to_json` gave.

    Raises:
        CheckpointError: The transformers that is installed cannot read it.
    """
    library = transformers_library()
    if "quantization_config" in values:
        raise InputError(
            "the configuration of a model asks for quantized weights (quantization_config), which "
            "do not train; name a model whose weights are floating-point numbers."
        )
    try:
        with quiet_transformers():
            config = library.CONFIG_MAPPING[values["model_type"]].from_dict(_harmless(values))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"transformers {library.__version__} cannot read the configuration of a model "
            f"({type(error).__name__}: {error}); it was written by "
            f"{values.get('transformers_version', 'another version')}, use that."
        ) from error
    return config


def _harmless(values: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without what names code to be loaded: kernels, and classes."""
    return {
        name: copy.deepcopy(value)
        for name, value in values.items()
        if name != "auto_map" and "_implementation" not in name
    }
