"""What data sets and models are called."""

from __future__ import annotations

from reproduction.paper import table1, table4

__all__ = ["name_of"]

# where the paper's tables abbreviate, we do not
_MODELS = {**table1.NAMES, "transformer": "Transformer", "cnn": "CNN", "vgg": "VGG"}
_DATA = {**table1.DATA, **table4.COLUMNS, "ag_news": "AG News"}


def name_of(data: str, model: str) -> str:
    """Return the name of a comparison.

    Example:
        >>> name_of("sst2", "bilstm")
        'SST, LSTM'
    """
    return f"{_DATA[data]}, {_MODELS[model]}"
