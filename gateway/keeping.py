"""What a worker keeps of the payloads of one version: its model's policy, resolved at its loading.

A pseudonym is HMAC-SHA-256(key, name || 0x00 || element) in hexadecimal, as BYTES of the same
shape: `name` is that of the input or output, `element` its text in UTF-8, a number in decimal.
Equal elements of one name have equal pseudonyms, in every model, and nobody can test a guess
without the key. A bucket keeps the greatest edge that is not above the value, in the datatype of
the value; what lies below every edge becomes the least value of the datatype (-inf of floating
point), and NaN stays.
"""

import hmac
from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from registry.datatypes import INTEGER_BOUNDS
from registry.manifest import Signature, TensorSpec
from registry.payload_policy import (
    How,
    Mode,
    PayloadPolicy,
    Treatment,
    reduction,
    treatment_fault,
)
from registry.tensors import NUMPY_TYPES, Tensor
from registry.vault import Vault

_SAMPLED_BYTES = 8
_DROP = Treatment(how=How.DROP)
_KEEP = Treatment(how=How.KEEP)


class Keeping(Struct, frozen=True, kw_only=True):
    """A payload policy for one signature.

    `reduced` is what records say of it, `sample_below` the bound under which a salt, whose first
    eight bytes are a number, has its payload kept.
    """

    policy: PayloadPolicy
    reduced: tuple[str, ...]
    _inputs: "dict[str, _Reduction]"
    _outputs: "dict[str, _Reduction]"
    _sample_below: int

    @property
    def is_off(self) -> bool:
        return self.policy.mode is Mode.OFF

    def inputs(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return what is committed to of the inputs of a request."""
        return _reduce(tensors, self._inputs) if self._inputs else tensors

    def outputs(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return what is committed to of the outputs of an answer."""
        return _reduce(tensors, self._outputs) if self._outputs else tensors

    def limit(self, payload_limit: int) -> int:
        """Return how many bytes of a payload are kept at most: the policy's, else the gateway's."""
        return payload_limit if self.policy.limit is None else self.policy.limit

    def refusal(self, salt: bytes) -> str | None:
        """Say why the payload with this salt is committed to and not kept; None if it is kept.

        The salt decides, so that whoever is shown it can see that the payload was not chosen.
        """
        if self.policy.mode is Mode.DIGEST:
            return "digest"
        if self.policy.mode is Mode.SAMPLED:
            drawn = int.from_bytes(salt[:_SAMPLED_BYTES])
            return None if drawn < self._sample_below else "unsampled"
        return None


def resolve_policy(policy: PayloadPolicy, signature: Signature, vault: Vault) -> Keeping | None:
    """Fit a policy to a signature; None where everything is kept as it is.

    An input or output that cannot be treated as the policy says, since the version came after the
    policy, is dropped. Raises PayloadKeyMissing where pseudonyms need a key that is not there.
    """
    key = vault.pseudonym_key() if policy.needs_key else b""
    inputs = _reductions(policy.inputs, signature.inputs, key)
    outputs = _reductions(policy.outputs, signature.outputs, key)
    if policy.mode is Mode.FULL and policy.limit is None and not inputs and not outputs:
        return None
    return Keeping(
        policy=policy,
        reduced=tuple(
            reduction(name, one.treatment)
            for reductions in (inputs, outputs)
            for name, one in reductions.items()
        ),
        _inputs=inputs,
        _outputs=outputs,
        _sample_below=int((policy.share or 0.0) * (1 << (8 * _SAMPLED_BYTES))),
    )


class _Reduction(Struct, frozen=True):
    """How one input or output is reduced."""

    treatment: Treatment
    spec: TensorSpec
    key: bytes

    def apply(self, tensor: Tensor) -> Tensor | None:
        """Return what is left of a tensor; None where nothing is."""
        if self.treatment.how is How.PSEUDONYMISE:
            return self._pseudonyms(tensor)
        if self.treatment.how is How.BUCKET:
            return self._lower_edges(tensor)
        return None

    def _pseudonyms(self, tensor: Tensor) -> Tensor:
        prefix = self.spec.name.encode() + b"\0"
        codes = np.empty(tensor.size, object)
        codes[:] = [
            hmac.digest(self.key, prefix + _text(element), "sha256").hex()
            for element in tensor.ravel().tolist()
        ]
        return codes.reshape(tensor.shape)

    def _lower_edges(self, tensor: Tensor) -> Tensor:
        kind = NUMPY_TYPES[self.spec.datatype]
        bounds = INTEGER_BOUNDS.get(self.spec.datatype)
        least = -np.inf if bounds is None else bounds[0]
        edges = np.array(self.treatment.edges, kind)
        lower = np.array([least, *self.treatment.edges], kind)
        found = lower[np.searchsorted(edges, tensor.ravel(), side="right")]
        if bounds is None:
            found = np.where(np.isnan(tensor.ravel()), tensor.ravel(), found)
        return found.astype(kind).reshape(tensor.shape)


def _reductions(
    treatments: Mapping[str, Treatment], specs: tuple[TensorSpec, ...], key: bytes
) -> dict[str, _Reduction]:
    reductions: dict[str, _Reduction] = {}
    for spec in specs:
        treatment = treatments.get(spec.name, _KEEP)
        if treatment_fault(spec, treatment):
            treatment = _DROP
        if treatment.how is not How.KEEP:
            reductions[spec.name] = _Reduction(treatment, spec, key)
    return reductions


def _reduce(
    tensors: Mapping[str, Tensor], reductions: Mapping[str, _Reduction]
) -> Mapping[str, Tensor]:
    reduced: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        reduction = reductions.get(name)
        left = tensor if reduction is None else reduction.apply(tensor)
        if left is not None:
            reduced[name] = left
    return reduced


def _text(element: str | bytes | int) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()
