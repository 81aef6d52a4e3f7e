"""The stored distribution of each input and output: derived once from data, then frozen.

Live traffic is counted in the same places, so counts of any two sets of rows simply add.
"""

from registry.reference.derive import derive_reference
from registry.reference.numeric import quantile

__all__ = ["derive_reference", "quantile"]
