"""The commands of `gateway` that need no server."""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gateway
from gateway.cli import main
from gateway.security import Keyring, Role
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.audit.segment_writer import SegmentWriter
from registry.console import printable
from registry.entry import Entry, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.times import now, to_us
from registry.workers import Key
from tests.builders import linear_model, open_registry, publish
from tests.cli.results import fail

Run = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data_dir: Path) -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--data-dir", str(data_dir)])

    return invoke


def stored_keys(data_dir: Path) -> list[Key]:
    registry = open_registry(data_dir)
    keys = registry.store.api_keys()
    registry.store.close()
    return keys


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert gateway.VERSION in result.output


def test_a_token_is_the_only_thing_on_standard_output(run: Run, data_dir: Path) -> None:
    result = run("keys", "create", "--role", "admin", "--role", "viewer", "--name", "ops")
    assert result.exit_code == 0
    [token] = result.stdout.splitlines()
    [key] = stored_keys(data_dir)
    assert Keyring([key]).find(sha256(token.encode()).digest(), now) == key
    assert key.roles == ("admin", "viewer")
    assert key.name == "ops"
    assert key.expires is None
    assert token not in result.stderr
    assert key.id in result.stderr


def test_a_token_is_found_nowhere_afterwards(run: Run, data_dir: Path) -> None:
    token = run("keys", "create", "--role", "admin").stdout.strip()
    listed = run("keys", "list")
    recorded = run("audit", "records")
    assert listed.exit_code == recorded.exit_code == 0
    for said in (listed.output, recorded.output):
        assert token not in said
        assert token.removeprefix("gw_") not in said
    for path in data_dir.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes()


@pytest.mark.parametrize("role", Role)
def test_every_role_can_be_given(run: Run, data_dir: Path, role: Role) -> None:
    assert run("keys", "create", "--role", role.value).exit_code == 0
    assert stored_keys(data_dir)[0].roles == (role,)


@pytest.mark.parametrize("options", [(), ("--role", "root"), ("--role", "admin", "--days", "0"),
                                     ("--role", "admin", "--days", "99999999999")])  # fmt: skip
def test_a_key_that_makes_no_sense_is_a_mistake_of_usage(
    run: Run, data_dir: Path, options: tuple[str, ...]
) -> None:
    assert run("keys", "create", *options).exit_code == 2
    assert not data_dir.exists()


def test_a_key_with_a_name_that_cannot_be_recorded_is_refused(run: Run, data_dir: Path) -> None:
    fail(run("keys", "create", "--role", "admin", "--name", "\udcff"), "name")
    fail(run("keys", "create", "--role", "admin", "--name", "x" * 201), "name")
    assert stored_keys(data_dir) == []


def test_a_key_expires_after_its_days(run: Run, data_dir: Path) -> None:
    token = run("keys", "create", "--role", "admin", "--days", "2").stdout.strip()
    [key] = stored_keys(data_dir)
    assert key.expires == key.created + timedelta(days=2)
    credential = sha256(token.encode()).digest()
    assert Keyring([key]).find(credential, lambda: key.expires) is None
    just_before = key.expires - timedelta(seconds=1)
    assert Keyring([key]).find(credential, lambda: just_before) == key


def test_a_key_may_hide_what_would_have_been_accepted(run: Run, data_dir: Path) -> None:
    assert run("keys", "create", "--role", "invoker", "--hide-expected").exit_code == 0
    assert run("keys", "create", "--role", "invoker").exit_code == 0
    assert sorted(key.hides_expected for key in stored_keys(data_dir)) == [False, True]


def test_keys_are_listed_and_revoked(run: Run, data_dir: Path) -> None:
    token = run("keys", "create", "--role", "admin", "--name", "[/ops]").stdout.strip()
    [key] = stored_keys(data_dir)
    assert "[/ops]" in run("keys", "list").stdout
    result = run("keys", "revoke", key.id)
    assert result.exit_code == 0
    assert result.stdout == f"{key.id} is revoked.\n"
    assert Keyring(stored_keys(data_dir)).find(sha256(token.encode()).digest(), now) is None
    assert run("keys", "list").stdout.count("+00:00") == 2
    assert run("keys", "revoke", key.id).exit_code == 0


def test_a_key_that_is_none_cannot_be_revoked(run: Run) -> None:
    run("keys", "create", "--role", "admin")
    fail(run("keys", "revoke", "none"), "none")


@pytest.mark.parametrize(
    "command", [("keys", "list"), ("keys", "revoke", "k"), ("audit", "records")]
)
def test_a_mistyped_data_directory_is_not_made(
    run: Run, data_dir: Path, command: tuple[str, ...]
) -> None:
    fail(run(*command), "no data directory")
    assert not data_dir.exists()


