"""``al export``: the first layers of a run, for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from associated_learning.cli.options import RunFolder
from associated_learning.cli.tables import console
from associated_learning.errors import InputError
from associated_learning.inference.export.beside import beside, describe_export
from associated_learning.runs.printable import escape
from associated_learning.runs.run import OpenRun, open_run
from associated_learning.state.files import replaced_file

__all__ = ["export"]


def export(
    run: RunFolder,
    to: Annotated[
        Path,
        typer.Argument(
            metavar="TO",
            help="FILE.onnx; FILE.pt2, a program of torch.export; or a new folder, as the Hugging "
            "Face hub has them.",
        ),
    ],
    *,
    depth: Annotated[
        int | None,
        typer.Option(help="Number of layers; if not given those that were best on validation."),
    ] = None,
) -> None:
    """Export the first layers of a trained run as a small model of its own.

    Only what inference needs is in it: the encoders f, one bridge b, the decoders h. ONNX files
    are checked against the network in ONNX Runtime. Early exit depends on each input and is in no
    graph: export the depths that you need.

    Examples:

        al export runs/sst2-bilstm-al-0 sst2.onnx --depth 2

        al export runs/digits-mlp-al-0 digits-model
    """
    if to.suffix not in _WAYS:
        raise InputError(
            f"{to} came; expected a name that ends in .onnx or .pt2, or a folder without a dot."
        )
    console.print(escape(_WAYS[to.suffix](Path(run), to, depth), lines=True))


def _folder(run: Path, to: Path, depth: int | None) -> str:
    from associated_learning.runs.hub.pretrained import PretrainedModel

    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} exists and is no empty folder; name a new one.")
    PretrainedModel.from_run(run, depth).save_pretrained(to)
    return (
        f"{to}: model.safetensors, config.json and README.md, the model card.\n"
        f"PretrainedModel.from_pretrained('{to}') reads it again."
    )


def _onnx(run: Path, to: Path, depth: int | None) -> str:
    from associated_learning.inference.export.onnx import export_onnx

    opened = open_run(run)
    depth = opened.depth(depth)
    file = export_onnx(opened.net, _example(opened), to, depth)
    _describe(opened, to, file.inputs, depth)
    return (
        f"{to}: {', '.join(file.inputs)} to output; largest difference from the network "
        f"{file.largest_error:.1e}, in ONNX Runtime.\nLabels and preprocessing are in "
        f"{beside(to)}."
    )


def _program(run: Path, to: Path, depth: int | None) -> str:
    from associated_learning.inference.export.program import export_program
    from associated_learning.inference.export.tensors import Signature

    opened = open_run(run)
    depth, x = opened.depth(depth), _example(opened)
    program = export_program(opened.net, x, depth)
    with replaced_file(to) as temporary:
        torch.export.save(program, temporary)
    _describe(opened, to, Signature.of(x).names, depth)
    return (
        f"{to}: torch.export.load('{to}').module() runs it.\nLabels and preprocessing are in "
        f"{beside(to)}."
    )


_WAYS: dict[str, Callable[[Path, Path, int | None], str]] = {
    "": _folder,
    ".onnx": _onnx,
    ".pt2": _program,
}


def _example(opened: OpenRun) -> Any:
    """Return a random batch, on which the exported graph is held against the network."""
    spec, x = opened.spec, opened.spec.example()
    if spec.kind != "text":
        return torch.randn_like(x)
    return x._replace(values=torch.randint_like(x.values, spec.vocabulary_size))


def _describe(opened: OpenRun, to: Path, inputs: tuple[str, ...], depth: int) -> None:
    """Keep beside the graph what it does not tell: the labels, and how inputs are made."""
    described = {
        "inputs": list(inputs),
        "output": "logits" if opened.config.first_loss == "ce" else "values near one-hot labels",
        "depth": depth,
        "label_names": list(opened.label_names),
        "preprocessing": opened.preprocessor.to_dict(),
    }
    describe_export(to, described)
