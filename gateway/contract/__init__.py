"""The values of a request and of its answer against the contract of a version.

`checker` finds what breaks which rule; `numbers`, `texts` and `joint` know how each kind of rule is
tested. `violations` are what is found, by what is done about it, and `labels` how it is told.
`enforcement` says what is done: after the warm-up, and while not too many requests are refused,
which `cap` decides.
"""

from gateway.contract.cap import RefusalCap
from gateway.contract.checker import Checker, compile_contract, compile_outputs
from gateway.contract.enforcement import Enforcement
from gateway.contract.violations import Violations

__all__ = [
    "Checker",
    "Enforcement",
    "RefusalCap",
    "Violations",
    "compile_contract",
    "compile_outputs",
]
