"""What is asked of every server: how many rows, of which model, over how many connections."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from loadtests.errors import LoadTestError
from loadtests.model import Trained, train, train_trees

CONNECTIONS = 32


class Workload(Struct, frozen=True, kw_only=True):
    """One kind of request, under an id of its own each time.

    `is_large` asks in the form that a server has for large batches, `also` names further numbers of
    connections. More than one worker share both cores with the load, so only capacity is measured.
    """

    name: str
    title: str
    rows: int
    model: Callable[[], Trained] = train
    is_large: bool = False
    connections: int = CONNECTIONS
    also: tuple[int, ...] = ()
    workers: int = 1

    @property
    def is_apart(self) -> bool:
        """Whether server and load have a core each."""
        return self.workers == 1


W1 = Workload(name="W1", title="1 row of 30 floats", rows=1, also=(1, 128))
WORKLOADS = (
    W1,
    Workload(name="W2", title="64 rows", rows=64),
    Workload(name="W3", title="1,024 rows, binary where it is spoken", rows=1024, is_large=True),
    Workload(name="GB", title="1 row, 100 boosted trees", rows=1, model=train_trees),
    Workload(name="2 workers", title="W1, both cores shared with the load", rows=1, workers=2),
    Workload(name="4 workers", title="W1, both cores shared with the load", rows=1, workers=4),
)


def choose(names: Sequence[str]) -> list[Workload]:
    """Return the workloads of these names, or all where none is named. Raises LoadTestError."""
    known = {workload.name: workload for workload in WORKLOADS}
    for name in names:
        if name not in known:
            raise LoadTestError(f"There is no workload {name!r}; there are {', '.join(known)}.")
    return [known[name] for name in names or known]
