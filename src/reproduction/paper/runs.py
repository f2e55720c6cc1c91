"""What is trained for a cell, up to tier and seed; and from there to the settings of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from associated_learning.runs.networks.families import TEXT_MODELS
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.resolved import resolved
from reproduction.paper.arms import ARMS
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.tiers import data_seed, protocol

__all__ = ["Run"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A model on a data set by an arm, with what else sets it apart.

    Attributes:
        data: Name of the data set.
        model: Network family.
        arm: Name of the arm, one of `ARMS`.
        extra: Further settings by name, such as label noise; they overrule arm and tier.
    """

    data: str
    model: str
    arm: str
    extra: tuple[tuple[str, Any], ...] = ()

    def config(self, tier: str, seed: int, places: DataPaths) -> ResolvedConfig:
        """Return the settings."""
        arm = ARMS[self.arm]
        settings: dict[str, Any] = {
            **_protocol(self.arm, tier, self.data, self.model),
            **arm.settings_of(self.model, self.data),
            **dict(self.extra),
        }
        if self.model in TEXT_MODELS and arm.reads_vectors(self.model, self.data):
            settings["vectors"] = places.vectors
        return resolved(
            RunConfig(
                data=self.data,
                model=self.model,
                data_root=places.data_root,
                device=places.device,
                seed=seed,
                data_seed=data_seed(tier, seed),
                preset="paper",
                **settings,
            )
        )

    @property
    def name(self) -> str:
        """A name for folders and messages, such as ``ag_news-bilstm-al``."""
        extra = [f"{key}={value}" for key, value in self.extra]
        return "-".join([self.data, self.model, self.arm, *extra])

    @property
    def needs_vectors(self) -> bool:
        """Whether it is trained on word vectors."""
        return self.model in TEXT_MODELS and ARMS[self.arm].reads_vectors(self.model, self.data)


def _protocol(name: str, tier: str, data: str, model: str) -> dict[str, Any]:
    """Return learning rate, batches and the like: the arm's own, but for small tiers'."""
    arm = ARMS[name]
    own = arm.protocol_of(model, data)
    method = arm.settings_of(model, data).get("method", "al")
    declared = protocol(tier, data, model, method=method, arm=name)
    return {**declared, **own} if tier == "full" else {**own, **declared}
