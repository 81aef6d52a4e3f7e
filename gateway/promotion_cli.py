"""`gateway promotions` and `promotion-policy`: what a version needs, and who decides."""

from pathlib import Path

import click

from gateway.security import Role
from gateway.truth.apart import matured_scores
from registry import promoting
from registry.console import (
    Commands,
    data_dir_option,
    local_author,
    open_registry,
    payload_key_file,
    print_json,
    print_table,
    printable,
)
from registry.promoting import Review
from registry.promotion_case import promotion_policy as read_policy
from registry.promotion_evidence import Check
from registry.promotion_file import read_promotion_policy
from registry.promotions import PromotionState
from registry.registry import Registry
from registry.show import print_move

_reason_option = click.option("--reason", required=True, help="Why; it is recorded.")


def _open(data_dir: Path) -> Registry:
    """Open the registry of a data directory, with the scores that a policy may ask for."""
    registry = open_registry(data_dir)
    registry.truth = matured_scores(data_dir, payload_key_file())
    return registry


@click.group("promotions", cls=Commands)
def promotions() -> None:
    """Ask to promote a version, and decide on what others ask; no server needs to run."""


@promotions.command("list")
@data_dir_option
@click.option("--model", help="Only of this model.")
@click.option("--all", "is_all", is_flag=True, help="Also those that were decided.")
def list_promotions(data_dir: Path, model: str | None, *, is_all: bool) -> None:
    """List the requests that wait for another person."""
    found = promoting.reviews(_open(data_dir), model, only_pending=not is_all)
    print_table(
        ("id", "model", "version", "champion", "asked by", "reason", "until", "state"),
        (
            (
                one.id, one.model, one.version, one.champion, one.author, one.reason,
                one.expires, _state(review),
            )
            for review in found
            for one in [review.promotion]
        ),
    )  # fmt: skip


@promotions.command("show")
@data_dir_option
@click.argument("promotion")
def show(data_dir: Path, promotion: str) -> None:
    """Show what a request stands on, and what has changed since."""
    review = promoting.review(_open(data_dir), promotion)
    one = review.promotion
    lines = [
        ("request", one.id),
        ("version", f"{one.version} of {one.model}, in place of {one.champion or 'none'}"),
        ("digest", one.artifact),
        ("evidence", one.evidence_digest),
        ("asked by", f"{one.author}: {one.reason}"),
        ("until", one.expires),
        ("state", _state(review)),
    ]
    if one.decided is not None:
        lines.append(("decided", f"by {one.by}: {one.decision} (record {one.record_id})"))
    for name, value in lines:
        click.echo(f"{name:<10}{printable(value)}")
    _print_checks(one.checks)
    click.echo("The evidence:")
    print_json(one.evidence)


@promotions.command("request")
@data_dir_option
@click.argument("model")
@click.argument("version", type=int)
@_reason_option
def request(data_dir: Path, model: str, version: int, reason: str) -> None:
    """Ask to promote VERSION of MODEL; it is done at once where nobody else is needed."""
    registry = _open(data_dir)
    print_move(promoting.ask(registry, model, version, reason, local_author()))


@promotions.command("approve")
@data_dir_option
@click.argument("promotion")
@_reason_option
def approve(data_dir: Path, promotion: str, reason: str) -> None:
    """Make the version that another person asked for the champion."""
    print_move(promoting.approve(_open(data_dir), promotion, reason, local_author()))


@promotions.command("reject")
@data_dir_option
@click.argument("promotion")
@_reason_option
def reject(data_dir: Path, promotion: str, reason: str) -> None:
    """End a request; nothing that is live changes."""
    promoting.reject(_open(data_dir), promotion, reason, local_author())
    click.echo(f"The request {promotion} is rejected.")


@click.command("promotion-policy")
@data_dir_option
@click.argument("model")
@click.option(
    "--set",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A policy to set, in a file (.toml, .json).",
)
def promotion_policy(data_dir: Path, model: str, file: Path | None) -> None:
    """Show what a version of MODEL needs to become champion, or set it."""
    registry = _open(data_dir)
    registry.versions(model)
    if file is not None:
        roles = frozenset(Role)
        policy = read_promotion_policy(file, roles)
        promoting.set_promotion_policy(registry, model, policy, roles, local_author())
    print_json(read_policy(registry.store, model))


def _state(review: Review) -> str:
    promotion = review.promotion
    if promotion.state is PromotionState.PENDING and review.changes:
        return f"cannot be approved: {'; '.join(review.changes)}"
    return promotion.state.value


def _print_checks(checks: tuple[Check, ...]) -> None:
    print_table(
        ("asked", "there", "found"),
        ((check.need, "yes" if check.is_met else "no", check.found) for check in checks),
        "What the policy asks",
    )
