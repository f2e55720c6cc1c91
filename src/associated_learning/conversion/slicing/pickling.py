"""Some modules cannot be pickled as torch or transformers leave them; here they can."""

from __future__ import annotations

import copyreg
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

__all__ = ["allow_pickling"]

_LIBRARIES = ("torch", "transformers")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_load_state_dict_pre_hooks")
_FORMATS = ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format")


def allow_pickling(model: nn.Module) -> None:
    """Let every module of a model be pickled, and so be sent to another process.

    Torch gives each parametrized module (weight norm, say) a class of its own, made on the spot,
    which pickle cannot find; transformers hangs local functions on modules, to collect hidden
    states, which it cannot find either. The former are parametrized again where they arrive, the
    latter stay behind.
    """
    for module in model.modules():
        if parametrize.is_parametrized(module):
            copyreg.pickle(type(module), _reduce_parametrized)
        elif any(_is_local(hook) for name in _HOOKS for hook in vars(module)[name].values()):
            copyreg.pickle(type(module), _reduce_hooked)


def _is_local(hook: Any) -> bool:
    """Whether a hook is a local function of a library; a user's own must not be lost silently."""
    function = getattr(hook, "hook", hook)
    library = str(getattr(function, "__module__", "")).partition(".")[0]
    return "<locals>" in getattr(function, "__qualname__", "") and library in _LIBRARIES


def _state(module: nn.Module) -> dict[str, Any]:
    """Return a module's attributes without the hooks that pickle cannot find."""
    state = dict(vars(module))
    for name in _HOOKS:
        hooks = state[name]
        state[name] = type(hooks)((k, hook) for k, hook in hooks.items() if not _is_local(hook))
    return state


def _reduce_hooked(module: nn.Module) -> tuple[Any, ...]:
    return _rebuild_hooked, (type(module), _state(module))


def _rebuild_hooked(kind: type[nn.Module], state: dict[str, Any]) -> nn.Module:
    module = kind.__new__(kind)
    vars(module).update(state)
    return module


def _reduce_parametrized(module: nn.Module) -> tuple[Any, ...]:
    state = _state(module)
    state["_modules"] = {k: m for k, m in module._modules.items() if k != "parametrizations"}
    parametrizations: Any = module.parametrizations
    parts = {
        name: (getattr(module, name).detach().clone(), kept.unsafe, list(kept), _tensors(kept))
        for name, kept in parametrizations.items()
    }
    return _rebuild_parametrized, (parametrize.type_before_parametrizations(module), state, parts)


def _tensors(kept: nn.Module) -> dict[str, Any]:
    return {**dict(kept.named_parameters()), **dict(kept.named_buffers())}


def _rebuild_parametrized(
    kind: type[nn.Module], state: dict[str, Any], parts: dict[str, Any]
) -> nn.Module:
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


def _format(name: str) -> torch.memory_format:
    found: torch.memory_format = getattr(torch, name)
    return found


def _reduce_format(value: torch.memory_format) -> tuple[Any, ...]:
    return _format, (next(name for name in _FORMATS if getattr(torch, name) is value),)


# torch.save, unlike pickle, cannot find a memory format, which many a recorded call takes
copyreg.pickle(torch.memory_format, _reduce_format)
