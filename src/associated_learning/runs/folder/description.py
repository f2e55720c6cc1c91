"""What a run's folder says of the run before it is trained: settings, data, preprocessing."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from associated_learning.data import DataSet
from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.folder.size_limits import check_backbone_sizes, check_sizes
from associated_learning.runs.hub.network import Backbone
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.settings.resolved import restored
from associated_learning.state.files import read_json, write_json

__all__ = [
    "Description",
    "check_data",
    "description_from_json",
    "description_to_json",
    "keep_description",
    "read_description",
]


class Description(NamedTuple):
    """What a run was started with.

    Attributes:
        config: Its settings.
        spec: What its data look like.
        label_names: Name of each class.
        backbone: The model of transformers, where the settings name one.
    """

    config: ResolvedConfig
    spec: InputSpec
    label_names: tuple[str, ...]
    backbone: Backbone | None = None


def read_description(folder: Path) -> Description:
    """Read the description in a run's folder.

    Raises:
        CheckpointError: It is no run, or the description is truncated or foreign.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is no run: it holds no config.json. Name a folder that `al train` made."
        )
    described = read_json(path)
    if isinstance(described, dict) and "described" in described:
        raise CheckpointError(
            f"{folder} holds a model that `al export` made, which is read by "
            "PretrainedModel.from_pretrained; expected a run. Name the folder that `al train` made."
        )
    try:
        return description_from_json(described)
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not describe a run of this library ({error}); expected config, inputs "
            "and label_names. Name a folder that `al train` made."
        ) from error


def description_to_json(description: Description) -> dict[str, Any]:
    """Return a description as JSON-able values."""
    described = {
        "config": description.config.to_json(),
        "inputs": asdict(description.spec),
        "label_names": list(description.label_names),
    }
    if description.backbone is not None:
        described["backbone"] = asdict(description.backbone)
    return described


def description_from_json(described: dict[str, Any]) -> Description:
    """Return the description that `description_to_json` gave.

    Raises:
        InputError: Sizes are beyond all bounds.
        TypeError, KeyError: They are something else.
    """
    inputs = described["inputs"]
    check_sizes(described["config"], inputs)
    weights = tuple(inputs.get("class_weights", ()))
    spec = InputSpec(**{**inputs, "shape": tuple(inputs["shape"]), "class_weights": weights})
    config = restored(described["config"])
    names = tuple(described["label_names"])
    return Description(config, spec, names, _backbone(described.get("backbone")))


def keep_description(folder: Path, description: Description, data: DataSet) -> None:
    """Write the description of a new run; check that of a run that is resumed.

    Raises:
        InputError: The run was started on other data or word vectors; its files stay.
        CheckpointError: A file is foreign or cannot be written.
    """
    if (folder / "config.json").exists():
        check_data(folder, data)
        _check_spec(folder, description.spec)
        return
    write_json(folder / "preprocessing.json", data.preprocessing)
    # last, because it makes the folder a run
    write_json(folder / "config.json", description_to_json(description))


def _backbone(values: dict[str, Any] | None) -> Backbone | None:
    if values is None:
        return None
    check_backbone_sizes(values["config"])
    return Backbone(config=dict(values["config"]), cuts=tuple(values["cuts"]))


def check_data(folder: Path, data: DataSet) -> None:
    """Check that data are those a run was trained on, by its labels and all that was fitted.

    Raises:
        InputError: They are not; names what differs.
        CheckpointError: The folder is no run, or a file of it is foreign.
    """
    changed = [] if read_description(folder).label_names == data.label_names else ["label names"]
    before = read_json(folder / "preprocessing.json")
    now = json.loads(json.dumps(data.preprocessing))
    if not isinstance(before, dict):
        raise CheckpointError(
            f"{folder / 'preprocessing.json'} is no preprocessing of this library; restore it."
        )
    keys = sorted({*before, *now})
    changed += [f"{key} of the inputs" for key in keys if not _same(before.get(key), now.get(key))]
    if changed:
        raise InputError(
            f"the data have changed since training ({', '.join(changed)}), which the run in "
            f"{folder} would misread; restore them, or train a new run on them."
        )


def _check_spec(folder: Path, spec: InputSpec) -> None:
    before, now = asdict(read_description(folder).spec), asdict(spec)
    changed = [f"{key}: {now[key]}, {before[key]}" for key in now if now[key] != before[key]]
    if changed:
        raise InputError(
            f"data or word vectors have changed since the run in {folder} was started "
            f"({'; '.join(changed)}: now, then); restore them, or start a new run."
        )


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, but for rounding on another machine."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
