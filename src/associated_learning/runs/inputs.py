"""The data of a run: its splits as batches, its shapes, its word vectors."""

from __future__ import annotations

import functools
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from associated_learning.data import (
    Augmentation,
    Batches,
    BlockPreprocessor,
    DataSet,
    ImagePreprocessor,
    KnownVectors,
    MaskedSamples,
    MaskPreprocessor,
    Preprocessor,
    SubwordPreprocessor,
    TagPreprocessor,
    TextPreprocessor,
    Vectors,
    Vocabulary,
    find_vectors,
    load,
)
from associated_learning.data.reading.by_name_or_path import LabelTask
from associated_learning.data.tables.table_preprocessor import TablePreprocessor
from associated_learning.errors import InputError
from associated_learning.runs.folder.size_limits import check_sizes
from associated_learning.runs.hub.model import find_model
from associated_learning.runs.hub.network import Backbone, find_backbone
from associated_learning.runs.networks.class_weights import balanced_weights, weights_by_counts
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.tasks.data import check_own_words, load_task_data

__all__ = [
    "RunInputs",
    "evaluation_batches",
    "find_known_vectors",
    "input_spec",
    "load_data",
    "load_word_vectors",
    "read_inputs",
    "training_batches",
]


class RunInputs(NamedTuple):
    """What a run starts from.

    Attributes:
        data: Its data.
        vectors: Word vectors for their vocabulary, if the settings name any.
        spec: What a network must know of both.
        backbone: The model of transformers, where the settings name one.
    """

    data: DataSet
    vectors: Vectors | None
    spec: InputSpec
    backbone: Backbone | None

    @property
    def weights(self) -> Tensor | None:
        """The word vectors ``[V, D]`` by themselves."""
        return None if self.vectors is None else self.vectors.weights


def read_inputs(
    config: ResolvedConfig,
    *,
    data: DataSet | None = None,
    known: KnownVectors | None = None,
    backbone: Backbone | None = None,
) -> RunInputs:
    """Read what a run starts from, but for what is handed in because it was read already.

    Raises:
        InputError: Something cannot be read, does not fit, or is beyond all bounds.
    """
    data = load_data(config) if data is None else data
    vectors = load_word_vectors(config, data, known)
    spec = input_spec(config, data, vectors)
    if config.class_weight == "balanced":
        spec = replace(spec, class_weights=_balanced(data))
    check_sizes(config.to_json(), asdict(spec))
    if backbone is None and config.family == "hf":
        some = torch.arange(min(len(data.train), 8))
        backbone = find_backbone(config, spec, data.train.take(some))
    return RunInputs(data, vectors, spec, backbone)


def _balanced(data: DataSet) -> tuple[float, ...]:
    """Return the weights by which all classes of training samples, or pixels, count the same."""
    if isinstance(data.train, MaskedSamples):
        return weights_by_counts(data.train.class_counts(data.num_classes))
    return balanced_weights(data.train.labels, data.num_classes)


def load_data(config: ResolvedConfig, preprocessor: Preprocessor | None = None) -> DataSet:
    """Load the data that the settings name.

    Args:
        config: The settings.
        preprocessor: That of the run, where there is one: its tokenizer is taken, or what a token
            is and how many a text has, and its columns. All else is fitted again, which shows
            changed data. Without it a model of transformers brings its own tokenizer.

    Raises:
        InputError: They cannot be loaded, or not be brought to the size asked for.
    """
    if config.task in ("tokens", "lm", "segmentation"):
        return load_task_data(config, preprocessor)
    length = getattr(preprocessor, "max_length", config.max_length)
    if preprocessor is None and config.family == "hf":
        model = find_model(config.model)
        length, preprocessor = model.length(length), model.preprocessor(length)
    tokenizer = preprocessor if isinstance(preprocessor, SubwordPreprocessor) else None
    if tokenizer is not None:
        check_own_words(config)
    data = load(
        config.data,
        data_root=config.data_root,
        test_data=config.test_data,
        text_column=config.text_column,
        label_column=config.label_column,
        feature_columns=_feature_columns(config, preprocessor),
        weight_column=config.weight_column,
        validation_fraction=config.validation_fraction,
        limit_train=config.limit_train,
        seed=config.data_seed,
        vocabulary_size=config.vocabulary_size,
        max_length=length,
        remove_stop_words=config.remove_stop_words,
        token_pattern=getattr(preprocessor, "token_pattern", None),
        image_size=None if config.image_size is None else (config.image_size,) * 2,
        label_noise=config.label_noise,
        preprocessor=tokenizer,
        task=_label_task(config),
    )
    _check_image_size(config.image_size, data)
    return data


def _label_task(config: ResolvedConfig) -> LabelTask:
    of_sample: tuple[LabelTask, ...] = ("regression", "multilabel")
    return next((task for task in of_sample if task == config.task), "classification")


def _feature_columns(config: ResolvedConfig, preprocessor: Preprocessor | None) -> list[str] | None:
    of_file = Path(config.data).is_file()
    if config.feature_columns is None:
        known = preprocessor.columns if isinstance(preprocessor, TablePreprocessor) else ()
        return (list(known) or None) if of_file else None
    if config.text_column is not None or not of_file:
        raise InputError(
            f"--feature-columns {config.feature_columns} came for {config.data}"
            f"{'' if config.text_column is None else ' with --text-column'}; expected the file of "
            "a table with columns of numbers. Leave it out."
        )
    return [name.strip() for name in config.feature_columns.split(",")]


