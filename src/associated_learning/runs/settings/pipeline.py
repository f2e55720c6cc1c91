"""The settings of where the layers of a run train."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from associated_learning.pipeline.executor_table import EXECUTORS
from associated_learning.runs.settings.setting import setting

__all__ = ["PipelineSettings"]

_setting = partial(setting, "Pipeline")


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """One process, threads, streams or processes."""

    executor: str = _setting(
        "auto",
        "Where layers train: one after the other (sequential), at the same time in threads, in "
        "CUDA streams of one GPU, in processes that torchrun started, or one at a time in memory, "
        "each on a window of minibatches (offload). auto: processes under "
        "torchrun, threads or streams where --stages is given, else sequential. All of them "
        "give the same bits at the same number of threads inside operations.",
        choices=EXECUTORS,
    )
    stages: str | None = _setting(
        None,
        "Number of stages, balanced by measured time; or how many layers each one has, with "
        "commas between them. As many as there are processors, GPUs or ranks if not given.",
    )
    replicas: int = _setting(
        1,
        "processes: ranks that share the minibatches of each stage (data parallelism inside it); "
        "more than 1 are no longer exact to the bit.",
        least=1,
    )
    wire: str = _setting(
        "float32",
        "processes: type of activations between ranks; bf16 halves the traffic and rounds them.",
        choices=("float32", "bf16"),
    )
    trace: int | None = _setting(
        None,
        "Record when each stage worked on the first N minibatches: a chart (plots/pipeline.png) "
        "and a trace for Perfetto (pipeline.json).",
        least=1,
    )
