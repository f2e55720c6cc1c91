"""The settings of a run's data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from associated_learning.runs.settings.setting import setting

__all__ = ["TASKS", "DataSettings"]

TASKS = ("classification", "regression", "multilabel", "tokens", "lm", "segmentation")

_setting = partial(setting, "Data")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which data a run reads, and how they are treated."""

    task: str | None = _setting(
        None,
        "What is answered; without it your own label column decides. classification: one class a "
        "sample. regression: one number, of a column of numbers. multilabel: any of some labels, "
        "of a column of lists (or of texts such as red|round), or of a column of 0 and 1 for each "
        "(--label-column red,round). tokens: one for each word, of a "
        "JSONL or Parquet file with columns of lists (tokens, and labels, names or numbers, -100 "
        "where one does not count), by hf:..., bilstm or transformer. lm: the next token of texts, "
        "by a causal model of transformers (--model hf:...). segmentation: one class for each "
        "pixel, of a folder with images/ and masks/, by cnn or hf:...",
        choices=TASKS,
    )
    data: str = _setting(
        "digits",
        "digits, fashion_mnist, cifar10, ag_news, imdb, sst2 or dbpedia_14; or a CSV, JSONL or "
        "Parquet file, or a folder with one folder of images per class; lm: also a text file, "
        "whose texts stand between empty lines, or one a line where there are none; segmentation: "
        "a folder with images/NAME.png and masks/NAME.png, or those in train/, validation/, test/.",
    )
    data_root: str | None = _setting(
        None, "Folder with NAME/SPLIT.parquet files; without it the Hugging Face hub."
    )
    test_data: str | None = _setting(None, "Your own data: file or folder for testing.")
    text_column: str | None = _setting(
        None, "Your own data: the column of the texts; several with commas between them are joined."
    )
    feature_columns: str | None = _setting(
        None, "Your own table: its columns of numbers, such as age,height; without it all of them."
    )
    label_column: str | None = _setting(None, "Your own data: the column of the labels.")
    weight_column: str | None = _setting(
        None,
        "Your own file: the column of how much each row counts in training, 0 or more: it is drawn "
        "as often as its weight is of the mean. Validation, test and al evaluate count all rows "
        "the same.",
    )
    block_size: int | None = _setting(
        None,
        "lm: number of tokens in a sample; texts stand in them one behind the other. 128, or as "
        "many as the model takes, if not given.",
        least=2,
    )
    limit_train: int | None = _setting(
        None, "Use at most this many training samples, classes in proportion.", least=1
    )
    validation_fraction: float = _setting(
        0.1,
        "Share of the training data to choose the best epoch by.",
        least=0.001,
        most=0.9,
    )
    data_seed: int = _setting(0, "Keys splits, subset and label noise.", least=0)
    label_noise: float = _setting(
        0.0, "Share of training labels replaced at random (section 3.4).", least=0, most=1
    )
    augment: bool = _setting(
        False, "Crop, flip and brighten training images at random (section 6.6)."
    )
    image_size: int | None = _setting(
        None,
        "Resize images to this side; if not given, only where their sizes differ, to the median of "
        "their shorter sides, at most 64.",
        least=1,
    )
    vectors: str | None = _setting(None, "Word vectors in GloVe's text format (.txt, .gz, .zip).")
    vocabulary_size: int = _setting(
        30_000, "Number of most frequent training words that are known.", least=1
    )
    max_length: int | None = _setting(None, "Cut texts to this many tokens.", least=1)
    remove_stop_words: bool = _setting(False, "Leave out English stop words.")
    vector_shift: int = _setting(
        0,
        "Give each word the vector of the word this many ranks below; 2 is the defect of the "
        "released code.",
        least=0,
    )
