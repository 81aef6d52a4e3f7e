"""What a request asks for beside its inputs: its parameters, its outputs and their form."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.protocol.messages import ROUTING_KEY, Parameter, RequestedOutput
from gateway.protocol.refusal import Refusal, refuse
from registry.datatypes import Datatype
from registry.manifest import Signature
from registry.names import is_routing_key, is_subject

_INT64_MIN, _INT64_MAX, _UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_SCALARS = frozenset({str, bool, int, float})
_RESERVED = ("sequence_", "triton_", "headers")


class Wishes(Struct, frozen=True):
    """The parameters of a request, and what those that the protocol knows say."""

    parameters: Mapping[str, Parameter]
    priority: int = 0
    timeout_us: int | None = None
    is_binary: bool = False
    subject: str | None = None


NO_WISHES = Wishes({})


def read_wishes(declared: Any) -> Wishes | Refusal:
    """Read the parameters of a request. A name that is reserved and not served is refused."""
    if declared is None:
        return NO_WISHES
    if not _are_parameters(declared):
        return refuse("bad-parameters")
    if any(name.startswith(_RESERVED) for name in declared):
        return refuse("reserved-parameter")
    priority = declared.get("priority", 0)
    timeout_us = declared.get("timeout", 0)
    is_binary = declared.get("binary_data_output", False)
    subject = declared.get("subject")
    routing_key = declared.get(ROUTING_KEY)
    if not (_is_count(priority) and _is_count(timeout_us) and type(is_binary) is bool):
        return refuse("bad-parameters")
    if not (_is_text(subject, is_subject) and _is_text(routing_key, is_routing_key)):
        return refuse("bad-parameters")
    return Wishes(declared, priority, timeout_us or None, is_binary, subject)


class OutputChoice:
    """Chooses outputs of one signature as requests name them."""

    __slots__ = ("_all", "_known", "_labels")

    def __init__(self, signature: Signature) -> None:
        self._known = {spec.name: spec.datatype for spec in signature.outputs}
        self._labels = signature.labels
        self._all = {
            is_binary: tuple(RequestedOutput(name, is_binary) for name in self._known)
            for is_binary in (False, True)
        }

    def all(self, *, is_binary: bool) -> tuple[RequestedOutput, ...]:
        """Return every output in one form."""
        return self._all[is_binary]

    def read(self, declared: Any, *, is_binary: bool) -> tuple[RequestedOutput, ...] | Refusal:
        """Return the outputs asked for, all where none are; `is_binary` where they do not say."""
        if declared is None or declared == []:
            return self._all[is_binary]
        # More entries than outputs cannot all be different, so their names need not be looked at.
        if not isinstance(declared, list) or len(declared) > len(self._known):
            return refuse("bad-outputs")
        chosen = self._choose(declared, is_binary)
        return refuse("bad-outputs") if chosen is None else chosen

    def _choose(
        self, declared: Sequence[Any], is_binary: bool
    ) -> tuple[RequestedOutput, ...] | None:
        chosen: dict[str, RequestedOutput] = {}
        for output in declared:
            name = output.get("name") if isinstance(output, dict) else None
            if not isinstance(name, str) or name not in self._known or name in chosen:
                return None
            wanted = _read_output(name, output.get("parameters"), is_binary)
            if wanted is None or (wanted.classes and self._known[name] is Datatype.BYTES):
                return None
            chosen[name] = self._with_labels(wanted)
        return tuple(chosen.values())

    def _with_labels(self, wanted: RequestedOutput) -> RequestedOutput:
        labels = self._labels.get(wanted.name, ()) if wanted.classes else ()
        return replace(wanted, labels=labels) if labels else wanted


def _read_output(name: str, declared: Any, is_binary: bool) -> RequestedOutput | None:
    """Return an output in the form its parameters ask for; None if they make no sense."""
    if declared is None:
        return RequestedOutput(name, is_binary)
    if not isinstance(declared, dict) or "shared_memory_region" in declared:
        return None
    form = declared.get("binary_data", is_binary)
    classes = declared.get("classification", 0)
    if type(form) is not bool or not _is_count(classes):
        return None
    return RequestedOutput(name, form, classes)


def _are_parameters(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    for parameter in value.values():
        kind = type(parameter)
        if kind not in _SCALARS:
            return False
        if kind is int and not _INT64_MIN <= parameter <= _UINT64_MAX:
            return False
    return True


def _is_text(value: Any, is_accepted: Callable[[str], bool]) -> bool:
    """Say whether a parameter is not given, or is a text that is accepted."""
    return value is None or (type(value) is str and is_accepted(value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _INT64_MAX
