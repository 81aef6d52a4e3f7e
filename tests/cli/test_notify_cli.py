"""`gateway notify`: whom to tell, tested, and what could not be delivered."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace
from standardwebhooks import Webhook

from gateway.cli import main
from registry.events import DeliveryState
from registry.times import now
from tests.builders import linear_model, open_registry, publish
from tests.cli.results import fail
from tests.receiver import Receiver, Reply

Run = Callable[..., Result]
URL = "https://receiver.example/hook"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    registry = open_registry(tmp_path / "data")
    publish(registry, "sum", linear_model())
    registry.store.close()
    return tmp_path / "data"


@pytest.fixture
def run(data_dir: Path) -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["notify", *arguments, "--data-dir", str(data_dir)])

    return invoke


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_the_key_is_the_only_thing_on_standard_output_and_shown_once(
    run: Run, data_dir: Path
) -> None:
    result = run("add", "ops", "--url", URL, "--model", "sum", "--type", "champion.moved")
    assert result.exit_code == 0
    [key] = result.stdout.splitlines()
    assert key.startswith("whsec_")

    listed = run("list")
    for part in ("ops", "standard", URL, "sum", "champion.moved"):
        assert part in listed.stdout
    records = CliRunner().invoke(main, ["audit", "records", "--data-dir", str(data_dir)])
    assert "destination.add" in records.stdout
    for said in (result.stderr, listed.output, records.output):
        assert key.removeprefix("whsec_") not in said


def test_a_slack_address_is_shown_to_nobody(run: Run) -> None:
    result = run(
        "add", "chat", "--form", "slack", "--url", "https://hooks.slack.example/services/T/B/token"
    )
    assert (result.exit_code, result.stdout) == (0, "")
    for said in (result.output, run("list").output):
        assert "https://hooks.slack.example/" in said
        assert "token" not in said


@pytest.mark.parametrize(
    "options",
    [
        ("--url", URL, "--type", "test"),
        ("--url", URL, "--type", "none"),
        ("--url", URL, "--form", "mail"),
        (),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_usage(run: Run, options: tuple[str, ...]) -> None:
    assert run("add", "ops", *options).exit_code == 2


def test_what_cannot_be_is_refused_in_one_line(run: Run) -> None:
    fail(run("add", "ops", "--url", "http://receiver.example/"), "https")
    fail(run("add", "ops", "--url", URL, "--model", "smu"), "smu")
    fail(run("add", "o p s", "--url", URL), "name")
    assert run("add", "ops", "--url", "http://r.example/", "--allow-plain").exit_code == 0
    fail(run("add", "ops", "--url", URL), "already")
    for command in ("remove", "resume", "test"):
        fail(run(command, "none"), "none")
    fail(run("retry", "7"), "7")
    assert run("retry").exit_code == 2
    assert run("retry", "7", "--all").exit_code == 2


def test_a_test_is_really_sent_and_what_came_of_it_is_said(
    run: Run, data_dir: Path, receiver: Receiver
) -> None:
    key = run("add", "ops", "--url", receiver.url, "--type", "version.retired").stdout.strip()
    result = run("test", "ops")
    assert result.exit_code == 0
    assert result.stdout == "ops was told: it answered 204.\n"
    [message] = receiver.received
    event = Webhook(key).verify(message.body, dict(message.headers.items()))
    assert (event["type"], event["subject"]) == ("test", "gateway")

    receiver.replies = [Reply(status=500)]
    fail(run("test", "ops"), "ops was not told", "it answered 500")
    registry = open_registry(data_dir)
    assert registry.store.deliveries(None, before=None, limit=9) == []
    assert registry.store.record(event["data"]["record_id"]) is not None
    registry.store.close()


def test_what_is_dead_is_listed_with_its_reason_and_sent_again(run: Run, data_dir: Path) -> None:
    run("add", "ops", "--url", URL)
    registry = open_registry(data_dir)
    for weight in (2.0, 3.0):
        publish(registry, "sum", linear_model(weight), promote=False)
    for one in registry.store.deliveries(None, before=None, limit=9):
        registry.store.settle(
            replace(
                one,
                state=DeliveryState.DEAD,
                attempts=8,
                attempted=now(),
                error="it answered 500 \x1b[2J",
            )
        )
    first = registry.store.deliveries(None, before=None, limit=9)[-1].number

    listed = run("dead").stdout
    assert listed.count("it answered 500 \\x1b[2J") == 2
    assert "version.published" in listed
    assert "\x1b" not in listed
    assert run("retry", str(first)).stdout == f"{first} is sent to ops again.\n"
    assert run("dead").stdout.count("it answered") == 1
    assert run("retry", "--all").stdout == "1 are sent again.\n"
    assert run("dead").stdout.count("it answered") == 0
    assert len(registry.store.deliveries(DeliveryState.PENDING, before=None, limit=9)) == 2
    registry.store.close()


def test_a_destination_is_resumed_and_removed(run: Run, data_dir: Path) -> None:
    run("add", "ops", "--url", URL)
    assert run("resume", "ops").stdout == "ops is told again.\n"
    assert run("remove", "ops").stdout == "ops is told nothing more.\n"
    assert "ops" not in run("list").stdout
    assert list((data_dir / "destinations").iterdir()) == []
