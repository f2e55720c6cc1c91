"""The data of a run whose y has positions."""

from __future__ import annotations

from associated_learning.data import BlockPreprocessor, DataSet, Preprocessor
from associated_learning.data.plain_texts import read_texts
from associated_learning.data.raw import RawSet
from associated_learning.data.splits import final_splits
from associated_learning.errors import InputError
from associated_learning.runs.config import ResolvedConfig
from associated_learning.runs.hub.model import HubModel, find_model

__all__ = ["load_task_data"]

_BLOCK = 128


def load_task_data(config: ResolvedConfig, preprocessor: Preprocessor | None) -> DataSet:
    """Load the data that the settings of such a run name.

    Args:
        config: The settings.
        preprocessor: That of the run, where there is one, with its tokenizer.

    Raises:
        InputError: They cannot be loaded, or do not fit the model.
    """
    if not isinstance(preprocessor, BlockPreprocessor):
        preprocessor = _blocks(config, find_model(config.model, config.task))
    raw = read_texts(
        config.data,
        data_root=config.data_root,
        test_data=config.test_data,
        text_column=config.text_column,
    )
    data = _prepared(config, raw, preprocessor)
    full = int((data.train.labels[0] >= 0).sum())
    if full < preprocessor.block_size:
        raise InputError(
            f"the training texts are {full + 1} tokens together; expected more than one block of "
            f"{preprocessor.block_size}. Give more texts, or a smaller --block-size."
        )
    return data


def _prepared(config: ResolvedConfig, raw: RawSet, preprocessor: Preprocessor) -> DataSet:
    raw, pool = final_splits(
        raw,
        validation_fraction=config.validation_fraction,
        limit_train=config.limit_train,
        seed=config.data_seed,
    )
    samples = {
        key: preprocessor.samples(split.inputs, split.labels) for key, split in raw.splits.items()
    }
    return DataSet(
        name=config.data,
        kind=raw.kind,
        label_names=raw.label_names,
        **samples,
        preprocessor=preprocessor,
        train_pool=pool,
    )


def _blocks(config: ResolvedConfig, model: HubModel) -> BlockPreprocessor:
    if model.tokenizer is None:
        raise InputError(
            f"{model.name} has no tokenizer; expected a folder with a config.json and a "
            "tokenizer.json, by which texts become tokens."
        )
    return BlockPreprocessor.load(
        model.tokenizer,
        block_size=config.block_size or min(_BLOCK, model.longest or _BLOCK),
        width=model.config.vocab_size,
        longest=model.longest,
    )
