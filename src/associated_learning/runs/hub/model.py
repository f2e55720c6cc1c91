"""Models of the library transformers: found by a folder, a file, a type or a name on the hub."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from associated_learning.data import SubwordPreprocessor
from associated_learning.errors import InputError, nearest
from associated_learning.runs.hub.asking import ask_hub
from associated_learning.runs.hub.config import (
    config_from_json,
    config_to_json,
    model_class,
    quiet_transformers,
    read_config_file,
    small_config,
    transformers_library,
)
from associated_learning.runs.hub.making import fresh_model, pretrained_model
from associated_learning.runs.hub.near_folders import near_folders
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.model import HUB

__all__ = ["HubModel", "find_model", "fresh_model"]

_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.ckpt")
_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model",
    "tokenizer.model", "sentencepiece.bpe.model",
)  # fmt: skip
_READS = {"input_ids": "text", "pixel_values": "image"}


class HubModel(NamedTuple):
    """A model of transformers that was found, and what belongs to it.

    Attributes:
        name: As it was asked for, such as ``hf:models/minilm``.
        config: Its configuration.
        kind: "text" or "image": what it reads.
        weights: Folder or hub name to read its weights from; None for fresh ones.
        tokenizer: Folder or hub name to read its tokenizer from; None if it has none.
        by_type: Whether its type alone was asked for, so that its sizes follow the data.
        task: What it is for, which tells its class.
    """

    name: str
    config: Any
    kind: str
    weights: str | None = None
    tokenizer: str | None = None
    by_type: bool = False
    task: str = "classification"

    @property
    def longest(self) -> int | None:
        """Largest number of tokens that its positions can count; None for any."""
        positions = getattr(self.config, "max_position_embeddings", None)
        if not isinstance(positions, int):
            return None
        # RoBERTa and its kin, whose padding is token 1, count positions from 2
        return positions - 2 if getattr(self.config, "pad_token_id", None) == 1 else positions

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the images it was made for, ``[C, H, W]``."""
        side = getattr(self.config, "image_size", 224)
        height, width = side if isinstance(side, (list, tuple)) else (side, side)
        return getattr(self.config, "num_channels", 3), height, width

    def length(self, asked: int | None) -> int | None:
        """Return the most tokens of a text: what was asked for, or what the model can take.

        Raises:
            InputError: More was asked for than it can take.
        """
        if asked is not None and self.longest is not None and asked > self.longest:
            raise InputError(
                f"--max-length {asked} came for {self.name}, which has positions for "
                f"{self.longest} tokens; ask for at most those."
            )
        return self.longest if asked is None else asked

    def preprocessor(self, max_length: int | None) -> SubwordPreprocessor | None:
        """Return what makes its token ids of texts; None if it has no tokenizer."""
        if self.tokenizer is None:
            return None
        with quiet_transformers():
            return SubwordPreprocessor.load(self.tokenizer, max_length=self.length(max_length))

    def fitted(self, spec: InputSpec) -> Any:
        """Return its configuration for data of some form.

        A model with fresh weights takes on the vocabulary or the images; for one with weights
        they are checked.

        Raises:
            InputError: The data do not fit.
        """
        if spec.kind != self.kind:
            raise InputError(
                f"--model {self.name} reads {self.kind}s, the data are of kind "
                f"{spec.kind}; use {_fitting_models(spec.kind)}."
            )
        config = copy.deepcopy(self.config)
        if self.task == "tokens":
            config.num_labels = spec.num_classes
        if hasattr(config, "use_cache"):  # what was read before is of no use to a classifier
            config.use_cache = False
        if spec.kind == "text":
            _fit_vocabulary(self, config, spec)
        else:
            _fit_images(self, config, spec)
        return config

    def load(self, config: Any) -> nn.Module:
        """Return the model with its weights in float32, or fresh ones if it has none.

        Nothing is unpickled, and no code that comes with the weights is run.

        Args:
            config: Its configuration, `fitted`.

        Raises:
            InputError: The weights cannot be read, or are of another model.
        """
        if self.weights is None:
            return fresh_model(config, self.task)
        return pretrained_model(self.name, self.weights, config, self.task)


def find_model(name: str, task: str = "classification") -> HubModel:
    """Find the model that stands after ``hf:``.

    Args:
        name: ``hf:`` and a folder with config.json (and maybe model.safetensors and a
            tokenizer), a config.json, a type of model such as ``bert`` or ``vit`` (fresh, with
            the sizes of `SMALL`), or a name on the Hugging Face hub.
        task: What it is for.

    Raises:
        InputError: There is no such model, it cannot be read, or it reads neither texts nor
            images; or transformers is not installed.
    """
    found = _model_named(name)
    model_class(found.config, task)
    return found._replace(task=task)


