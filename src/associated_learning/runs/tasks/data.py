"""The data of a run whose y has positions."""

from __future__ import annotations

from collections.abc import Sequence

from associated_learning.data import (
    BlockPreprocessor,
    DataSet,
    ImageFormat,
    MaskedSamples,
    MaskPreprocessor,
    Preprocessor,
    SubwordPreprocessor,
    TaggedText,
    TagPreprocessor,
    TextPreprocessor,
)
from associated_learning.data.loading import data_set
from associated_learning.data.reading.mask_folder import read_masked
from associated_learning.data.reading.plain_texts import read_texts
from associated_learning.data.reading.raw import RawSet
from associated_learning.data.reading.tagged_texts import read_tagged
from associated_learning.data.splits import final_splits
from associated_learning.errors import InputError
from associated_learning.runs.hub.model import HubModel, find_model
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.setting import option

__all__ = ["check_own_words", "load_task_data"]

_BLOCK = 128


def load_task_data(config: ResolvedConfig, preprocessor: Preprocessor | None) -> DataSet:
    """Load the data that the settings of such a run name.

    Raises:
        InputError: They cannot be loaded, or do not fit the model.
    """
    if config.task == "segmentation":
        return _masked(config)
    return (_language if config.task == "lm" else _tokens)(config, preprocessor)


def _language(config: ResolvedConfig, preprocessor: Preprocessor | None) -> DataSet:
    if not isinstance(preprocessor, BlockPreprocessor):
        preprocessor = _blocks(config, find_model(config.model, config.task))
    raw = read_texts(
        config.data,
        data_root=config.data_root,
        test_data=config.test_data,
        text_column=config.text_column,
    )
    data = data_set(config.data, *_splits(config, raw), preprocessor)
    full = int((data.train.labels[0] >= 0).sum())
    if full < preprocessor.block_size:
        raise InputError(
            f"the training texts are {full + 1} tokens together; expected more than one block of "
            f"{preprocessor.block_size}. Give more texts, or a smaller --block-size."
        )
    return data


def _tokens(config: ResolvedConfig, preprocessor: Preprocessor | None) -> DataSet:
    raw, pool = _splits(
        config,
        read_tagged(
            config.data,
            test_data=config.test_data,
            text_column=config.text_column,
            label_column=config.label_column,
        ),
    )
    given = preprocessor.words if isinstance(preprocessor, TagPreprocessor) else None
    if not isinstance(given, SubwordPreprocessor):  # a vocabulary is fitted again, to be compared
        length = config.max_length if given is None else given.max_length
        preprocessor = _of_words(config, raw.splits["train"].inputs, length, known=given)
    assert preprocessor is not None
    return data_set(config.data, raw, pool, preprocessor)


def _masked(config: ResolvedConfig) -> DataSet:
    raw, masks = read_masked(config.data, test_data=config.test_data)
    raw, pool = _splits(config, raw)
    size = None if config.image_size is None else (config.image_size,) * 2
    # of all splits: none is resized unasked
    ImageFormat.of([pair.image for split in raw.splits.values() for pair in split.inputs], size)
    preprocessor = MaskPreprocessor.fit(raw.splits["train"].inputs, masks, size=size)
    data = data_set(config.data, raw, pool, preprocessor)
    for key in ("train", "validation", "test"):
        samples = getattr(data, key)
        assert isinstance(samples, MaskedSamples)
        if not samples.class_counts(data.num_classes).any():
            raise InputError(
                f"no pixel of the {key} split counts: its masks hold {masks.ignored} alone, which "
                "is ignored. Expected pixels with classes; give other masks."
            )
    return data


def _of_words(
    config: ResolvedConfig,
    texts: Sequence[TaggedText],
    length: int | None,
    *,
    known: TextPreprocessor | None,
) -> TagPreprocessor:
    """Return the model's own tokenizer, or the vocabulary of the training words."""
    if config.family == "hf" and known is None:
        model = find_model(config.model, config.task)
        length, own = model.length(length), model.preprocessor(length)
        if own is not None:
            check_own_words(config)
            return TagPreprocessor(words=own.of_words())
    return TagPreprocessor.fit(texts, vocabulary_size=config.vocabulary_size, max_length=length)


def _splits(config: ResolvedConfig, raw: RawSet) -> tuple[RawSet, int]:
    return final_splits(
        raw,
        validation_fraction=config.validation_fraction,
        limit_train=config.limit_train,
        seed=config.data_seed,
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


def check_own_words(config: ResolvedConfig) -> None:
    """Raise InputError for what our own vocabulary would have taken."""
    for name in ("vocabulary_size", "remove_stop_words"):
        if getattr(config, name) != getattr(RunConfig, name):
            raise InputError(
                f"{option(name)} {getattr(config, name)} came, but the texts are split by the "
                f"tokenizer of {config.model}; leave it out."
            )