def write_answer(data_dir: Path, principal: str) -> AuditRecord:
    """Leave a record in the journal, as a worker does that nobody has integrated yet."""
    time_ns = to_us(now()) * 1000
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.ANSWERED,
        principal=principal,
        model="m",
        version=1,
        lane=Lane.CHAMPION,
        rows=3,
    )
    (data_dir / "journal").mkdir(exist_ok=True)
    writer = SegmentWriter(data_dir / "journal")
    writer.append([Entry(encode_record(record), None)])
    writer.close()
    return record


@pytest.fixture
def published(data_dir: Path) -> None:
    registry = open_registry(data_dir)
    publish(registry, "m", linear_model())
    registry.store.close()


@pytest.mark.usefixtures("published")
def test_records_of_store_and_journal_are_shown_whole(run: Run, data_dir: Path) -> None:
    record = write_answer(data_dir, "key:1")
    result = run("audit", "records")
    assert result.exit_code == 0
    for part in (record.id, "3 rows", "m 1", "champion", "publish", "promote", "local:tests"):
        assert part in result.stdout


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 3),
        (("--kind", "admin"), 2),
        (("--kind", "inference"), 1),
        (("--outcome", "answered"), 1),
        (("--outcome", "refused"), 0),
        (("--principal", "key:1"), 1),
        (("--model", "m", "--version", "1"), 3),
        (("--model", "none"), 0),
        (("--limit", "1"), 1),
    ],
)
def test_records_are_filtered(
    run: Run, data_dir: Path, options: tuple[str, ...], count: int
) -> None:
    write_answer(data_dir, "key:1")
    result = run("audit", "records", *options)
    assert result.exit_code == 0
    assert result.stdout.count("+00:00") == count


@pytest.mark.usefixtures("published")
def test_a_version_beyond_all_numbers_finds_nothing(run: Run) -> None:
    assert run("audit", "records", "--version", "9" * 30).exit_code == 0


@pytest.mark.usefixtures("published")
def test_a_hostile_principal_does_not_steer_the_terminal(run: Run, data_dir: Path) -> None:
    hostile = "[/x]\x1b[2J"
    write_answer(data_dir, hostile)
    result = run("audit", "records")
    assert printable(hostile) in result.stdout
    assert "\x1b" not in result.stdout


def test_the_key_of_the_log_is_changed_and_the_new_one_is_all_that_is_printed(
    run: Run, data_dir: Path
) -> None:
    store = open_registry(data_dir).store
    keys = KeyFile(data_dir / "log.key")
    first = open_log(store, keys, data_dir / "checkpoint", name="a.example/log", at=now())

    result = run("audit", "rotate-key", "--reason", "a drill")
    assert result.exit_code == 0
    assert store.origins()[-1].vkey + "\n" == result.stdout
    assert store.origins()[-1].name == "a.example/log"
    assert first.vkey in result.stderr

    (data_dir / "log.key").unlink()
    fail(run("audit", "rotate-key", "--reason", "a drill"), "rotate-key --lost")
    result = run("audit", "rotate-key", "--reason", "it is lost", "--lost")
    assert result.exit_code == 0
    assert store.origins()[-1].vkey + "\n" == result.stdout
    assert store.origins()[-1].name.startswith("a.example/log/")
    store.close()


def test_a_log_that_was_never_served_has_no_key_to_change(run: Run, data_dir: Path) -> None:
    open_registry(data_dir).store.close()
    fail(run("audit", "rotate-key", "--reason", "a drill"), "never served")
    fail(run("audit", "rotate-key", "--reason", " "), "reason")
    assert not (data_dir / "log.key").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--witness", "http://127.0.0.1:1"], "--witness-key"),
        (["--witness", "http://127.0.0.1:1", "--witness-key", "none"], "--witness-key"),
    ],
)
def test_a_witness_without_its_key_is_a_mistake_of_usage(
    run: Run, data_dir: Path, options: list[str], word: str
) -> None:
    result = run("serve", *options)
    assert result.exit_code == 2
    assert word in result.stderr
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--log-name", "two words"], "name of a key"),
        (["--log-key", "/proc/none/log.key"], "key of the log"),
    ],
)
def test_a_log_that_cannot_be_signed_is_not_served(
    run: Run, data_dir: Path, options: list[str], word: str
) -> None:
    fail(run("serve", "--port", "0", *options), word)


def test_serving_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["serve", "--data-dir", str(tmp_path / "file" / "below")])
    fail(result)
