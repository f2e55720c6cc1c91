"""Settings that a task cannot use."""

from __future__ import annotations

from associated_learning.errors import InputError
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.setting import option
from associated_learning.runs.tasks.metric import check_metric

__all__ = ["check_task", "refuse"]

_OF_CLASSES = (
    "label_noise", "class_weight", "label_smoothing", "double_softmax", "first_loss",
    "watch_training",
)  # fmt: skip
_OF_ONE_CLASS = ("label_noise", "label_smoothing", "double_softmax")
_CLASSES = ("label_noise", "augment", "image_size")
_GROWS = "layers are added by the rules of accuracies, not of losses"
_READOUTS = ("readout", "double_softmax")
_CODERS = (
    "latent", "latents", "coders", "coder_activation", "coder_bias", "detach_target",
    "target_warmup",
)  # fmt: skip
_OF_WORDS = ("bilstm", "transformer")
_OF_BLOCKS = (
    "label_column", "feature_columns", "weight_column", "max_length", "vectors",
    "remove_stop_words", "vocabulary_size",
)  # fmt: skip
_OF_TABLES = (
    "data_root", "text_column", "label_column", "feature_columns", "weight_column", "max_length",
    "vectors", "remove_stop_words", "vocabulary_size",
)  # fmt: skip


def check_task(config: RunConfig) -> None:
    """Check that the task of a run can use every setting that was given.

    Raises:
        InputError: One does not fit, or would have no effect.

    Example:
        >>> check_task(RunConfig(task="lm", model="hf:gpt2", label_noise=0.1))
        Traceback (most recent call last):
        ...
        associated_learning.errors.InputError: --label-noise 0.1 came, but --task lm ...
    """
    if config.task != "lm":
        refuse(config, ("block_size",), f"--task {config.task or 'classification'} has no blocks")
    check_metric(config)
    if config.task in (None, "classification", "regression", "multilabel"):
        if config.task == "regression":
            refuse(config, _OF_CLASSES, "--task regression has no classes")
            refuse(config, ("grow_from",), _GROWS)
        elif config.task == "multilabel":
            refuse(config, _OF_ONE_CLASS, "--task multilabel has several labels a sample")
        if config.association == "target":
            raise InputError(
                "--association target came, but is for answers at every position (--task tokens, "
                "lm, segmentation); expected squared or contrast."
            )
        return
    task = f"--task {config.task}"
    if config.task == "segmentation":
        _check_segmentation(config)
    else:
        refuse(config, _CLASSES, f"{task} has no classes of whole samples or images")
    if config.task == "tokens":
        why = "--task tokens has a label for every word"
        refuse(config, ("remove_stop_words", "weight_column"), why)
    what = "pixel" if config.task == "segmentation" else "token"
    refuse(config, _READOUTS, f"{task} reads every {what} as it is")
    if config.local_loss != "associated":
        raise InputError(f"--local-loss {config.local_loss} came; {task} has --association target.")
    if config.association in (None, "target"):
        refuse(config, _CODERS, "--association target has no autoencoders")
    if config.executor == "offload" and config.store != "host":
        what = f"{task}, whose models are not read layer by layer yet"
        raise InputError(f"--store {config.store} came with {what}; use --store host.")
    if config.task == "lm":
        _check_language(config)
    elif config.task == "tokens" and config.model not in _OF_WORDS and config.family != "hf":
        raise InputError(
            f"--task tokens came with --model {config.model}; expected one that reads texts: "
            f"{', '.join(_OF_WORDS)} or hf:..."
        )


def _check_language(config: RunConfig) -> None:
    if config.family != "hf":
        raise InputError(
            f"--task lm came with --model {config.model}; expected a causal model of transformers "
            "with its tokenizer: --model hf:FOLDER."
        )
    refuse(config, ("grow_from",), _GROWS)
    refuse(config, _OF_BLOCKS, "--task lm takes whole texts, in blocks (--block-size)")


def _check_segmentation(config: RunConfig) -> None:
    if config.model != "cnn" and config.family != "hf":
        raise InputError(
            f"--task segmentation came with --model {config.model}; expected one that keeps the "
            "pixels of images: cnn, or a model of images such as hf:segformer."
        )
    refuse(config, ("label_noise",), "--task segmentation has no classes of whole samples")
    refuse(config, ("augment",), "it would move images, but not their masks")
    refuse(config, _OF_TABLES, "--task segmentation reads a folder of images and masks")


def refuse(config: RunConfig, names: tuple[str, ...], why: str) -> None:
    """Raise InputError for the first of some settings that came: that is not its default."""
    for name in names:
        value = getattr(config, name)
        if value != getattr(RunConfig, name):  # its default
            raise InputError(f"{option(name)} {value} came, but {why}; leave it out.")
