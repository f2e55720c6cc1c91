"""A prefix as an ONNX file, checked in ONNX Runtime against the network it was made of."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram

from associated_learning.errors import InputError, needs_extra
from associated_learning.inference.export.exported_program import (
    export_program,
    takes_any_length,
    trial,
)
from associated_learning.inference.export.tensors import OUTPUT, Signature, tensor_model
from associated_learning.models.lstm_operator import OPERATION
from associated_learning.network import Network
from associated_learning.state.files import replaced_file
from associated_learning.tensors.copying import copied

__all__ = ["OnnxFile", "export_onnx"]

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_OPSET = 18


class OnnxFile(NamedTuple):
    """An ONNX file, and how well it agrees with its network.

    Attributes:
        path: Where it is.
        inputs: Names of its inputs.
        largest_error: Of any output, from the network's, over batches of several sizes and lengths.
    """

    path: Path
    inputs: tuple[str, ...]
    largest_error: float


def export_onnx(
    net: Network,
    x: Any,
    path: Path | str,
    depth: int | None = None,
    *,
    any_length: bool = True,
    tolerance: float = 1e-5,
    metadata: Mapping[str, str] | None = None,
) -> OnnxFile:
    """Export the first layers to ONNX, and check the file against them.

    Args:
        net: The network, in float32; it stays as it is.
        x: A batch of inputs.
        path: The file.
        depth: 1 to `Network.num_layers`; all layers by default.
        any_length: Whether token sequences may be of another length than those of ``x``.
        tolerance: Largest difference from the network; relative where outputs are above 1.
        metadata: Texts by name that the file is to hold (``metadata_props`` of ONNX).

    Raises:
        InputError: The extra "export" is not installed, the layers cannot be exported, or the
            file differs from them by more than ``tolerance``: then none is written.
    """
    for package in _NEEDED:  # before the work, not after it
        with needs_extra("export", "an ONNX file"):
            importlib.import_module(package)
    path, names = Path(path), Signature.of(x).names
    if OUTPUT in names:
        raise InputError(
            f"an input called {OUTPUT!r} came, as which the file knows what comes out; convert a "
            "model whose argument has another name."
        )
    net = copied(net.in_memory(depth)).to("cpu")
    program = export_program(net, x, depth, any_length=any_length)
    with replaced_file(path) as temporary, _quiet():
        _write(program, names, temporary)
        _keep_metadata(temporary, metadata or {})
        error = _largest_error(net, x, temporary, depth, takes_any_length(program))
        if not error <= tolerance:  # NaN is not either
            raise InputError(
                f"the ONNX file differs from the network by {error:.1e}, more than "
                f"{tolerance:.0e}; it was not written. Allow more with tolerance=..., if that "
                "is no matter."
            )
    return OnnxFile(path, names, error)


def _write(program: ExportedProgram, names: Sequence[str], path: Path) -> None:
    """Write a program as ONNX; what torch names as an input is named is renamed."""
    try:
        graph = torch.onnx.export(
            program,
            (),
            input_names=list(names),
            output_names=[OUTPUT],
            opset_version=_OPSET,
            dynamo=True,
            custom_translation_table={OPERATION: _lstm},
        )
    except Exception as error:  # torch raises errors of several types of its own here
        raise InputError(
            f"ONNX has no form for what these layers compute: {_cause(error)}. Export fewer "
            "layers, or a program of torch (export_program, a file .pt2)."
        ) from error
    assert graph is not None
    for node in graph.model.graph.all_nodes():
        for value in node.outputs:
            if value.name in names:
                value.name = f"{value.name}.computed"
    graph.save(str(path), external_data=False)


def _cause(error: BaseException) -> str:
    """Return the first line of the first error, of which the others tell."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _keep_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    with needs_extra("export", "an ONNX file"):
        import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)


def _largest_error(net: Network, x: Any, path: Path, depth: int | None, any_length: bool) -> float:
    """Run batches of one sample and of several, short and long, through both."""
    with needs_extra("export", "an ONNX file"):
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model = tensor_model(net, x, depth)
    names, errors = model.signature.names, []
    lengths: tuple[tuple[int, int | None], ...] = ((1, 1), (2, 5), (5, 12)) if any_length else ()
    for samples, length in (*lengths, (1, None), (5, None)):
        tensors = trial(x, length, samples)
        try:
            with torch.no_grad():
                expected = model(*tensors)
        except (IndexError, RuntimeError):
            if length is None:
                raise
            continue  # a length that the layers do not take, as beyond a table of positions
        fed = {one.name for one in session.get_inputs()}  # what has no influence is no input
        feed = {n: t.numpy() for n, t in zip(names, tensors, strict=True) if n in fed}
        (found,) = session.run([OUTPUT], feed)
        errors.append(_error(torch.from_numpy(found), expected))
    return max(errors)


def _error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs() / expected.abs().clamp(min=1)).max())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and its advice to others from our users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _lstm(values: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    """Translate the operation: ONNX has its axes and gates in another order."""
    with needs_extra("export", "an ONNX file"):
        from onnxscript import opset18 as op

    hidden = int(w_hh.shape[1])

    def gates(weights: Any) -> Any:
        i, f, g, o = (
            op.Slice(weights, _ints(k * hidden), _ints((k + 1) * hidden), _ints(0))
            for k in range(4)
        )
        return op.Concat(i, o, f, g, axis=0)

    def _ints(*values: int) -> Any:
        return op.Constant(value_ints=list(values))

    out, _, c = op.LSTM(
        op.Transpose(values, perm=[1, 0, 2]),
        op.Unsqueeze(gates(w_ih), _ints(0)),
        op.Unsqueeze(gates(w_hh), _ints(0)),
        op.Unsqueeze(op.Concat(gates(b_ih), gates(b_hh), axis=0), _ints(0)),
        hidden_size=hidden,
    )
    # [T, directions, B, H] to [B, T, H]
    return op.Transpose(op.Squeeze(out, _ints(1)), perm=[1, 0, 2]), c
