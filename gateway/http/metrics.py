"""The metrics of all workers, for Prometheus."""

from litestar import get
from litestar.di import NamedDependency

from gateway.http.access import open_to
from gateway.metrics import Meter
from gateway.metrics.exposition import CONTENT_TYPE, write_text
from gateway.security import Role


@get("/metrics", opt=open_to(Role.VIEWER), media_type=CONTENT_TYPE)
async def show_metrics(meter: NamedDependency[Meter]) -> str:
    """Show the metrics of all workers in Prometheus' text format."""
    return write_text(await meter.read())
