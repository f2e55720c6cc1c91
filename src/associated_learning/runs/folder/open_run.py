"""A run's folder, opened: its network with the best weights, and all that treats new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from associated_learning.data import Preprocessor, preprocessor_from_dict
from associated_learning.network import Network
from associated_learning.runs.folder.description import read_description
from associated_learning.runs.hub.network import needs_store
from associated_learning.runs.hub.streaming import stored_run
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.networks.growth import lowest_layers
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.result import read_result
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.trainer import choose_device
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.files import read_json
from associated_learning.state.training_state import TrainingState
from associated_learning.tensors.float32_products import use_fast_products

__all__ = ["OpenRun", "open_run"]


class OpenRun(NamedTuple):
    """A run as its folder tells it.

    Attributes:
        config: Its settings.
        spec: What its data look like.
        label_names: Name of each class.
        preprocessor: Treats new inputs.
        net: The network with the best weights so far, in evaluation mode.
        best_depth: Where those answer the validation data best; full depth where no epoch of the
            run is finished.
    """

    config: ResolvedConfig
    spec: InputSpec
    label_names: tuple[str, ...]
    preprocessor: Preprocessor
    net: Network
    best_depth: int

    def depth(self, asked: int | None) -> int:
        """Return the depth to answer at: the one asked for, or the best on the validation data.

        Raises:
            InputError: The network has no such depth.
        """
        return self.best_depth if asked is None else self.net.check_depth(asked)


def open_run(folder: Path) -> OpenRun:
    """Open a run's folder for evaluation and prediction.

    Raises:
        CheckpointError: It is no run, or a file of it is truncated or foreign.
    """
    config, spec, label_names, backbone = read_description(folder)
    checkpoints = Checkpoints(folder / "checkpoints")
    preprocessor = preprocessor_from_dict(read_json(folder / "preprocessing.json"))
    device = choose_device("auto")  # not where it was trained
    use_fast_products()
    if backbone is not None and needs_store(config):
        best, store = checkpoints.path("best"), folder / "opened"
        net: Network = stored_run(config, spec, backbone, store, device=device, checkpoint=best)
    else:
        net = build_network(config, spec, backbone=backbone)
        if config.grow_from is not None:
            net = lowest_layers(net, checkpoints.best_parts())
        checkpoints.load_best(net.to(device))
    best_depth = _best_depth(folder, checkpoints, net)
    return OpenRun(config, spec, label_names, preprocessor, net.eval(), best_depth)


def _best_depth(folder: Path, checkpoints: Checkpoints, net: Network) -> int:
    result = read_result(folder)
    if result is not None and result.best_depth is not None:
        return result.best_depth
    if not checkpoints.has("last"):
        return net.num_layers
    state = TrainingState.from_json(checkpoints.progress())
    if not state.best_epoch:
        return net.num_layers
    return state.records[state.best_epoch - 1].best_depth(net.num_layers)
