"""The route that erases a person."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from gateway.erasing import Erasure, erase
from gateway.http.access import author_of, open_to
from gateway.security import Role
from gateway.settings import Settings
from registry.registry import Registry


class ErasureRequest(Struct, forbid_unknown_fields=True):
    """`subject` is what requests named; the reason is recorded, and must not name the person."""

    subject: str
    reason: str


@post("/audit/erasures", opt=open_to(Role.ADMIN), status_code=200)
async def erase_subject(
    request: Request[Any, Any, Any],
    settings: NamedDependency[Settings],
    registry: NamedDependency[Registry],
    data: JSONBody[ErasureRequest],
) -> Erasure:
    """Destroy all that is kept of a person; the records stay, and verify as before."""
    return await erase(
        registry,
        settings.journal_dir,
        subject=data.subject,
        reason=data.reason,
        author=author_of(request),
    )
