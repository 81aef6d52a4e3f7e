"""What the documentation says is what the program does."""

import json
import re
import shlex
from collections import defaultdict
from datetime import timedelta
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import httpx
import msgspec
import pytest

import gateway.cli
import registry.cli
from gateway.app import HANDLERS
from gateway.http.problems import STATUSES
from gateway.metrics import Metrics, Suspension
from gateway.metrics.drift import DriftState, FeatureState
from gateway.metrics.exposition import merge
from gateway.metrics.families import FAMILIES
from gateway.metrics.rollouts import GuardState, RolloutState
from gateway.metrics.samples import LogState
from gateway.metrics.shadow import ShadowState
from gateway.notifications.forms import write_standard
from gateway.notifications.secrets import new_key, read_key
from gateway.security import Role
from gateway.settings import Settings
from registry.contract_file import read_contract
from registry.datatypes import Datatype
from registry.diagrams import diagrams, redraw
from registry.distribution import Feature, Joint, Reference
from registry.drift_policy import DriftAction, DriftPolicy, check_drift_policy
from registry.events import ANNOUNCED, DeliveryCount, DeliveryState, Event, EventType
from registry.manifest import Action, Signature, TensorSpec
from registry.plan_check import check_plan
from registry.plan_fit import fit_plan
from registry.promotion_file import read_promotion_policy
from registry.promotion_policy import PromotionPolicy, RolloutNeed
from registry.records import AuditRecord
from registry.registry import Registry
from registry.rollout_file import read_rollout_file
from registry.rollouts import Better, Finish, Guard, GuardKind, Phase, Plan, Step, Verdict
from registry.rules import INPUT_ACTIONS, OUTPUT_ACTIONS, check_rules
from registry.times import now
from tests.rolled import make_manifest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_every_error_code_stands_in_the_table_with_its_status() -> None:
    table = read("docs/calling.md").split("<!-- errors: begin")[1].split("<!-- errors: end")[0]
    documented = {
        int(status): set(re.findall(r"`([a-z-]+)`", codes))
        for status, codes in re.findall(r"^\| (\d+) \| (.*) \|$", table, re.MULTILINE)
    }
    in_code: dict[int, set[str]] = defaultdict(set)
    for code, status in STATUSES.items():
        in_code[status].add(code)

    assert documented == in_code


def test_every_role_and_every_member_of_a_record_is_described() -> None:
    roles = set(re.findall(r"^\| `([a-z]+)` \|", read("docs/operating.md"), re.MULTILINE))
    members = set(re.findall(r"`([a-z_]+)`", read("docs/auditing.md")))

    assert roles == set(Role)
    assert set(AuditRecord.__struct_fields__) <= members


def test_every_metric_is_described_with_its_labels() -> None:
    metrics = Metrics()
    series = metrics.series("m", 1, "champion")
    series.observe(latency_ns=1, queue_ns=1, compute_ns=1, encode_ns=1, rows=1)
    series.fail("range")
    series.broke({"flagged range x"})
    series.gave_way("model-failed")
    metrics.read_suspensions(lambda: [Suspension(model="m", version=1, requests=1, refused=1)])
    for name in (
        "in_flight",
        "in_flight_limit",
        "queue_wait_s",
        "journal_waiting",
        "resident_bytes",
    ):
        metrics.gauge(name, lambda: 0)
    count = DeliveryCount(destination="ops", state=DeliveryState.DEAD, count=1)
    feature = FeatureState("input", "x", "", 0.1, 0.1)
    drift = DriftState("m", 1, 0, 300, (feature,))
    guard = GuardState("errors", 0, 0.0, 0.0)
    rollout = RolloutState("m", 2, "shadow", 0, 10_000, 1, (guard,))
    shadow = ShadowState("id", "m", 2, 1, 0, {"model-failed": 1}, {"full": 1})
    log = LogState(1, 1, 1.0)
    merged = merge([metrics.snapshot()], log, [count], [drift], [rollout], shadows=[shadow])
    in_code = {
        family.name: {
            label for _, labels, _ in family.samples(merged) for label in labels if label != "le"
        }
        for family in FAMILIES
    }

    table = re.findall(r"^\| `(gateway_\w+)` \|(.*?)\|", read("docs/operating.md"), re.MULTILINE)

    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in table} == in_code


