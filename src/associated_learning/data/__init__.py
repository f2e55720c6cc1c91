"""Data: named sets, your own files, preprocessing, minibatches, word vectors, noise."""

from associated_learning.data.batches import Augment, Batches
from associated_learning.data.dataset import DataSet, Kind
from associated_learning.data.images.augment import Augmentation
from associated_learning.data.images.image_preprocessor import ImagePreprocessor
from associated_learning.data.images.images import ImageFormat
from associated_learning.data.images.masked_images import MaskedSamples, MaskPreprocessor
from associated_learning.data.labels.noise import noisy_labels
from associated_learning.data.loading import load
from associated_learning.data.preprocessing import Preprocessor, preprocessor_from_dict
from associated_learning.data.reading.named import data_set_names
from associated_learning.data.samples import (
    ImageSamples,
    Input,
    Samples,
    TableSamples,
    TextSamples,
)
from associated_learning.data.tables.table_preprocessor import TablePreprocessor
from associated_learning.data.texts.blocks import BlockPreprocessor, BlockSamples
from associated_learning.data.texts.subword import SubwordPreprocessor
from associated_learning.data.texts.tags import TaggedText, TagPreprocessor, TagSamples
from associated_learning.data.texts.text_preprocessor import TextPreprocessor
from associated_learning.data.texts.tokenization import tokenize
from associated_learning.data.texts.vectors import KnownVectors, Vectors, find_vectors, load_vectors
from associated_learning.data.texts.vocabulary import PAD, UNK, Vocabulary

__all__ = [
    "PAD",
    "UNK",
    "Augment",
    "Augmentation",
    "Batches",
    "BlockPreprocessor",
    "BlockSamples",
    "DataSet",
    "ImageFormat",
    "ImagePreprocessor",
    "ImageSamples",
    "Input",
    "Kind",
    "KnownVectors",
    "MaskPreprocessor",
    "MaskedSamples",
    "Preprocessor",
    "Samples",
    "SubwordPreprocessor",
    "TablePreprocessor",
    "TableSamples",
    "TagPreprocessor",
    "TagSamples",
    "TaggedText",
    "TextPreprocessor",
    "TextSamples",
    "Vectors",
    "Vocabulary",
    "data_set_names",
    "find_vectors",
    "load",
    "load_vectors",
    "noisy_labels",
    "preprocessor_from_dict",
    "tokenize",
]
