"""The settings of a run's network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from associated_learning.runs.settings.setting import setting

__all__ = ["FAMILIES", "HUB", "ModelSettings"]

FAMILIES = ("mlp", "cnn", "vgg", "bilstm", "transformer")
HUB = "hf:"  # how the names of models of transformers begin

_setting = partial(setting, "Model")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which network a run trains; None where the family decides."""

    model: str = _setting(
        "mlp",
        "Network family; or hf: and a folder with a model of transformers (config.json, maybe "
        "model.safetensors and a tokenizer), a config.json, a type such as hf:bert or hf:vit (a "
        "small fresh model), or a name on the Hugging Face hub.",
        choices=FAMILIES,
        prefix=HUB,
    )
    num_layers: int | None = _setting(
        None,
        "Number of layers (mlp, hf:...) or of layers above the embedding (bilstm, transformer).",
        least=1,
    )
    at: str | None = _setting(
        None,
        "hf:... Where layers begin: names of modules with commas between them, a number of "
        "layers, or auto, for four or fewer of about the same cost.",
    )
    balance: str | None = _setting(
        None,
        "hf:... What makes layers of the same cost; time is measured, and may differ from run to "
        "run.",
        choices=("flops", "parameters", "time"),
    )
    hidden: int | None = _setting(
        None, "Width of a layer: mlp, LSTM state, or Transformer feed-forward.", least=1
    )
    embedding_dim: int | None = _setting(
        None, "Width of the word embedding; that of the vectors, if given.", least=1
    )
    dropout: float | None = _setting(None, "Dropout between layers.", least=0, most=0.99)
    embedding_dropout: float | None = _setting(
        None, "Dropout on the word embedding.", least=0, most=0.99
    )
    batch_norm: bool | None = _setting(
        None,
        "cnn, vgg: normalise before every activation.",
    )
    carry_state: bool = _setting(
        False, "bilstm: each layer starts from the final states of the one below."
    )
    head_hidden: str | None = _setting(
        None, "bp: widths of dense layers before the logits, with commas between them."
    )
