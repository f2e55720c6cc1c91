"""The settings of a run whose network may be larger than memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from associated_learning.runs.settings.setting import setting

__all__ = ["OffloadSettings"]

_setting = partial(setting, "Larger than memory")


@dataclass(frozen=True, kw_only=True)
class OffloadSettings:
    """Where the state of layers lies while others train, and what may be used."""

    store: str = _setting(
        "host",
        "offload: where the state of layers lies while others train: host memory, disk for the "
        "folder of the run, or a folder. threads, processes: with one of these options each stage "
        "has one of its layers at a time in memory, and a store of its own.",
    )
    window: int | None = _setting(
        None,
        "offload: minibatches that a layer takes before the next one; as many as hide the moving "
        "of state if not given.",
        least=1,
    )
    memory: str | None = _setting(
        None, "offload: what may be used of the GPU, or by this process, such as 2GiB."
    )
    recompute: bool = _setting(
        False, "offload: recompute activations inside a layer instead of keeping them."
    )

    @property
    def has_stores(self) -> bool:
        """Whether anything asks for layers that are elsewhere while others train."""
        return self.store != "host" or bool(self.window or self.memory or self.recompute)
