"""What flows where in a recorded run: when each tensor is made and used, and what it depends on."""

from __future__ import annotations

import bisect
import functools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from associated_learning.conversion.tracing.call import Call, Recording, first_tensor, leaves
from associated_learning.conversion.tracing.containers import modules_in
from associated_learning.conversion.tracing.resizing import Difference
from associated_learning.tensors.modes import training

__all__ = ["Flow", "Use", "Value", "is_activation"]

_LIKE = {
    "new_ones", "new_zeros", "new_full", "new_empty", "ones_like", "zeros_like", "full_like",
    "empty_like", "rand_like", "randn_like",
}  # fmt: skip
_DRAWS = {
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "bernoulli", "bernoulli_",
    "uniform_", "normal", "normal_", "random_", "exponential_", "multinomial",
}  # fmt: skip
_AS = {"type_as", "view_as", "expand_as", "reshape_as"}


@dataclass(frozen=True)
class Use:
    """A use of a tensor: the event's time, and the call that uses it."""

    time: int
    call: Call


@dataclass(eq=False)
class Value:
    """A tensor of the run.

    Attributes:
        tensor: The tensor; it is held, so that its id stays its own.
        born: Time at which it was made; -1 for what was there before the run.
        maker: The call that made it; None for what was there before.
        sources: One bit for each parameter that it depends on, and one for the data.
        uses: Its uses, by time.
    """

    tensor: Tensor
    born: int
    maker: Call | None
    sources: int
    uses: list[Use] = field(default_factory=list)

    def last_use(self, until: int) -> Use | None:
        """Return the last use before ``until``."""
        return next((use for use in reversed(self.uses) if use.time < until), None)

    def crosses(self, time: int, until: int) -> bool:
        """Whether it is used both before a time and from it on, before ``until``."""
        last = self.last_use(until)
        return last is not None and self.uses[0].time < time <= last.time

    def first_use(self, since: int) -> Use | None:
        """Return the first use at or after ``since``."""
        return next((use for use in self.uses if use.time >= since), None)