def test_every_route_under_admin_and_audit_is_described() -> None:
    pages = "".join(page.read_text() for page in PAGES)
    for handler in HANDLERS:
        for path in handler.paths:
            written = re.sub(r"\{(\w+):\w+\}", r"{\1}", path).replace("{record_id}", "{id}")
            if written.startswith(("/admin/models/{model}", "/audit")):
                assert written in pages or written == "/admin/models/{model}/versions/{version}"


def test_every_option_of_serve_is_described_with_its_default() -> None:
    page = read("docs/operating.md")
    serve = gateway.cli.main.commands["serve"]
    for option in serve.params:
        assert isinstance(option, click.Option)
        assert option.hidden or f"`{option.opts[0]}`" in page
    defaults = Settings(data_dir=Path("data"))
    assert f"{defaults.body_limit >> 20} MiB" in page
    assert str(defaults.port) in page


def commands(group: click.Group, prefix: str) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix} {name}")
        else:
            found[f"{prefix} {name}"] = command
    return found


def test_every_documented_command_exists_with_its_options() -> None:
    known = commands(gateway.cli.main, "gateway") | commands(registry.cli.main, "registry")
    seen = 0
    for page in PAGES:
        for line in "\n".join(blocks(page, "sh")).splitlines():
            if not line.startswith(("gateway ", "registry ")):
                continue
            words = shlex.split(line, comments=True)
            name = next(name for name in known if words[: len(name.split())] == name.split())
            options = {opt for param in known[name].params for opt in param.opts}
            assert {word for word in words if word.startswith("--")} <= options, line
            seen += 1
    assert seen >= 5


def test_the_publishing_example_runs(registry: Registry, tmp_path: Path) -> None:
    [example] = blocks(ROOT / "docs" / "publishing.md", "python")

    exec(compile(example, "docs/publishing.md", "exec"), {"data_dir": tmp_path})

    assert registry.store.aliases("flights") == {"champion": 1}


def test_the_example_of_a_receiver_takes_what_is_signed_and_nothing_else() -> None:
    [example] = blocks(ROOT / "docs" / "operating.md", "python")
    names: dict[str, Any] = {}
    exec(compile(example, "docs/operating.md", "exec"), names)
    secret = new_key()
    message = write_standard(make_example(), key=read_key(secret), source="log", at=now())
    old = write_standard(
        make_example(), key=read_key(secret), source="log", at=now() - timedelta(hours=1)
    )

    assert names["verify"](message.headers, message.body, secret)["type"] == "test"
    for body, headers, key in (
        (message.body + b" ", message.headers, secret),
        (message.body, {**message.headers, "webhook-id": "other"}, secret),
        (message.body, message.headers, new_key()),
        (old.body, old.headers, secret),
        (message.body, {}, secret),
    ):
        with pytest.raises(ValueError, match=r"too old|not by the gateway|invalid literal"):
            names["verify"](headers, body, key)

    names["Receiver"].secret = secret
    names["Receiver"].log_message = lambda *_: None
    with HTTPServer(("127.0.0.1", 0), names["Receiver"]) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        statuses = [
            httpx.post(url, content=one.body, headers=dict(one.headers)).status_code
            for one in (message, message, old)
        ]
        server.shutdown()
        thread.join()
    assert statuses == [204, 204, 401]
    assert names["Receiver"].seen == {make_example().id}


def test_every_type_of_event_and_every_route_of_notifications_is_described() -> None:
    page = read("docs/operating.md")

    assert all(f"`{kind}`" in page for kind in ANNOUNCED)
    for handler in HANDLERS:
        for path in handler.paths:
            if path.startswith(("/admin/destinations", "/admin/deliveries")):
                assert re.sub(r"\{(\w+):\w+\}", r"{\1}", path) in page


def make_example() -> Event:
    return Event(
        id="0199a0b0-0000-7000-8000-000000000001",
        type=EventType.TEST,
        model=None,
        version=None,
        time=now(),
        summary="This is a test.",
        data={},
        record_id="0199a0b0-0000-7000-8000-000000000002",
        rollback=None,
    )


def test_the_examples_of_contracts_are_some_and_fit_a_model(tmp_path: Path) -> None:
    x = TensorSpec(name="X", datatype=Datatype.FP32, shape=(-1, 2))
    y = TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, 2))
    features = tuple(
        Feature(input="X", column=column, count=1, missing=0, distribution=None)
        for column in (0, 1)
    )
    joint = Joint(features=(0, 1), mean=(0, 0), whitening=(1, 0, 1), edges=(), bin_counts=(1,))
    for ending, count in (("toml", 5), ("json", 1)):
        [example] = blocks(ROOT / "docs" / "publishing.md", ending)
        path = tmp_path / f"contract.{ending}"
        path.write_text(example)

        contract = read_contract(path).contract

        assert len((*contract.rules, *contract.outputs)) == count
        check_rules(
            Signature(inputs=(x,), outputs=(y,)),
            contract,
            Reference(rows=1, features=features, joint=joint),
        )


