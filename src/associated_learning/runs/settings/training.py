"""The settings of how long and how fast a run trains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from associated_learning.runs.settings.setting import setting

__all__ = ["TrainingSettings"]

_setting = partial(setting, "Training")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Updates: their number, size, precision and place."""

    preset: str = _setting(
        "any",
        "Where the defaults are from. any: good for data of any kind and size "
        "(benchmarks/first_run). paper: the paper's, for its own data sets.",
        choices=("any", "paper"),
    )
    epochs: int | None = _setting(None, "Largest number of epochs.", least=1)
    min_updates: int | None = _setting(
        None,
        "Train for more epochs, and do not lose patience, until there are so many updates of the "
        "weights: small data have few in an epoch. 0 where --epochs is given.",
        least=0,
    )
    batch_size: int | None = _setting(None, "Samples in a minibatch.", least=1)
    lr: float | None = _setting(None, "Learning rate.", least=0)
    encoder_lr: float | None = _setting(
        None,
        "Learning rate of the encoders f (bp: of all but the head), where they are pretrained and "
        "the parts beside them (b, g, h; bp: the head) are fresh and take --lr. The default is for "
        "pretrained weights: fresh ones learn faster at 1e-3.",
        least=0,
    )
    encoder_lr_decay: float | None = _setting(
        None,
        "Each encoder's learning rate as a share of that of the encoder above it; the last one has "
        "--encoder-lr, or --lr.",
        least=0,
        most=1,
    )
    freeze: str | None = _setting(
        None,
        "What stays as it is while all beside it trains: the encoders of this many lowest layers, "
        "or modules inside of encoders by name, with commas between them.",
    )
    target_warmup: int | None = _setting(
        None,
        "AL: updates of the target's autoencoders g and h by labels alone, ahead of all others. "
        "Some hundreds take a second or two and help where pretrained encoders are tuned shortly.",
        least=0,
    )
    optimizer: str = _setting(
        "adam", "Optimizer of every layer.", choices=("adam", "adamw", "sgd", "rmsprop")
    )
    weight_decay: float = _setting(0.0, "Weight decay.", least=0)
    schedule: str | None = _setting(
        None,
        "Learning rate over time; milestones is the released image code's.",
        choices=("constant", "linear", "cosine", "milestones"),
    )
    warmup: float | None = _setting(
        None,
        "Updates in which the learning rate rises from 0; below 1: their share of all updates.",
        least=0,
    )
    clip: float | None = _setting(None, "Largest gradient norm of a layer; 0 for none.", least=0)
    patience: int | None = _setting(
        None,
        "Stop after this many epochs without a better score (see --judge); less loss at an equal "
        "score is none. 0 never.",
        least=0,
    )
    patience_updates: int | None = _setting(
        None,
        "Be patient for so many updates at least, and then stop before --min-updates too. 0 where "
        "--epochs or --min-updates is given.",
        least=0,
    )
    judge: str | None = _setting(
        None,
        "By what depth an epoch is judged, for the best one and for patience: the best of any, of "
        "equals the one of less validation loss; or full depth, of equals the first.",
        choices=("any", "full"),
    )
    metric: str | None = _setting(
        None,
        "By what the best epoch is chosen: loss, or a metric of torchmetrics such as f1, auroc or "
        "balanced_accuracy. The score of the task if not given: accuracy, R², of tokens of texts "
        "the loss.",
    )
    gradient_accumulation_steps: int = _setting(
        1,
        "Minibatches that make one update, in the memory of one; epochs have as many fewer "
        "updates.",
        least=1,
    )
    precision: str = _setting(
        "float32", "Precision of the forward pass.", choices=("float32", "bf16")
    )
    compile: bool = _setting(False, "Run torch.compile on every layer.")
    device: str = _setting("auto", "cpu, cuda, cuda:1; auto takes a GPU if there.")
    threads: int | None = _setting(None, "CPU threads inside operations.", least=1)
    seed: int = _setting(0, "Keys weights, order, dropout and augmentation.", least=0)
    flush_denormals: bool = _setting(
        False,
        "Take numbers below 1e-38 for 0: recurrent networks on long texts train several times "
        "faster on a CPU.",
    )
    watch_training: bool = _setting(
        False, "Score the training data too after every epoch (Table 5, Figure 3)."
    )
    save_every: int | None = _setting(
        None, "Save every N updates too, not only every epoch.", least=1
    )
