"""Parametrized modules (weight norm, say) cannot be pickled as torch leaves them; here they can."""

from __future__ import annotations

import copyreg
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

__all__ = ["allow_pickling"]


def allow_pickling(model: nn.Module) -> None:
    """Let the parametrized modules of a model be pickled, and so be sent to another process.

    Torch gives each of them a class of its own, made on the spot, which pickle cannot find.
    """
    for module in model.modules():
        if parametrize.is_parametrized(module):
            copyreg.pickle(type(module), _reduce)


def _reduce(module: nn.Module) -> tuple[Any, ...]:
    state = dict(vars(module))
    state["_modules"] = {k: m for k, m in module._modules.items() if k != "parametrizations"}
    # weight norm's reader of old checkpoints is a local function, which pickle cannot find
    # either; registering the parametrization again brings it back
    state["_load_state_dict_pre_hooks"] = type(module._load_state_dict_pre_hooks)()
    parametrizations: Any = module.parametrizations
    parts = {
        name: (getattr(module, name).detach().clone(), kept.unsafe, list(kept), _tensors(kept))
        for name, kept in parametrizations.items()
    }
    return _rebuild, (parametrize.type_before_parametrizations(module), state, parts)


def _tensors(kept: nn.Module) -> dict[str, Any]:
    return {**dict(kept.named_parameters()), **dict(kept.named_buffers())}


def _rebuild(kind: type[nn.Module], state: dict[str, Any], parts: dict[str, Any]) -> nn.Module:
    module = kind.__new__(kind)
    vars(module).update(state)
    for name, (tensor, unsafe, functions, tensors) in parts.items():
        module.register_parameter(name, nn.Parameter(tensor))
        for function in functions:
            parametrize.register_parametrization(module, name, function, unsafe=unsafe)
        owner: Any = module.parametrizations
        for key, value in tensors.items():
            path, _, last = key.rpartition(".")
            holder = owner[name].get_submodule(path)
            holder._parameters.update({last: value} if last in holder._parameters else {})
            holder._buffers.update({last: value} if last in holder._buffers else {})
    return module
