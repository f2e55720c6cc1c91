"""The settings of a run: one flat, frozen value that the command line and the folder share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from associated_learning.runs.settings.data import DataSettings
from associated_learning.runs.settings.growth import GrowthSettings
from associated_learning.runs.settings.method import MethodSettings
from associated_learning.runs.settings.model import HUB, ModelSettings
from associated_learning.runs.settings.offload import OffloadSettings
from associated_learning.runs.settings.pipeline import PipelineSettings
from associated_learning.runs.settings.setting import check_value, numbers
from associated_learning.runs.settings.training import TrainingSettings

__all__ = ["COMPUTING", "ResolvedConfig", "RunConfig"]

# what may differ when a run goes on: where and how fast it computes
COMPUTING = (
    "device", "threads", "save_every", "executor", "stages", "replicas", "trace", "store", "window",
    "memory", "recompute",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunConfig(  # the fields of the last base come first
    OffloadSettings,
    PipelineSettings,
    GrowthSettings,
    TrainingSettings,
    MethodSettings,
    ModelSettings,
    DataSettings,
):
    """All settings of a training run as a user gives them.

    None means that nothing was given: where `defaults_of` has a value, `resolved` fills it in.

    Raises:
        InputError: A setting is not among its choices, or out of its range.

    Example:
        >>> config = RunConfig(data="wine.csv", label_column="grape", model="mlp")
        >>> config.method, config.seed
        ('al', 0)
    """

    def __post_init__(self) -> None:
        for setting in fields(RunConfig):
            check_value(setting, getattr(self, setting.name))

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
        return dict(vars(self))  # none of them can be changed, so none is copied


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(RunConfig):
    """The settings that a run is made by, with nothing left to decide; `resolved` makes them.

    None means here that there is none: no word vectors, no limit, no such part in this model.
    """

    task: str
    epochs: int
    min_updates: int
    batch_size: int
    lr: float
    target_warmup: int
    schedule: Literal["constant", "linear", "cosine", "milestones"]
    warmup: float
    clip: float
    patience: int
    patience_updates: int
    judge: Literal["any", "full"]
    latent: int
    bridge: str
    bridge_hidden: int
    coder_activation: str
    association: str
    balance: Literal["flops", "parameters", "time"]
    batch_norm: bool
