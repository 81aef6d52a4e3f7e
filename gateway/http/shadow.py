"""Admin route: how a challenger in shadow stands to the live answers."""

import asyncio

from litestar import get
from litestar.di import NamedDependency

from gateway.http.access import open_to
from gateway.http.rollouts import RolloutId
from gateway.metrics import Meter
from gateway.metrics.snapshot import total
from gateway.security import Role
from gateway.shadow.report import ShadowReport, report
from gateway.shadow.state import ShadowFiles
from registry import rolling_out
from registry.registry import Registry


@get(
    "/admin/rollouts/{rollout:str}/shadow",
    opt=open_to(Role.VIEWER, Role.DEPLOYER, Role.APPROVER, Role.AUDITOR, Role.ADMIN),
)
async def show_shadow(
    registry: NamedDependency[Registry],
    meter: NamedDependency[Meter],
    shadow_files: NamedDependency[ShadowFiles],
    rollout: RolloutId,
) -> ShadowReport:
    """Show what the shadow of a rollout has shown: agreement, distances, the worst rows."""
    found = await asyncio.to_thread(rolling_out.find_rollout, registry.store, rollout)
    sums = await asyncio.to_thread(shadow_files.read, found.id)
    return report(found, sums, total(await meter.read()).sheds)
