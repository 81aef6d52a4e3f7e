"""What is put into the stores that the contract is held by."""

from datetime import UTC, datetime, timedelta
from typing import Any

from registry.entry import Entry, Payload, encode_record, new_record_id
from registry.events import Destination, Event, EventType, Form, Rollback
from registry.reader import Reader
from registry.records import AuditRecord, Kind, Outcome, RecordFilter, SignedCheckpoint
from registry.rollouts import Guard, GuardKind, Phase, Plan, Rollout, RolloutChange, Step
from registry.store import Store
from registry.times import to_us
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import root_hash
from registry.versions import AliasCause, AliasChange, Version, VersionState
from registry.workers import Key, Setting, SettingName

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAYLOAD = Payload(b"s" * 32, b"\x00input", b"")


def make_record(second: float = 0, **fields: Any) -> AuditRecord:
    time_ns = to_us(START + timedelta(seconds=second)) * 1000
    defaults = {"kind": Kind.INFERENCE, "outcome": Outcome.ANSWERED}
    return AuditRecord(id=new_record_id(time_ns), time=str(time_ns), **(defaults | fields))


def make_version(number: int = 1, model: str = "m") -> Version:
    return Version(
        model=model,
        number=number,
        artifact="sha256:a",
        manifest="sha256:b",
        state=VersionState.PUBLISHED,
        author="key:1",
        created=START + timedelta(microseconds=number),
    )


def make_change(version: int | None, alias: str = "champion", model: str = "m") -> AliasChange:
    return AliasChange(
        model=model,
        alias=alias,
        version=version,
        cause=AliasCause.PROMOTE,
        at=START,
        principal="key:1",
        reason="because",
        record_id="r",
    )


def make_key(name: str = "k", **fields: Any) -> Key:
    defaults: dict[str, Any] = {
        "roles": ("admin", "viewer"), "author": "a", "created": START, "expires": None,
        "revoked": None,
    }  # fmt: skip
    return Key(id=f"key-{name}", name=name, digest=name.encode(), **(defaults | fields))


def make_entries(*seconds: float) -> list[Entry]:
    return [Entry(encode_record(make_record(second)), None) for second in seconds]


def make_checkpoint(view: Reader, minutes: float = 0) -> SignedCheckpoint:
    size = view.tree_size()
    return SignedCheckpoint(
        size=size,
        root=root_hash(size, TileNodes(view.tile)),
        note=f"note of {size}",
        signed=START + timedelta(minutes=minutes),
    )


def make_destination(name: str = "d", **fields: Any) -> Destination:
    defaults: dict[str, Any] = {
        "url": "https://r.example/é", "form": Form.STANDARD, "secret": "s", "author": "a",
        "models": ("m", "n"), "types": (EventType.CHAMPION_MOVED,), "created": START,
    }  # fmt: skip
    return Destination(name=name, **(defaults | fields))


def make_event(second: float = 0, **fields: Any) -> Event:
    at = START + timedelta(seconds=second)
    rollback = Rollback(method="POST", path="/p", body={"a": [1, None]}, command="c 'd'")
    defaults: dict[str, Any] = {
        "type": EventType.CHAMPION_MOVED, "model": "m", "version": 2, "time": at,
        "summary": "Something.", "data": {"x": [1.5, "é", None]}, "record_id": "r",
        "rollback": rollback,
    }  # fmt: skip
    return Event(id=new_record_id(to_us(at) * 1000), **(defaults | fields))


def make_setting(model: str | None = "m", value: str = "true") -> Setting:
    return Setting(name=SettingName.UNLOADED, model=model, value=value)


def make_rollout(rollout_id: str = "one", *, challenger: int = 2, **fields: Any) -> Rollout:
    plan = Plan(
        challenger=challenger,
        guards=(Guard(kind=GuardKind.SCORE, margin=0.1, output="é", column=1),),
        shadow=Step(points=10_000),
        steps=(Step(points=100, min_requests=7, min_s=0.5),),
    )
    defaults: dict[str, Any] = {
        "model": "m", "champion": 1, "plan": plan, "phase": Phase.SHADOW, "stage": 0,
        "salt": "s", "base": 0, "edges_us": (0,), "author": "a", "reason": "because",
        "started": START, "entered": START,
    }  # fmt: skip
    return Rollout(id=rollout_id, **(defaults | fields))


def make_rollout_change(rollout_id: str = "one", **fields: Any) -> RolloutChange:
    defaults: dict[str, Any] = {
        "phase": Phase.SHADOW, "stage": 0, "action": "start", "at": START, "principal": "a",
        "reason": "because", "record_id": "r",
    }  # fmt: skip
    return RolloutChange(rollout=rollout_id, **(defaults | fields))


def everything(store: Store) -> list[Any]:
    with store.snapshot() as view:
        models = view.models()
        return [
            view.generation(),
            models,
            [view.versions(model) for model in models],
            [view.alias_changes(model) for model in models],
            view.api_keys(),
            view.settings(),
            view.records(RecordFilter(), before=None, limit=10_000),
            view.positions(),
            view.workers(),
            view.destinations(),
            view.deliveries(None, before=None, limit=10_000),
            [(one, view.rollout_changes(one.id)) for one in view.rollouts()],
        ]


def fill(store: Store) -> None:
    with store.write() as tx:
        tx.add_version(make_version(1))
        tx.add_version(make_version(2))
        tx.add_alias_change(make_change(1))
        tx.add_key(make_key())
        tx.put_setting(make_setting())
        tx.add_destination(make_destination())
        tx.add_event(make_event(), ["d"])
        tx.add_rollout(make_rollout(), make_rollout_change())
        tx.append(make_record(kind=Kind.ADMIN))