def test_every_kind_of_rule_and_every_action_is_described() -> None:
    page = read("docs/publishing.md")
    for kind, actions in {**OUTPUT_ACTIONS, **INPUT_ACTIONS}.items():
        named = ", ".join(action for action in Action if action in actions)
        [row] = re.findall(rf"^\| `{kind}` \|(.*)\|$", page, re.MULTILINE)
        assert f" {named} |" in row, kind
    described = re.findall(r"^\| `([a-z]+)` \| (?:refuses|answers)", page, re.MULTILINE)
    assert set(described) == set(Action)


def test_the_example_of_a_drift_policy_is_one() -> None:
    [example] = blocks(ROOT / "docs" / "drift.md", "json")

    policy = msgspec.json.decode(example.encode(), type=DriftPolicy)

    check_drift_policy(policy, {"x[2]"})
    table = set(re.findall(r"`([a-z_]+)`", read("docs/drift.md")))
    assert {*DriftPolicy.__struct_fields__, *DriftAction} <= table


def test_the_example_of_a_plan_can_be_followed(tmp_path: Path) -> None:
    [example] = blocks(ROOT / "docs" / "rollouts.md", "toml")
    path = tmp_path / "plan.toml"
    path.write_text(example)
    probabilities = TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, 2))

    plan = read_rollout_file(path).plan

    check_plan(plan)
    fit_plan(plan, make_manifest(Signature(inputs=(), outputs=(probabilities,))))
    assert {*msgspec.to_builtins(plan)} <= {*Plan.__struct_fields__}


def test_every_guard_phase_member_and_route_of_rollouts_is_described() -> None:
    page = read("docs/rollouts.md")
    guards = re.findall(r"^\| `(\w+)` \|.*\| ([\w, ]+) \|.*\|$", page, re.MULTILINE)
    stages = {
        kind: {stage: Guard(kind=kind, margin=1.0).judges(is_shadow=stage == "shadow")
               for stage in ("shadow", "canary")}
        for kind in GuardKind
    }  # fmt: skip
    described = {
        kind: {stage: stage in judged.split(", ") for stage in ("shadow", "canary")}
        for kind, judged in guards
        if kind in set(GuardKind)
    }
    words = set(re.findall(r"`([\w-]+)`", page))

    assert described == stages
    rows = re.findall(r"^\| `([\w-]+)` \|[^|]+\|[^|]*\|$", page, re.MULTILINE)
    assert set(Phase) <= set(rows)
    for members in (Plan, Step, Guard):
        assert {*members.__struct_fields__} - {"kind"} <= words
    assert {*Finish, *Better, *Verdict} - {Verdict.UNDECIDED} <= words
    for handler in HANDLERS:
        for path in handler.paths:
            if "rollouts" in path:
                assert re.sub(r"\{(\w+):\w+\}", r"{\1}", path) in page


def test_the_example_of_an_error_has_the_members_of_one() -> None:
    [example] = blocks(ROOT / "docs" / "calling.md", "json")

    assert set(json.loads(example)) >= {"type", "title", "status", "detail", "code", "error"}


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_example_of_a_promotion_policy_is_one_and_every_member_is_described(
    tmp_path: Path,
) -> None:
    [example] = blocks(ROOT / "docs" / "promoting.md", "toml")
    path = tmp_path / "policy.toml"
    path.write_text(example)

    policy = read_promotion_policy(path, frozenset(Role))

    assert all(getattr(policy, member) for member in PromotionPolicy.__struct_fields__)
    described = set(re.findall(r"`([a-z_]+)`", read("docs/promoting.md")))
    for kind in (PromotionPolicy, RolloutNeed):
        assert {*kind.__struct_fields__} <= described


def test_every_diagram_is_what_the_tables_draw() -> None:
    drawn = [read(page) for page in ("docs/promoting.md", "docs/rollouts.md")]

    assert [redraw(page) for page in drawn] == drawn, "make diagrams"
    assert all(f"```mermaid\n{one}```" in "".join(drawn) for one in diagrams().values())