def _model_named(name: str) -> HubModel:
    library = transformers_library()
    rest = name.removeprefix(HUB)
    path = Path(rest).expanduser()
    if path.is_dir():
        return _in_folder(name, path)
    if path.is_file():
        return _checked(name, read_config_file(path))
    if rest in library.CONFIG_MAPPING:
        return _checked(name, small_config(rest), by_type=True)
    return _on_the_hub(name, rest)


def _in_folder(name: str, folder: Path) -> HubModel:
    weights = _first_there(folder, _SAFE)
    if weights is None and (pickled := _first_there(folder, _PICKLED)) is not None:
        raise InputError(
            f"the weights in {folder} are pickled ({pickled}), which could run any code when they "
            "are read; save them as model.safetensors."
        )
    config = read_config_file(folder / "config.json")
    has_tokenizer = _first_there(folder, _TOKENIZER) is not None
    found = _checked(
        name,
        config,
        weights=None if weights is None else str(folder),
        tokenizer=str(folder) if has_tokenizer else None,
    )
    if found.kind == "text" and weights is not None and not has_tokenizer:
        raise InputError(
            f"{folder} holds weights but no tokenizer, without which they mean nothing; put its "
            "tokenizer.json there, or leave the weights out to start with fresh ones."
        )
    return found


def _on_the_hub(name: str, rest: str) -> HubModel:
    library = transformers_library()
    near = near_folders(Path(rest).expanduser(), "config.json")
    known = nearest(rest, library.CONFIG_MAPPING)
    if near:
        known = f" Did you mean {' or '.join(HUB + folder for folder in near)}?"
    what = (
        f"{name} is neither a folder or file here, nor a type of model that transformers "
        f"{library.__version__} knows.{known}"
    )
    if rest.startswith((".", "~", os.sep)) or rest.count("/") > 1 or rest.endswith(".json"):
        raise InputError(f"{what} Check the path.")
    if rest.isalnum() and nearest(rest, library.CONFIG_MAPPING, cutoff=0.75):
        raise InputError(f"{what} A model on the hub has its owner's name too: hf:OWNER/{rest}.")
    ask_hub(rest, what)
    try:
        with quiet_transformers():
            config = library.AutoConfig.from_pretrained(rest, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{what} The Hugging Face hub does not give it either: {reason}") from (
            error
        )
    found = _checked(name, config_from_json(config_to_json(config)), weights=rest)
    return found._replace(tokenizer=rest if found.kind == "text" else None)


def _checked(name: str, config: Any, **more: Any) -> HubModel:
    reads = model_class(config).main_input_name
    if reads not in _READS:
        raise InputError(
            f"{name} reads {reads}; expected a model of texts (input_ids) or images "
            "(pixel_values). Others can be converted in Python: associated_learning.convert."
        )
    kind = _READS[reads]
    if kind == "image":
        more["tokenizer"] = None
    return HubModel(name, config, kind, **more)


def _first_there(folder: Path, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if (folder / name).is_file()), None)


def _fit_vocabulary(model: HubModel, config: Any, spec: InputSpec) -> None:
    if model.tokenizer is not None:
        if spec.vocabulary_size > config.vocab_size:
            raise InputError(
                f"the tokenizer of {model.name} has {spec.vocabulary_size} token ids, its "
                f"configuration a vocab_size of {config.vocab_size}; expected no more ids than "
                "that. Is the tokenizer that of the model?"
            )
        return
    config.vocab_size = spec.vocabulary_size
    config.pad_token_id = 0  # of our own vocabulary
    for name in ("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id"):
        if getattr(config, name, None) is not None:
            setattr(config, name, None)


def _fit_images(model: HubModel, config: Any, spec: InputSpec) -> None:
    channels, height, width = spec.shape
    if model.weights is None:
        config.num_channels = channels
        config.image_size = height if height == width else [height, width]
        if model.by_type and not hasattr(config, "depths") and hasattr(config, "patch_size"):
            config.patch_size = _patch(min(height, width))
        return
    own = getattr(config, "num_channels", channels)
    if own != channels:
        raise InputError(
            f"images of {channels} channels came for {model.name}, which takes {own}; expected "
            f"data of {own} channels."
        )


def _patch(side: int) -> int:
    """Return the divisor of a side that cuts it into about eight patches."""
    return min((d for d in range(1, side + 1) if side % d == 0), key=lambda d: abs(side / d - 8))


def _fitting_models(kind: str) -> str:
    return {
        "text": "bilstm, transformer or a model of texts such as hf:bert",
        "image": "cnn, vgg or a model of images such as hf:vit",
        "table": "mlp",
    }[kind]
