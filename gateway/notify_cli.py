"""`gateway notify`: whom to tell of what happens, and what could not be delivered."""

import importlib
from pathlib import Path
from typing import Any

import click

from gateway.notifications.destinations import NewDestination, close_destination, open_destination
from gateway.notifications.dispatch import source_of
from gateway.notifications.schedule import describe_failure
from gateway.notifications.secrets import Secrets
from gateway.settings import DESTINATIONS
from registry import notifications
from registry.announcing import make_event
from registry.console import (
    Commands,
    data_dir_option,
    local_author,
    open_registry,
    print_table,
)
from registry.events import ANNOUNCED, Delivery, DeliveryState, EventType, Form
from registry.recording import append_record
from registry.times import now


@click.group("notify", cls=Commands)
def notify() -> None:
    """Tell people what happens; no server needs to run."""


@notify.command("add")
@data_dir_option
@click.argument("name")
@click.option("--url", required=True, help="Where to send; https, or http on this machine.")
@click.option(
    "--form",
    type=click.Choice([form.value for form in Form]),
    default=Form.STANDARD.value,
    show_default=True,
    help="A signed CloudEvent, or a message for people in Slack.",
)
@click.option("--model", "models", multiple=True, help="Only of this model; may be repeated.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice([kind.value for kind in ANNOUNCED]),
    help="Only what is of this type; may be repeated.",
)
@click.option("--allow-plain", is_flag=True, help="Allow http to other machines.")
def add(data_dir: Path, form: str, types: tuple[str, ...], **options: Any) -> None:
    """Tell NAME from now on, and print the key that signs what is sent, this once."""
    kinds = tuple(EventType(kind) for kind in types)
    wanted = NewDestination(form=Form(form), types=kinds, **options)
    destination, key = open_destination(
        open_registry(data_dir), _secrets(data_dir), wanted, local_author()
    )
    click.echo(f"{destination.name} is told at {destination.url}", err=True)
    if key is not None:
        click.echo(key)


@notify.command("list")
@data_dir_option
def list_destinations(data_dir: Path) -> None:
    """List whom to tell, and how many messages wait or could not be delivered."""
    store = open_registry(data_dir).store
    counts = {(one.destination, one.state): one.count for one in store.delivery_counts()}
    print_table(
        ("name", "form", "url", "models", "types", "created", "paused", "pending", "dead"),
        (
            (
                one.name, one.form, one.url,
                ", ".join(one.models) or "all", ", ".join(one.types) or "all",
                one.created, one.paused,
                counts.get((one.name, DeliveryState.PENDING), 0),
                counts.get((one.name, DeliveryState.DEAD), 0),
            )
            for one in store.destinations()
        ),
    )  # fmt: skip


@notify.command("remove")
@data_dir_option
@click.argument("name")
def remove(data_dir: Path, name: str) -> None:
    """Tell NAME nothing more, not even what waits."""
    close_destination(open_registry(data_dir), _secrets(data_dir), name, local_author())
    click.echo(f"{name} is told nothing more.")


@notify.command("resume")
@data_dir_option
@click.argument("name")
def resume(data_dir: Path, name: str) -> None:
    """Send NAME all that waits, after it had asked for nothing more (410)."""
    notifications.resume_destination(open_registry(data_dir), name, local_author())
    click.echo(f"{name} is told again.")


@notify.command("test")
@data_dir_option
@click.argument("name")
def test(data_dir: Path, name: str) -> None:
    """Send a test to NAME now, and say what came of it; status 1 if it was not taken."""
    registry = open_registry(data_dir)
    destination = notifications.find_destination(registry.store, name)
    author, at = local_author(), now()
    with registry.store.write() as tx:
        record = append_record(tx, "destination.test", author, at, subject=name)
    summary = f"This is a test that {author.principal} sent to {name}."
    event = make_event(record, EventType.TEST, summary)
    sender = importlib.import_module("gateway.notifications.sending").Sender(
        _secrets(data_dir), source_of(registry.store)
    )
    outcome = sender.send(destination, event, at)
    sender.close()
    failure = describe_failure(outcome)
    if failure is not None:
        raise click.ClickException(f"{name} was not told: {failure}.")
    click.echo(f"{name} was told: it answered {outcome.status}.")


@notify.command("dead")
@data_dir_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000))
def list_dead(data_dir: Path, limit: int) -> None:
    """List what could not be delivered, newest first, and why."""
    dead = open_registry(data_dir).store.deliveries(DeliveryState.DEAD, before=None, limit=limit)
    print_table(
        ("id", "destination", "type", "model", "version", "time", "attempts", "last", "why"),
        (_dead_row(one) for one in dead),
    )


@notify.command("retry")
@data_dir_option
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--all", "is_all", is_flag=True, help="All that could not be delivered.")
def retry(data_dir: Path, number: int | None, is_all: bool) -> None:
    """Send again what is of this ID, or all that could not be delivered."""
    if is_all == (number is not None):
        raise click.UsageError("Give an ID or --all.")
    registry = open_registry(data_dir)
    if number is None:
        count = notifications.send_dead_again(registry, local_author())
        click.echo(f"{count} are sent again.")
    else:
        one = notifications.send_again(registry, number, local_author())
        click.echo(f"{number} is sent to {one.destination} again.")


def _dead_row(one: Delivery) -> tuple[object, ...]:
    event = one.event
    return (
        one.number, one.destination, event.type, event.model, event.version, event.time,
        one.attempts, one.attempted, one.error,
    )  # fmt: skip


def _secrets(data_dir: Path) -> Secrets:
    return Secrets(data_dir / DESTINATIONS)
