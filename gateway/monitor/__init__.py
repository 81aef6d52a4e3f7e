"""Whether live values are still as they were in training: counted by workers, judged elsewhere.

`layout` says where each value is counted, `folding` counts, `detector` says with a false-alarm rate
that the operator chose whether values left the reference, `comparison` shows both sides to people.
Only `folding`, and what it alone uses, knows numpy: who imports the package does not get it.
"""

from gateway.monitor.cells import Side
from gateway.monitor.layout import Layout, from_bytes, merge, to_bytes

__all__ = ["Layout", "Side", "from_bytes", "merge", "to_bytes"]
