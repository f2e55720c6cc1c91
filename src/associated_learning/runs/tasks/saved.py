"""A run of a converted model with positions, saved as a model of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from associated_learning.conversion import ConvertedNetwork
from associated_learning.data import BlockPreprocessor, SubwordPreprocessor, TagPreprocessor
from associated_learning.errors import InputError, needs_extra
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.runs.hub.config import quiet_transformers
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.nested import to_device

__all__ = ["save_model"]


def save_model(opened: OpenRun, to: Path, depth: int) -> str:
    """Save a run as an ordinary folder of transformers; return what to say of it.

    Raises:
        InputError: The run's model has no such form; says why.
    """
    net = opened.net
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} exists and is no empty folder; name a new one.")
    if not isinstance(net, ConvertedNetwork):
        raise InputError(
            "only a model of transformers that was trained by --method al is saved so; the weights "
            "of this run are in its checkpoints."
        )
    x = to_device(opened.spec.example(), device_of(net))
    model: Any = net.to_model(x, depth, same_class=True)
    if hasattr(model.config, "use_cache"):  # it was of no use in training
        model.config.use_cache = True
    if opened.label_names:
        model.config.id2label = dict(enumerate(opened.label_names))
        model.config.label2id = {name: i for i, name in enumerate(opened.label_names)}
    with quiet_transformers():
        model.save_pretrained(to)
        _save_tokenizer(opened, to)
    kind = type(model).__name__
    return f"{to}: {kind} of {depth} layers. {kind}.from_pretrained('{to}') reads it."


def _save_tokenizer(opened: OpenRun, to: Path) -> None:
    with needs_extra("hf", "the tokenizer of a model"):
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast
    found, names = opened.preprocessor, {}
    if isinstance(found, BlockPreprocessor):
        tokenizer, longest = found.tokenizer, found.longest
        names = {"eos_token": found.end}
    elif isinstance(found, TagPreprocessor) and isinstance(found.words, SubwordPreprocessor):
        tokenizer, longest = found.words, found.max_length
        names = {"pad_token": tokenizer.padding}
    else:
        return
    own = Tokenizer.from_str(json.dumps(tokenizer.to_dict()["tokenizer"]))
    known = {name: own.id_to_token(i) for name, i in names.items() if i is not None}
    limit = {} if longest is None else {"model_max_length": longest}
    PreTrainedTokenizerFast(tokenizer_object=own, **known, **limit).save_pretrained(to)
