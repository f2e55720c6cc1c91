"""The settings of a run: one flat, frozen value that the command line and the folder share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError, InputError, nearest

__all__ = ["COMPUTING", "FAMILIES", "HUB", "RunConfig", "numbers"]

# what may differ when a run goes on: where and how fast it computes
COMPUTING = (
    "device", "threads", "save_every", "executor", "stages", "replicas", "trace", "store", "window",
    "memory", "recompute",
)  # fmt: skip
FAMILIES = ("mlp", "cnn", "vgg", "bilstm", "transformer")
HUB = "hf:"  # how the names of models of transformers begin


def _setting(
    default: Any,
    panel: str,
    text: str,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    prefix: str = "",
) -> Any:
    """Return a field with its help text, its place in the help, and what values it takes."""
    metadata = {
        "panel": panel,
        "help": text,
        "choices": choices,
        "least": least,
        "most": most,
        "prefix": prefix,  # what begins so is taken beside the choices
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of a training run; None means the model's own default (see `families`)."""

    data: str = _setting(
        "digits",
        "Data",
        "digits, fashion_mnist, cifar10, ag_news, imdb, sst2 or dbpedia_14; or a CSV, JSONL or "
        "Parquet file, or a folder with one folder of images per class.",
    )
    data_root: str | None = _setting(
        None, "Data", "Folder with NAME/SPLIT.parquet files; without it the Hugging Face hub."
    )
    test_data: str | None = _setting(None, "Data", "Your own data: file or folder for testing.")
    text_column: str | None = _setting(None, "Data", "Your own data: the column of the texts.")
    label_column: str | None = _setting(None, "Data", "Your own data: the column of the labels.")
    limit_train: int | None = _setting(
        None, "Data", "Use at most this many training samples, classes in proportion.", least=1
    )
    validation_fraction: float = _setting(
        0.1,
        "Data",
        "Share of the training data to choose the best epoch by.",
        least=0.001,
        most=0.9,
    )
    data_seed: int = _setting(0, "Data", "Keys splits, subset and label noise.", least=0)
    label_noise: float = _setting(
        0.0, "Data", "Share of training labels replaced at random (section 3.4).", least=0, most=1
    )
    augment: bool = _setting(
        False, "Data", "Crop, flip and brighten training images at random (section 6.6)."
    )
    image_size: int | None = _setting(
        None, "Data", "Resize images to this side; needed where their sizes differ.", least=1
    )
    vectors: str | None = _setting(
        None, "Data", "Word vectors in GloVe's text format (.txt, .gz, .zip)."
    )
    vocabulary_size: int = _setting(
        30_000, "Data", "Number of most frequent training words that are known.", least=1
    )
    max_length: int | None = _setting(None, "Data", "Cut texts to this many tokens.", least=1)
    remove_stop_words: bool = _setting(False, "Data", "Leave out English stop words.")
    vector_shift: int = _setting(
        0,
        "Data",
        "Give each word the vector of the word this many ranks below; 2 is the defect of the "
        "released code.",
        least=0,
    )

    model: str = _setting(
        "mlp",
        "Model",
        "Network family; or hf: and a folder with a model of transformers (config.json, maybe "
        "model.safetensors and a tokenizer), a config.json, a type such as hf:bert or hf:vit (a "
        "small fresh model), or a name on the Hugging Face hub.",
        choices=FAMILIES,
        prefix=HUB,
    )
    num_layers: int | None = _setting(
        None,
        "Model",
        "Number of layers (mlp, hf:...) or of layers above the embedding (bilstm, transformer).",
        least=1,
    )
    at: str | None = _setting(
        None,
        "Model",
        "hf:... Where layers begin: names of modules with commas between them, a number of "
        "layers, or auto, for four or fewer of about the same cost.",
    )
    balance: str | None = _setting(
        None,
        "Model",
        "hf:... What makes layers of the same cost: flops if not given; time is measured, and "
        "may differ from run to run.",
        choices=("flops", "parameters", "time"),
    )
    hidden: int | None = _setting(
        None, "Model", "Width of a layer: mlp, LSTM state, or Transformer feed-forward.", least=1
    )
    embedding_dim: int | None = _setting(
        None, "Model", "Width of the word embedding; that of the vectors, if given.", least=1
    )
    dropout: float | None = _setting(None, "Model", "Dropout between layers.", least=0, most=0.99)
    embedding_dropout: float | None = _setting(
        None, "Model", "Dropout on the word embedding.", least=0, most=0.99
    )

    batch_norm: bool | None = _setting(
        None,
        "Model",
        "cnn, vgg: normalise before every activation; vgg does if not told otherwise.",
    )
    carry_state: bool = _setting(
        False, "Model", "bilstm: each layer starts from the final states of the one below."
    )
    head_hidden: str | None = _setting(
        None, "Model", "bp: widths of dense layers before the logits, with commas between them."
    )

    method: str = _setting(
        "al",
        "Method",
        "al: Associated Learning. bp: end-to-end backpropagation.",
        choices=("al", "bp"),
    )
    local_loss: str = _setting(
        "associated",
        "Method",
        "AL: what a layer learns by. associated: Equation 3. The others have no autoencoders, and "
        "their bridges are classifiers: ce, cross-entropy (Table 6, w/o AE; with "
        "--no-stop-gradients deep supervision); predsim, that and the likeness of samples.",
        choices=("associated", "ce", "predsim"),
    )
    greedy: bool = _setting(
        False,
        "Method",
        "AL: layers learn one after the other, each in an equal share of the epochs.",
    )
    latent: int | None = _setting(None, "Method", "AL: width of the latents t.", least=1)
    latents: str | None = _setting(
        None, "Method", "AL: width of t layer by layer, such as 128,300,300."
    )
    readout: str | None = _setting(
        None,
        "Method",
        "How an activation becomes the bridge's vector (bp, bilstm: the head's; the final states "
        "if not given). pooled: means of a 4 x 4 grid; grid: of one with at most 2,048 numbers.",
        choices=(
            "flatten",
            "average",
            "pooled",
            "grid",
            "mean",
            "mean-max",
            "last",
            "state-sum",
            "state-concat",
        ),
    )
    bridge: str | None = _setting(
        None,
        "Method",
        "AL: linear (the paper), activated or mlp (the released code).",
        choices=("linear", "activated", "mlp"),
    )
    bridge_hidden: int | None = _setting(
        None, "Method", "AL: width between the two maps of an mlp bridge.", least=1
    )
    coder_activation: str | None = _setting(
        None, "Method", "AL: activation of g and h, such as tanh or sigmoid."
    )
    coder_bias: bool = _setting(True, "Method", "AL: whether b, g and h have biases.")
    first_loss: str = _setting(
        "ce", "Method", "AL: loss of the first autoencoder.", choices=("ce", "mse")
    )
    association: str | None = _setting(
        None,
        "Method",
        "AL: loss of a bridge against its target: squared error (the paper); contrast, the default "
        "of cnn and vgg, adds how hard it is to tell that target from those of other classes.",
        choices=("squared", "contrast"),
    )
    detach_target: bool = _setting(
        True, "Method", "AL: whether the associated loss leaves g alone (Equation 3 does not)."
    )
    stop_gradients: bool = _setting(
        True, "Method", "AL: whether gradients stop between layers (Table 6)."
    )
    lower_associated: bool = _setting(
        True, "Method", "AL: whether layers below the last have an associated loss (Table 6)."
    )
    single_layer: bool = _setting(
        False,
        "Method",
        "AL: all encoders in one layer with one bridge and one autoencoder (Table 6, AE*1).",
    )
    double_softmax: bool = _setting(
        False, "Method", "bp: a softmax before the loss that has its own, as in the released code."
    )

    epochs: int | None = _setting(None, "Training", "Largest number of epochs.", least=1)
    batch_size: int | None = _setting(None, "Training", "Samples in a minibatch.", least=1)
    lr: float | None = _setting(None, "Training", "Learning rate.", least=0)
    encoder_lr: float | None = _setting(
        None,
        "Training",
        "Learning rate of the encoders f (bp: of all but the head), where they are pretrained and "
        "the parts beside them (b, g, h; bp: the head) are fresh and take --lr. hf:... has its own "
        "default, for pretrained weights: fresh ones learn faster at 1e-3.",
        least=0,
    )
    encoder_lr_decay: float | None = _setting(
        None,
        "Training",
        "Each encoder's learning rate as a share of that of the encoder above it; the last one has "
        "--encoder-lr, or --lr.",
        least=0,
        most=1,
    )
    freeze: str | None = _setting(
        None,
        "Training",
        "What stays as it is while all beside it trains: the encoders of this many lowest layers, "
        "or modules inside of encoders by name, with commas between them.",
    )
    target_warmup: int | None = _setting(
        None,
        "Training",
        "AL: updates of the target's autoencoders g and h by labels alone, ahead of all others. "
        "Some hundreds take a second or two and help where pretrained encoders are tuned shortly.",
        least=0,
    )
    optimizer: str = _setting(
        "adam", "Training", "Optimizer of every layer.", choices=("adam", "adamw", "sgd", "rmsprop")
    )
    weight_decay: float = _setting(0.0, "Training", "Weight decay.", least=0)
    schedule: str | None = _setting(
        None,
        "Training",
        "Learning rate over time; milestones is the released image code's.",
        choices=("constant", "linear", "cosine", "milestones"),
    )
    warmup: float | None = _setting(
        None,
        "Training",
        "Updates in which the learning rate rises from 0; below 1: their share of all updates.",
        least=0,
    )
    clip: float | None = _setting(
        None, "Training", "Largest gradient norm of a layer; 0 for none.", least=0
    )
    patience: int | None = _setting(
        None, "Training", "Stop after this many epochs without a better one; 0 never.", least=0
    )
    precision: str = _setting(
        "float32", "Training", "Precision of the forward pass.", choices=("float32", "bf16")
    )
    compile: bool = _setting(False, "Training", "Run torch.compile on every layer.")
    device: str = _setting("auto", "Training", "cpu, cuda, cuda:1; auto takes a GPU if there.")
    threads: int | None = _setting(None, "Training", "CPU threads inside operations.", least=1)
    seed: int = _setting(0, "Training", "Keys weights, order, dropout and augmentation.", least=0)
    flush_denormals: bool = _setting(
        False,
        "Training",
        "Take numbers below 1e-38 for 0: recurrent networks on long texts train several times "
        "faster on a CPU.",
    )
    watch_training: bool = _setting(
        False, "Training", "Score the training data too after every epoch (Table 5, Figure 3)."
    )
    save_every: int | None = _setting(
        None, "Training", "Save every N updates too, not only every epoch.", least=1
    )

    grow_from: int | None = _setting(
        None,
        "Growth",
        "AL: begin with this many of the lowest layers, and put the others on top one by one, "
        "whenever the validation accuracy of the top one stands still (section 2.2.2); al grow "
        "begins with 1.",
        least=1,
    )
    grow_patience: int = _setting(
        3,
        "Growth",
        "Epochs without a better accuracy of the top layer before the next one; training ends "
        "where that would be one too many, or the last one added too little.",
        least=1,
    )
    grow_rise: float = _setting(
        0.0,
        "Growth",
        "What that accuracy must have gained in so many epochs, or it counts as standing still, "
        "such as 0.005.",
        least=0,
        most=1,
    )
    grow_gain: float = _setting(
        0.0,
        "Growth",
        "What a layer must add to the accuracy to be kept, such as 0.002.",
        least=0,
        most=1,
    )
    grow_freeze: bool = _setting(False, "Growth", "Freeze all layers below a new one.")
    grow_settled: int | None = _setting(
        None,
        "Growth",
        "Freeze a layer whose own loss has fallen by less than 1 % in this many epochs, once "
        "all layers below it are frozen.",
        least=1,
    )

    executor: str = _setting(
        "auto",
        "Pipeline",
        "Where layers train: one after the other (sequential), at the same time in threads, in "
        "CUDA streams of one GPU, in processes that torchrun started, or one at a time in memory, "
        "each on a window of minibatches (offload). auto: processes under "
        "torchrun, threads or streams where --stages is given, else sequential. All of them "
        "give the same bits at the same number of threads inside operations.",
        choices=("auto", "sequential", "threads", "streams", "processes", "offload"),
    )
    stages: str | None = _setting(
        None,
        "Pipeline",
        "Number of stages, balanced by measured time; or how many layers each one has, with "
        "commas between them. As many as there are processors, GPUs or ranks if not given.",
    )
    replicas: int = _setting(
        1,
        "Pipeline",
        "processes: ranks that share the minibatches of each stage (data parallelism inside it); "
        "more than 1 are no longer exact to the bit.",
        least=1,
    )
    wire: str = _setting(
        "float32",
        "Pipeline",
        "processes: type of activations between ranks; bf16 halves the traffic and rounds them.",
        choices=("float32", "bf16"),
    )
    trace: int | None = _setting(
        None,
        "Pipeline",
        "Record when each stage worked on the first N minibatches: a chart (plots/pipeline.png) "
        "and a trace for Perfetto (pipeline.json).",
        least=1,
    )

    store: str = _setting(
        "host",
        "Larger than memory",
        "offload: where the state of layers lies while others train: host memory, disk for the "
        "folder of the run, or a folder.",
    )
    window: int | None = _setting(
        None,
        "Larger than memory",
        "offload: minibatches that a layer takes before the next one; as many as hide the moving "
        "of state if not given.",
        least=1,
    )
    memory: str | None = _setting(
        None,
        "Larger than memory",
        "offload: what may be used of the GPU, or by this process, such as 2GiB.",
    )
    recompute: bool = _setting(
        False,
        "Larger than memory",
        "offload: recompute activations inside a layer instead of keeping them.",
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check(setting.name, getattr(self, setting.name), setting.metadata)

    @property
    def stage_sizes(self) -> int | list[int] | None:
        """The number of stages, or the number of layers of each."""
        if self.stages is None:
            return None
        sizes = numbers("stages", self.stages)
        return sizes if "," in self.stages else sizes[0]

    @property
    def family(self) -> str:
        """The network family: the model, or "hf" for all models of transformers."""
        return "hf" if self.model.startswith(HUB) else self.model

    @property
    def model_name(self) -> str:
        """The model's name without the path of a folder, such as ``hf:minilm``."""
        if self.family != "hf":
            return self.model
        path = Path(self.model.removeprefix(HUB))
        return HUB + (path.parent.name if path.name == "config.json" else path.name)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunConfig:
        """Return the settings that `to_json` gave. Raises CheckpointError if they are foreign."""
        try:
            return cls(**_completed(values))
        except (TypeError, InputError) as error:
            raise CheckpointError(
                f"the settings of the run are of another version of this library ({error})."
            ) from error

    def differences(self, other: RunConfig) -> list[str]:
        """Return "name: this one's value, the other's" for every setting that differs."""
        mine, theirs = self.to_json(), other.to_json()
        return [f"{key}: {mine[key]}, {theirs[key]}" for key in mine if mine[key] != theirs[key]]


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    """Return settings with what they meant before there was a name for it."""
    before: dict[str, Any] = {"association": "squared"}
    if values.get("model") == "vgg":
        before["batch_norm"] = values.get("method") == "bp"
    return {**before, **values}


def numbers(name: str, text: str | None) -> list[int]:
    """Return the whole numbers of a setting, which stand with commas between them.

    Raises:
        InputError: It holds something else.

    Example:
        >>> numbers("latents", "128,300"), numbers("latents", None)
        ([128, 300], [])
    """
    try:
        return [int(number) for number in text.split(",")] if text is not None else []
    except ValueError:
        option = "--" + name.replace("_", "-")
        raise InputError(
            f"{option} {text} came; expected a number, or numbers with commas between them, such "
            "as 2,1,1."
        ) from None


def _check(name: str, value: Any, metadata: Any) -> None:
    option = "--" + name.replace("_", "-")
    if value is None:
        return
    prefix = metadata["prefix"]
    named = prefix and str(value).startswith(prefix) and value != prefix
    if metadata["choices"] and value not in metadata["choices"] and not named:
        known = metadata["choices"]
        more = f", or {prefix}NAME" if prefix else ""
        raise InputError(
            f"{option} {value} came; expected one of {', '.join(known)}{more}."
            f"{nearest(value, known)}"
        )
    least, most = metadata["least"], metadata["most"]
    # "not at least" instead of "less than", because NaN is neither
    if least is not None and not value >= least:
        raise InputError(f"{option} {value} came; expected at least {least}.")
    if most is not None and not value <= most:
        raise InputError(f"{option} {value} came; expected at most {most}.")
    if isinstance(value, float) and math.isinf(value):
        raise InputError(f"{option} {value} came; expected a finite number.")
