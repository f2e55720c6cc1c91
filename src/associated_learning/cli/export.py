"""``al export``: the first layers of a run, for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from associated_learning.cli.options import RunFolder
from associated_learning.cli.tables import console
from associated_learning.errors import InputError
from associated_learning.inference.export.beside import beside, describe_export
from associated_learning.runs.deployment.description import export_description
from associated_learning.runs.deployment.write_runner import runner_beside, write_runner
from associated_learning.runs.exits.temperatures import temperature_of
from associated_learning.runs.folder.open_run import OpenRun, open_run
from associated_learning.runs.printable import escape
from associated_learning.runs.run import read_config
from associated_learning.runs.tasks.refusals import check_form
from associated_learning.runs.tasks.saved import save_model
from associated_learning.state.files import replaced_file

__all__ = ["export"]

_NEEDED = {
    "image": "numpy and Pillow",
    "masks": "numpy and Pillow",
    "subword": "numpy and tokenizers",
    "table": "numpy alone",
    "text": "numpy alone",
}
_ASKED = {"image": "IMAGE...", "masks": "FOLDER IMAGE..."}


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
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            help="Licence that a folder's model card names, such as apache-2.0; none if not given.",
        ),
    ] = None,
) -> None:
    """Export the first layers of a trained run as a small model of its own.

    Only what inference needs is in it: the encoders f, one bridge b, the decoders h. ONNX files
    are checked against the network in ONNX Runtime; beside one come FILE.json, which states the
    preprocessing and the labels, and FILE_runner.py, which labels raw inputs by it without
    PyTorch. Early exit depends on each input and is in no
    graph: export the depths that you need.

    Examples:

        al export runs/sst2-bilstm-al-0 sst2.onnx --depth 2

        al export runs/digits-mlp-al-0 digits-model
    """
    if to.suffix and to.suffix not in _WAYS:
        raise InputError(
            f"{to} came; expected a name that ends in .onnx or .pt2, or a folder without a dot."
        )
    check_form(read_config(Path(run)).task, to)
    console.print(f"Exporting to {escape(str(to))} ...", soft_wrap=True)
    if to.suffix:
        if license_ is not None:
            raise InputError(
                f"--license {license_} came for {to}; only a folder has a model card to name it in."
            )
        console.print(escape(_WAYS[to.suffix](Path(run), to, depth), lines=True))
    elif (opened := open_run(Path(run))).spec.positions:
        if license_ is not None:
            raise InputError(f"--license {license_} came for {to}, which gets no model card.")
        console.print(escape(save_model(opened, to, opened.depth(depth)), lines=True))
    else:
        console.print(escape(_folder(Path(run), to, depth, license_), lines=True))


def _folder(run: Path, to: Path, depth: int | None, license_: str | None) -> str:
    from associated_learning.runs.hub.pretrained import PretrainedModel

    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} exists and is no empty folder; name a new one.")
    model = PretrainedModel.from_run(run, depth)
    model.generate_model_card(license=license_)  # before anything is written
    model.save_pretrained(to, model_card_kwargs={"license": license_})
    named = "" if license_ else ", which names no licence (--license)"
    return (
        f"{to}: model.safetensors, config.json and README.md, the model card{named}.\n"
        f"PretrainedModel.from_pretrained('{to}') reads it again."
    )


def _onnx(run: Path, to: Path, depth: int | None) -> str:
    from associated_learning.inference.export.onnx import export_onnx
    from associated_learning.inference.export.tensors import Signature

    opened = open_run(run)
    depth = opened.depth(depth)
    x, runner = _example(opened), runner_beside(to)
    described = _described(opened, run, Signature.of(x).names, depth)
    file = export_onnx(opened.net, x, to, depth, metadata={"export": json.dumps(described)})
    describe_export(to, described)
    write_runner(to, described["kind"], described["output"])
    asked = _ASKED.get(described["kind"], "FILE.csv")
    return (
        f"{to}: {', '.join(file.inputs)} to output; largest difference from the network "
        f"{file.largest_error:.1e}, in ONNX Runtime.\nLabels and preprocessing are in it, and in "
        f"{beside(to)}.\npython {runner} {asked} labels without PyTorch: it needs onnxruntime "
        f"and {_NEEDED[described['kind']]}."
    )


def _program(run: Path, to: Path, depth: int | None) -> str:
    from associated_learning.inference.export.exported_program import export_program
    from associated_learning.inference.export.tensors import Signature

    opened = open_run(run)
    depth, x = opened.depth(depth), _example(opened)
    described = _described(opened, run, Signature.of(x).names, depth)
    program = export_program(opened.net, x, depth)
    with replaced_file(to) as temporary:
        torch.export.save(program, temporary)
    describe_export(to, described)
    return (
        f"{to}: torch.export.load('{to}').module() runs it.\nLabels and preprocessing are in "
        f"{beside(to)}."
    )


_WAYS: dict[str, Callable[[Path, Path, int | None], str]] = {
    ".onnx": _onnx,
    ".pt2": _program,
}


def _example(opened: OpenRun) -> Any:
    """Return a random batch, on which the exported graph is held against the network."""
    spec, x = opened.spec, opened.spec.example()
    if spec.kind != "text":
        return torch.randn_like(x)
    return x._replace(values=torch.randint_like(x.values, spec.vocabulary_size))


def _described(opened: OpenRun, run: Path, inputs: tuple[str, ...], depth: int) -> dict[str, Any]:
    return export_description(opened, inputs, depth, temperature_of(run, depth))