class Flow:
    """The data flow of a recording, tensor by tensor.

    Args:
        recording: The run.
        data: Names of the inputs that carry the data, unlike masks and positions.
        differences: What a run on a batch of another size did differently.

    Attributes:
        values: Every tensor that the run was given or made, by id.
        state: Every parameter and buffer, by id, with its uses.
        names: Name of each parameter and buffer, by id; of a tied one, the first.
        updated: Ids of the buffers that training changes.
    """

    def __init__(
        self, recording: Recording, data: set[str], differences: Iterable[Difference] = ()
    ) -> None:
        self.recording = recording
        self.differences = list(differences)
        self.values: dict[int, Value] = {}
        self.state: dict[int, Value] = {}
        self.names: dict[int, str] = {}
        self._sources: dict[int, int] = {}
        self._written: dict[int, int] = {}
        self._drawn: set[int] = set()
        self._handed: list[tuple[Value, Value, Call]] = []
        for name, parameter in recording.model.named_parameters():
            self._add_state(name, parameter, 2 << len(self.state))
        for name, buffer in recording.model.named_buffers():
            self._add_state(name, buffer, 0)
        for name, tensor in recording.inputs.items():
            self.values[id(tensor)] = Value(tensor, -1, None, int(name in data))
        self._visit(recording.root)
        # caches and hidden states may come out too; what counts is the first, the model's answer
        first = first_tensor(recording.root.output)
        if first is not None:
            self._use(first, recording.root.end, recording.root)
        for alias, source, call in reversed(self._handed):
            if alias.uses:  # an output that nothing takes up is no use of what it is an alias of
                bisect.insort(source.uses, Use(call.end, call), key=lambda use: use.time)
        self._forget_idle(recording.root)

    def _forget_idle(self, call: Call) -> None:
        """Forget the uses by calls whose results nothing takes: a tied head beside the answer."""
        for child in reversed(call.children):
            self._forget_idle(child)
        made = [leaf for leaf in leaves(call.output) if isinstance(leaf, Tensor)]
        if call.children or call.mutated or call.reads_data or not made:
            return
        found = [value for value in map(self._value, made) if value is not None]
        if any(value.maker is not call or value.uses for value in found):
            return
        for tensor in self._taken(call):
            taken = self._value(tensor)
            if taken is not None:
                taken.uses = [use for use in taken.uses if use.call is not call]

    @cached_property
    def updated(self) -> set[int]:
        several = (k for k, v in self.state.items() if not v.sources and len(v.uses) > 1)
        return self.changed(several)

    def changed(self, keys: Iterable[int]) -> set[int]:
        """Return which of these are ids of buffers that training changes."""
        buffers = [self.state[key].tensor for key in keys if not self.state[key].sources]
        return _changed_in_training(self.recording, buffers) if buffers else set()

    def _add_state(self, name: str, tensor: Tensor, source: int) -> None:
        self.state[id(tensor)] = Value(tensor, -1, None, source)
        self.names[id(tensor)] = name

    def _visit(self, call: Call) -> None:
        for child in call.children:
            self._visit(child)
        if call.children:
            self._hand_through(call)
        else:
            self._compute(call)

    def _hand_through(self, call: Call) -> None:
        """A module that returns its own argument makes an alias of it at its end.

        What it returns and no call inside has made, as far as could be seen, is made by the
        whole of it: TorchScript and transforms such as vmap are not looked into.
        """
        for leaf in leaves(call.output):
            if not isinstance(leaf, Tensor) or self._value(leaf) is not None:
                continue
            source = self.recording.aliases.get(id(leaf))
            if source is not None:
                origin = self._value(source) or Value(source, -1, None, 0)
                self.values[id(leaf)] = Value(leaf, call.end, call, origin.sources)
                self._handed.append((self.values[id(leaf)], origin, call))
            elif call.module is not None and call.path:
                self.values[id(leaf)] = Value(leaf, call.end, call, self._all_used(call))

    def _all_used(self, call: Call) -> int:
        found = (self._value(tensor) for tensor in self._taken(call))
        return functools.reduce(operator.or_, (v.sources for v in found if v is not None), 0)

    def _compute(self, call: Call) -> None:
        found = [self._use(tensor, call.begin, call) for tensor in self._taken(call)]
        sources = functools.reduce(operator.or_, found[: _read_for_content(call)], 0)
        self._sources[id(call)] = sources
        if getattr(call.target, "__name__", "") in _DRAWS or self.draws(call):
            made = [leaf for leaf in leaves(call.output) if isinstance(leaf, Tensor)]
            self._drawn |= {_memory(tensor) for tensor in (*made, *call.mutated)}
        for tensor in call.mutated:  # all that lies in the same memory has changed: views, buffers
            key = _memory(tensor)
            self._written[key] = self._written.get(key, 0) | sources
        for leaf in leaves(call.output):
            if isinstance(leaf, Tensor) and self._value(leaf) is None:
                self.values[id(leaf)] = Value(leaf, call.end, call, sources)
                written = self._written.get(_memory(leaf), 0) if self._written else 0
                self.values[id(leaf)].sources |= written

    def _taken(self, call: Call) -> Iterator[Tensor]:
        yield from call.tensors()
        for module in modules_in((call.target, call.args, call.kwargs)):
            yield from module.parameters()
            yield from module.buffers()

    def _use(self, tensor: Tensor, time: int, call: Call) -> int:
        """Note a use and return the tensor's sources."""
        value = self._value(tensor)
        if value is None:  # a constant that a module keeps
            return 0
        value.uses.append(Use(time, call))
        if self._written and id(tensor) in self.values:
            value.sources |= self._written.get(_memory(tensor), 0)
        return value.sources | (self._written.get(_memory(tensor), 0) if self._written else 0)

    def _value(self, tensor: Tensor) -> Value | None:
        return self.values.get(id(tensor)) or self.state.get(id(tensor))

    def reads_data(self, call: Call) -> bool:
        """Whether a call made a Python value of what depends on the data or on parameters."""
        return call.reads_data and bool(self._sources[id(call)])

    def draws(self, call: Call) -> bool:
        """Whether a call takes what was drawn at random, or what was made of it."""
        return bool(self._drawn) and any(_memory(t) in self._drawn for t in call.tensors())

    def live(self, time: int, until: int) -> list[Value]:
        """Return what was made before a time and is used from it on, before ``until``."""
        found = []
        for value in self.values.values():
            last = value.last_use(until)
            if value.born < time and last is not None and last.time >= time:
                found.append(value)
        return found

    def parameters(self) -> list[Value]:
        """Return the parameters."""
        return [value for value in self.state.values() if value.sources]


def _read_for_content(call: Call) -> int | None:
    """Return how many of a call's tensors count by their content, not their shape; None: all."""
    name = getattr(call.target, "__name__", "")
    if name in _LIKE or call.opaque:
        return 0
    return 1 if name in _AS else None


def _memory(tensor: Tensor) -> int:
    """Return what tells apart the memory that tensors lie in; views share it."""
    with torch._C.DisableTorchFunction():
        storage: int = tensor.untyped_storage()._cdata
        return storage


def is_activation(value: Value) -> bool:
    """Whether a tensor depends on a parameter and on the data; a mask or position bias does not."""
    return bool(value.sources & 1) and value.sources > 1


def _changed_in_training(recording: Recording, buffers: list[Tensor]) -> set[int]:
    """Return the ids of the buffers that a run in training mode changes; it is undone.

    All of them, if the model cannot run in training mode on the example.
    """
    model, root = recording.model, recording.root
    before = [buffer.clone() for buffer in buffers]
    with training(model), torch.no_grad():
        try:
            model(*root.args, **root.kwargs)
        except Exception:  # whatever the model's own forward raises without labels, say
            return {id(buffer) for buffer in buffers}
        pairs = zip(buffers, before, strict=True)
        return {id(now) for now, then in pairs if not torch.equal(now, then)}