def training_batches(config: ResolvedConfig, data: DataSet) -> Batches:
    """Return the shuffled training batches."""
    if config.augment and data.kind != "image":
        raise InputError(f"--augment came for data of kind {data.kind}; it is for images.")
    return Batches(
        samples=data.train,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=Augmentation() if config.augment else None,
        weights=data.train_weights,
        drop_last=_ends_with_one(config, len(data.train)),
    )


def evaluation_batches(config: ResolvedConfig, data: DataSet, split: str) -> Batches:
    """Return the batches of a split in a fixed order."""
    samples = {"train": data.train, "validation": data.validation, "test": data.test}[split]
    several = 1 if config.task == "segmentation" else 4  # every exit answers every pixel
    return Batches(samples=samples, batch_size=several * config.batch_size, shuffle=False)


def input_spec(config: ResolvedConfig, data: DataSet, vectors: Vectors | None) -> InputSpec:
    """Return what a network must know of the data."""
    spec = _of_inputs(config, data, vectors)
    if data.target_scale is None:
        return spec
    mean, std = data.target_scale
    return replace(spec, num_classes=1, target_mean=mean, target_std=std)


def _of_inputs(config: ResolvedConfig, data: DataSet, vectors: Vectors | None) -> InputSpec:
    of_text = functools.partial(InputSpec, kind="text", num_classes=data.num_classes)
    if isinstance(data.preprocessor, BlockPreprocessor):
        return of_text(
            num_classes=data.preprocessor.width,
            vocabulary_size=data.preprocessor.vocabulary_size,
            positions=1,
            block_size=data.preprocessor.block_size,
        )
    own = config.family != "hf"
    if isinstance(data.preprocessor, TagPreprocessor):
        return of_text(
            vocabulary_size=data.preprocessor.vocabulary_size,
            embedding_dim=_embedding_dim(config, vectors) if own else 0,
            positions=1,
        )
    if isinstance(data.preprocessor, SubwordPreprocessor):
        return of_text(vocabulary_size=data.preprocessor.vocabulary_size)
    if isinstance(data.preprocessor, TextPreprocessor):
        return of_text(
            vocabulary_size=len(data.preprocessor.vocabulary),
            embedding_dim=_embedding_dim(config, vectors) if own else 0,
        )
    x, _ = next(evaluation_batches(config, data, "validation").epoch(0))
    assert not isinstance(x, tuple)
    return InputSpec(
        kind=data.kind,
        num_classes=data.num_classes,
        shape=tuple(x.shape[1:]),
        positions=2 if isinstance(data.preprocessor, MaskPreprocessor) else 0,
    )


def load_word_vectors(
    config: ResolvedConfig, data: DataSet, known: KnownVectors | None = None
) -> Vectors | None:
    """Return the word vectors for the vocabulary, if the settings name any."""
    if config.vectors is None:
        return None
    known = find_known_vectors(config, data) if known is None else known
    vectors = known.aligned(_vocabulary(data), seed=config.seed)
    return vectors._replace(weights=vectors.weights.roll(-config.vector_shift, 0))


def find_known_vectors(config: ResolvedConfig, data: DataSet) -> KnownVectors:
    """Return what the file of word vectors knows of the vocabulary, whatever the seed."""
    assert config.vectors is not None
    return find_vectors(config.vectors, _vocabulary(data))


def _vocabulary(data: DataSet) -> Vocabulary:
    found = data.preprocessor
    found = found.words if isinstance(found, TagPreprocessor) else found
    if not isinstance(found, TextPreprocessor):
        raise InputError(f"--vectors came for data of kind {data.kind}; they are for text.")
    return found.vocabulary


def _check_image_size(side: int | None, data: DataSet) -> None:
    if side is None:
        return
    if not isinstance(data.preprocessor, ImagePreprocessor):
        raise InputError(f"--image-size came for data of kind {data.kind}; it is for images.")
    if (size := tuple(data.preprocessor.format[1:])) != (side, side):
        raise InputError(
            f"--image-size {side} came for {data.name}, whose images are pixels of {size[0]} x "
            f"{size[1]} already and are not resized; leave it out."
        )


def _ends_with_one(config: ResolvedConfig, samples: int) -> bool:
    """Return whether the last batch must go: BatchNorm, which VGG has, cannot treat one sample."""
    size = config.batch_size
    return config.model == "vgg" and samples > size and samples % size == 1


def _embedding_dim(config: ResolvedConfig, vectors: Vectors | None) -> int:
    if vectors is None:
        if config.embedding_dim is None:  # the families of text have a default
            raise InputError(
                f"--model {config.model} reads rows or images, the data are of kind text; use "
                "bilstm, transformer or hf:..."
            )
        return config.embedding_dim
    width = vectors.weights.shape[1]
    if config.embedding_dim not in (None, width):
        came = f"--embedding-dim {config.embedding_dim} came"
        raise InputError(f"{came}; expected the vectors' width, {width}: leave it out.")
    return width
