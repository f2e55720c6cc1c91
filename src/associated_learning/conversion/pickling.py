"""Some modules cannot be pickled as torch or transformers leave them; here they can."""

from __future__ import annotations

import copyreg
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

__all__ = ["allow_pickling"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_load_state_dict_pre_hooks")


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
    return "<locals>" in getattr(getattr(hook, "hook", hook), "__qualname__", "")


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
