"""A folder that `PretrainedModel` wrote, or a stranger: read and checked, never trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from associated_learning.data.texts.tokenization import ALPHANUMERIC, TOKENS
from associated_learning.errors import AssociatedLearningError, CheckpointError, needs_extra
from associated_learning.state.digests import check_files, file_digest
from associated_learning.state.files import open_regular, read_json, write_json

__all__ = [
    "Exported",
    "foreign",
    "load_strictly",
    "local_folder",
    "read_exported",
    "write_exported_config",
]

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_FIELDS = {"described", "preprocessing", "depth", "figures", "temperature"}
_REMEDY = "Export the run again (al export RUN FOLDER), or download the folder again."


class Exported(NamedTuple):
    """What such a folder holds.

    Attributes:
        values: The arguments of `PretrainedModel`.
        weights: Its weights by name.
    """

    values: dict[str, Any]
    weights: dict[str, Tensor]


def local_folder(name: str | Path, **options: Any) -> Path:
    """Return a folder here, or download that of a name on the hub: two files, no code, no pickle.

    Args:
        name: Folder, or name on the Hugging Face hub.
        options: Those of `huggingface_hub.snapshot_download`, such as revision and token.

    Raises:
        CheckpointError: There is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    with needs_extra("hf", "a name on the Hugging Face hub"):
        from huggingface_hub import snapshot_download
    try:
        return Path(snapshot_download(str(name), allow_patterns=[_CONFIG, _WEIGHTS], **options))
    except Exception as error:  # its errors are many, from OSError to those of the connection
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{name} is no folder here, and the Hugging Face hub does not give it ({reason}). "
            "Check the name or the path."
        ) from error


def write_exported_config(folder: Path, values: dict[str, Any]) -> None:
    """Write the configuration beside the weights, with the digest of both."""
    weights = {_WEIGHTS: file_digest(folder / _WEIGHTS)}
    write_json(folder / _CONFIG, {**values, "files": weights})


def read_exported(folder: Path) -> Exported:
    """Read a folder.

    Raises:
        CheckpointError: A file is missing, truncated, changed or foreign; says what to do.
    """
    if not (folder / _CONFIG).exists():
        raise CheckpointError(f"{folder} holds no {_CONFIG}, so nothing tells its model. {_REMEDY}")
    values = read_json(folder / _CONFIG)
    missing = _FIELDS - {"figures", "temperature"} - set(values if isinstance(values, dict) else ())
    if missing or not isinstance(values["depth"], int):
        raise CheckpointError(
            f"{folder / _CONFIG} describes no model of this library (missing: "
            f"{', '.join(sorted(missing)) or 'a whole number as depth'}). {_REMEDY}"
        )
    prepared = values["preprocessing"]
    pattern = prepared.get("token_pattern", TOKENS) if isinstance(prepared, dict) else TOKENS
    if pattern not in (TOKENS, ALPHANUMERIC):
        raise CheckpointError(
            f"{folder / _CONFIG} cuts texts by a pattern of its own ({str(pattern)[:40]!r}), which"
            f" may take for ever on some of them. {_REMEDY}"
        )
    digest = values.get("files", {}).get(_WEIGHTS)
    if digest is not None:  # older folders have none
        check_files(folder, {_WEIGHTS: digest})
    return Exported({k: v for k, v in values.items() if k in _FIELDS}, _weights(folder))


def load_strictly(model: nn.Module, weights: dict[str, Tensor], folder: Path) -> None:
    """Give a model its weights: all of them, and no others.

    Raises:
        CheckpointError: Tensors are missing, unknown or of other shapes; names them.
    """
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    came = {name: list(tensor.shape) for name, tensor in weights.items()}
    faults = [
        ("missing", sorted(expected.keys() - came.keys())),
        ("unknown", sorted(came.keys() - expected.keys())),
        ("of another shape", [n for n in came if n in expected and came[n] != expected[n]]),
    ]
    told = [f"{what}: {_some(names)}" for what, names in faults if names]
    if told:
        raise CheckpointError(
            f"{folder / _WEIGHTS} does not fit {folder / _CONFIG}; {'; '.join(told)}. {_REMEDY}"
        )
    model.load_state_dict(weights)


def foreign(folder: Path, error: Exception) -> AssociatedLearningError:
    """Return the error to raise where what a folder describes cannot be built."""
    if isinstance(error, AssociatedLearningError):
        return error
    reason = f"{type(error).__name__}: {error}"
    return CheckpointError(
        f"{folder / _CONFIG} describes a model that cannot be built ({reason:.200}). {_REMEDY}"
    )


def _weights(folder: Path) -> dict[str, Tensor]:
    path = folder / _WEIGHTS
    try:
        open_regular(path).close()
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, KeyError) as error:
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
        pickled = f" {others[0]} is pickled, could run any code, and is not read." if others else ""
        raise CheckpointError(
            f"{path} cannot be read ({error}); expected the weights as a whole safetensors file."
            f"{pickled} {_REMEDY}"
        ) from error
    return tensors


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
