"""A dossier says what is known of one decision, whole, in words, and so that it can be checked."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.dossier.content import Gathered, write_json
from gateway.dossier.gather import gather
from gateway.dossier.page import write_page
from gateway.replay.asking import Asking
from gateway.replay.engines import Sessions
from gateway.security import Role, make_key
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.audit.published import PublishedLog
from registry.audit.publisher import Publisher
from registry.audit.query import AuditTrail
from registry.audit.verify.proofs import check_inclusion, hash_leaf
from registry.distribution import Feature, Numeric, Reference
from registry.entry import new_record_id, now_ns
from registry.errors import InvalidRequest, RecordNotFound
from registry.manifest import Action, Contract, Draft, Lineage, Metric, Rule, RuleKind
from registry.privacy import erase
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.registry import Registry
from registry.times import now
from registry.tlog.note import Checkpoint, Verifier
from registry.tlog.signing import open_note
from registry.versions import Version
from tests.builders import AUTHOR, identity_model, linear_model, publish, two_input_model
from tests.recorded import X, answered, keep, refused

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'\u202e]]>-->"
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """What a browser makes of a page: its elements, its text, and the JSON that it carries."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: dict[str, list[str | None]] = {}
        self.text = ""
        self.carried = ""
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.carried += data
        elif self._open[-1:] != ["style"]:
            self.text += data + " "


@pytest.fixture
def engine(registry: Registry) -> Iterator[Sessions]:
    engine = Sessions(registry.artifacts, deadline_s=2)
    yield engine
    engine.close()


@pytest.fixture
def scene(registry: Registry, engine: Sessions, tmp_path: Path) -> "Scene":
    return Scene(registry, engine, tmp_path)


class Scene:
    def __init__(self, registry: Registry, engine: Sessions, data_dir: Path) -> None:
        self.registry, self.engine, self.data_dir = registry, engine, data_dir
        self.trail = AuditTrail(registry.store, data_dir / "journal")
        self.log = PublishedLog(registry.store, data_dir / "checkpoint")

    def gather(self, record: AuditRecord, **options: Any) -> Gathered:
        return gather(self.registry, self.trail, record.id, log=self.log, **options)

    def page(self, record: AuditRecord, **options: Any) -> Page:
        return Page(write_page(self.gather(record, **options)))

    def answer(self, version: Version, **options: Any) -> AuditRecord:
        record, payload = answered(version, self.engine, **options)
        keep(self.registry, (record, payload))
        return record

    def sign(self) -> None:
        keys = KeyFile(self.data_dir / "log.key")
        store, path = self.registry.store, self.data_dir / "checkpoint"
        open_log(store, keys, path, name="test.example/log", at=now())
        Publisher(store, keys, path).publish()


GUARDED = Draft(
    description="Adds three numbers.",
    contract=Contract(
        rules=(
            Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, low=0, high=5),
            Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, column=0, low=0),
            Rule(input="x", kind=RuleKind.MISSING, action=Action.OBSERVE),
        )
    ),
    reference=Reference(
        rows=10,
        features=(
            Feature(
                input="x",
                column=1,
                count=10,
                missing=0,
                distribution=Numeric(
                    minimum=0.5, maximum=7.5, mean=3.25, std=1, edges=(), bin_counts=(10,)
                ),
            ),
        ),
    ),
    lineage=Lineage(
        data_digest="sha256:" + "d" * 64,
        code_commit="c0ffee",
        hyper_parameters={"depth": 3},
        metrics=(Metric(name="accuracy", value=0.75, n=40, low=0.7, high=0.8),),
    ),
)


def test_a_dossier_tells_answer_input_rules_version_and_decision(scene: Scene) -> None:
    registry = scene.registry
    version = publish(registry, "sum", linear_model(), GUARDED, promote=False)
    registry.promote("sum", 1, "because VR-118 says so", AUTHOR)
    record = scene.answer(version)

    gathered = scene.gather(record)
    page = Page(write_page(gathered))

    dossier = gathered.dossier
    assert dossier.outcome == "Answered by version 1 of sum."
    assert [tensor.data for tensor in dossier.kept.outputs] == [[6.0, 15.0]]
    assert [(t.name, t.datatype, t.data) for t in dossier.kept.inputs] == [
        ("x", "FP32", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    ]
    assert dossier.decider is not None
    assert dossier.decider.live is not None
    assert dossier.decider.live.reason == "because VR-118 says so"
    assert [event.action for event in dossier.decider.events] == ["publish", "promote"]
    for said in (
        dossier.outcome,
        record.id,
        "because VR-118 says so",
        "Adds three numbers.",
        "x is between 0 and 5.",
        "Column 0 of x is at least 0.",
        "accuracy",
        "0.7 to 0.8",
        "c0ffee",
        "depth = 3",
        "0.5 to 7.5, mean 3.25",
        version.artifact,
        version.manifest,
    ):
        assert said in page.text, said


def test_what_was_done_within_one_millisecond_is_told_in_its_order(scene: Scene) -> None:
    at = now()
    held = Registry(scene.registry.store, scene.registry.artifacts, clock=lambda: at)
    first = publish(held, "sum", linear_model(), promote=False)
    publish(held, "sum", linear_model(2.0), promote=False)
    for round_ in range(5):
        for number in (1, 2):
            held.promote("sum", number, f"round {round_}", AUTHOR)

    decider = scene.gather(scene.answer(first)).dossier.decider

    assert decider is not None
    told = [event.reason for event in decider.events if event.action == "promote"]
    assert told == [f"round {round_}" for round_ in range(5)]


def test_each_rule_says_how_the_input_stood_to_it(scene: Scene) -> None:
    record = scene.answer(publish(scene.registry, "sum", linear_model(), GUARDED))

    first, second, third = scene.gather(record).dossier.rules

    assert (first.standing, first.broken, first.places) == ("broken", 1, ("row 1: 6",))
    assert (second.standing, third.standing) == ("kept", "kept")


def test_the_value_that_broke_a_rule_is_told_for_every_form_of_input(scene: Scene) -> None:
    rules = (
        Rule(input="distance", kind=RuleKind.RANGE, action=Action.FLAG, high=10),
        Rule(input="carrier", kind=RuleKind.CATEGORIES, action=Action.FLAG, values=("AA",)),
    )
    version = publish(
        scene.registry, "two", two_input_model(), Draft(contract=Contract(rules=rules))
    )
    inputs = {
        "distance": np.array([[1], [11.5]], np.float32),
        "carrier": np.array([["AA"], ["ZZ"]], object),
    }
    flat = publish(
        scene.registry,
        "flat",
        identity_model("FP32", ("n",)),
        Draft(
            contract=Contract(
                rules=(Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, high=10),)
            )
        ),
    )

    found = scene.gather(scene.answer(version, inputs=inputs)).dossier.rules
    of_flat = scene.gather(scene.answer(flat, inputs={"x": np.array([1, 12], np.float32)}))

    assert [one.places for one in found] == [("row 1: 11.5",), ("row 1: ZZ",)]
    assert of_flat.dossier.rules[0].places == ("row 1: 12",)


def test_the_page_carries_the_json_it_shows(scene: Scene) -> None:
    record = scene.answer(publish(scene.registry, "sum", linear_model(), GUARDED))
    gathered = scene.gather(record)

    carried = json.loads(Page(write_page(gathered)).carried)

    assert carried == json.loads(write_json(gathered.dossier))
    assert carried["record"] == json.loads(carried["leaf"])
    assert scene.trail.record(record.id).leaf == carried["leaf"].encode()


def test_hostile_texts_are_texts(scene: Scene) -> None:
    registry = scene.registry
    key, _ = make_key(name=HOSTILE, roles=[Role.INVOKER], author=AUTHOR.principal, created=now())
    registry.add_key(key, AUTHOR)
    draft = Draft(
        description=HOSTILE,
        contract=Contract(
            rules=(
                Rule(
                    input="x", kind=RuleKind.CATEGORIES, action=Action.FLAG, values=(HOSTILE, "a")
                ),
            )
        ),
        lineage=Lineage(hyper_parameters={HOSTILE: HOSTILE}, data_columns=(HOSTILE,)),
    )
    version = publish(registry, "m", identity_model("BYTES", ("n", 1)), draft, promote=False)
    reason = HOSTILE.replace("\u202e", "")
    registry.promote("m", 1, reason, AUTHOR)
    texts = np.array([[HOSTILE], ["other " + HOSTILE]], object)
    record, payload = answered(version, scene.engine, {"x": texts})
    record = msgspec.structs.replace(
        record,
        principal=key.id,
        request_id=HOSTILE,
        source=HOSTILE,
        flags=(f"categories {HOSTILE}[0]",),
    )
    keep(registry, (record, payload))

    page = scene.page(record)

    assert page.elements.count("script") == 1
    assert page.elements.count("img") == 0
    visible = HOSTILE.replace("\u202e", "\\u202e")
    assert page.text.count(visible) >= 9
    assert "\u202e" not in page.text
    carried = json.loads(page.carried)
    assert carried["kept"]["inputs"][0]["data"] == [HOSTILE, "other " + HOSTILE]


def test_the_page_loads_nothing_and_runs_nothing(scene: Scene) -> None:
    record = scene.answer(publish(scene.registry, "sum", linear_model(), GUARDED))

    content = write_page(scene.gather(record))
    page = Page(content)

    assert not {"src", "href", "srcset", "action", "style"} & page.attributes.keys()
    assert not [name for name in page.attributes if name.startswith("on")]
    assert b"url(" not in content
    assert b"@import" not in content
    assert page.attributes["type"] == ["application/json"]
    assert any("default-src 'none'" in (value or "") for value in page.attributes["content"])


def test_a_payload_that_is_not_kept_leaves_the_dossier_whole(scene: Scene) -> None:
    record, payload = answered(
        publish(scene.registry, "sum", linear_model(), GUARDED), scene.engine
    )
    gone = msgspec.structs.replace(payload, input=None, output=None)
    keep(scene.registry, (record, gone))

    gathered = scene.gather(record)
    page = Page(write_page(gathered))

    assert gathered.dossier.kept.is_committed is None
    assert {one.standing for one in gathered.dossier.rules} == {"unknown"}
    assert "are not kept" in page.text
    assert "cannot be held against its rules" in page.text


def test_a_payload_that_was_erased_leaves_the_dossier_whole(scene: Scene) -> None:
    record, payload = answered(
        publish(scene.registry, "sum", linear_model(), GUARDED), scene.engine
    )
    keep(scene.registry, (record, msgspec.structs.replace(payload, subject="person 7")))
    scene.sign()
    assert scene.gather(record).dossier.kept.is_committed

    erase(scene.registry, "person 7", "asked to", AUTHOR)
    gathered = scene.gather(record)
    page = Page(write_page(gathered))

    assert gathered.dossier.kept.salt is None
    assert "was erased with its person" in page.text
    assert "In the signed log" in page.text
    assert {one.standing for one in gathered.dossier.rules} == {"unknown"}


def test_what_a_policy_reduced_is_shown_as_it_is_kept(scene: Scene) -> None:
    rules = (
        Rule(input="distance", kind=RuleKind.RANGE, action=Action.FLAG, high=10),
        Rule(input="carrier", kind=RuleKind.CATEGORIES, action=Action.FLAG, values=("AA",)),
    )
    version = publish(
        scene.registry, "two", two_input_model(), Draft(contract=Contract(rules=rules))
    )
    found = {"distance": np.array([[1]], np.float32), "carrier": np.array([["c0de"]], object)}
    record, payload = answered(version, scene.engine, found)
    record = msgspec.structs.replace(record, reduced=("carrier:pseudonymise",))
    keep(scene.registry, (record, payload))

    gathered = scene.gather(record)
    page = Page(write_page(gathered))

    assert [one.standing for one in gathered.dossier.rules] == ["kept", "unknown"]
    assert "c0de" in page.text
    assert "By the model's policy: carrier:pseudonymise." in page.text


def test_a_payload_that_was_changed_is_not_shown_as_the_answer(scene: Scene) -> None:
    version = publish(scene.registry, "sum", linear_model())
    record, _ = answered(version, scene.engine)
    _, other = answered(version, scene.engine, {"x": X["x"] + 1})
    keep(scene.registry, (record, other))

    gathered = scene.gather(record)

    assert gathered.dossier.kept.is_committed is False
    assert gathered.dossier.kept.outputs == ()
    assert "Not what was committed to" in Page(write_page(gathered)).text


def test_a_refused_request_says_what_was_wrong(scene: Scene) -> None:
    record, payload = refused(publish(scene.registry, "sum", linear_model(), GUARDED))
    record = msgspec.structs.replace(record, violations=("range x[1,2]",), lane=Lane.CHAMPION)
    keep(scene.registry, (record, payload))

    page = scene.page(record)

    assert "Refused by version 1 of sum" in page.text
    assert "x, row 1, column 2: A value lies outside the range of the contract." in page.text
    assert "There is no answer." in page.text


def test_an_answer_in_place_of_a_challenger_says_why(scene: Scene) -> None:
    record, payload = answered(publish(scene.registry, "sum", linear_model()), scene.engine)
    failed = msgspec.structs.replace(record, rollout="the-rollout", canary_error="model-failed")
    keep(scene.registry, (failed, payload))

    page = scene.page(failed)

    assert "the-rollout" in page.text
    assert "failed with model-failed, so the champion answered" in page.text


def test_a_request_that_met_no_version_has_a_dossier(scene: Scene) -> None:
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.REFUSED,
        error="not-found",
        subject="no-such-model",
    )
    keep(scene.registry, (record, None))

    page = scene.page(record)

    assert "The request for no-such-model met no version" in page.text
    assert "No version was met" in page.text


def test_only_what_was_decided_before_the_request_is_told(scene: Scene) -> None:
    registry = scene.registry
    first = publish(registry, "sum", linear_model(), promote=False)
    second = publish(registry, "sum", linear_model(2.0), promote=False)
    registry.promote("sum", 1, "the first", AUTHOR)
    record = scene.answer(first)
    registry.promote("sum", 2, "the second", AUTHOR)
    registry.roll_back("sum", "back again", AUTHOR)
    late = scene.answer(first)
    pinned, payload = answered(second, scene.engine)
    pinned = msgspec.structs.replace(pinned, lane=Lane.PINNED)
    keep(registry, (pinned, payload))

    early_page, late_page, pinned_page = map(scene.page, (record, late, pinned))

    assert "the first" in early_page.text
    assert "back again" not in early_page.text
    assert "was made champion again, by a rollback" in late_page.text
    assert "back again" in late_page.text
    assert "The caller asked for version 2 by its number." in pinned_page.text


def test_a_manifest_that_is_lost_is_told(scene: Scene) -> None:
    version = publish(scene.registry, "sum", linear_model(), GUARDED)
    record = scene.answer(version)
    value = version.manifest.partition(":")[2]
    [path] = (scene.data_dir / "artifacts").rglob(value)
    path.unlink()

    page = scene.page(record)

    assert "Its card cannot be read." in page.text
    assert version.manifest in page.text


def test_values_of_any_shape_and_number_are_shown(scene: Scene) -> None:
    registry = scene.registry
    cube = publish(registry, "cube", identity_model("INT64", ("a", "b", "c")))
    many = publish(registry, "many", linear_model())
    scalar = publish(registry, "scalar", identity_model("BOOL", ()))
    records = [
        scene.answer(cube, inputs={"x": np.arange(60).reshape(3, 4, 5)}),
        scene.answer(many, inputs={"x": np.ones((5000, 3), np.float32)}),
        scene.answer(scalar, inputs={"x": np.array([True]).reshape(())}),
    ]

    cube_page, many_page, scalar_page = map(scene.page, records)

    assert "INT64 of the shape [3, 4, 5]: 60 values" in cube_page.text
    assert "6 of 5,000 rows are shown." in many_page.text
    # More values than are written out are in the exact bytes alone.
    kept = json.loads(many_page.carried)["kept"]
    assert (kept["inputs"], len(kept["outputs"])) == ([], 1)
    assert len(base64.b64decode(kept["input_bytes"])) > 60_000
    assert "True" in scalar_page.text


def test_what_is_no_inference_has_no_dossier(scene: Scene) -> None:
    publish(scene.registry, "sum", linear_model())
    size = scene.registry.store.tree_size()
    [leaf] = scene.registry.store.leaves(size - 1, size)
    admin = msgspec.json.decode(leaf, type=AuditRecord)

    with pytest.raises(InvalidRequest):
        scene.gather(admin)
    with pytest.raises(RecordNotFound):
        gather(scene.registry, scene.trail, new_record_id(now_ns()), log=scene.log)


def test_a_replay_is_told(scene: Scene) -> None:
    version = publish(scene.registry, "sum", linear_model())
    publish(scene.registry, "sum", linear_model(2.0), promote=False)
    record = scene.answer(version)
    asking = Asking(scene.registry, scene.trail, scene.engine)

    same = scene.page(record, replay=asking.ask_one(record.id))
    other = scene.page(record, replay=asking.ask_one(record.id, version=2))

    assert "Every bit of every output is the same." in same.text
    assert "Version 2 of the model was asked the same." in other.text
    assert "was not computed again" in scene.page(record).text


def test_before_it_is_published_the_dossier_says_so(scene: Scene) -> None:
    version = publish(scene.registry, "sum", linear_model())
    before = scene.page(scene.answer(version))
    scene.sign()
    after = scene.page(scene.answer(version))

    for page in (before, after):
        assert "Not yet published" in page.text
        assert json.loads(page.carried)["proof"]["text"] is None


def test_the_page_can_be_taken_apart_and_checked_as_it_says(scene: Scene, tmp_path: Path) -> None:
    version = publish(scene.registry, "sum", linear_model(), GUARDED)
    record = scene.answer(version)
    scene.sign()
    content = write_page(scene.gather(record))
    (tmp_path / "DOSSIER.html").write_bytes(content)
    script = next(
        part for part in re.findall(r"(python3 - .*?\nEND)", Page(content).text, re.DOTALL)
    )

    said = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    assert said.splitlines() == [
        "input is what was committed to: True",
        "output is what was committed to: True",
    ]
    leaf = (tmp_path / "record.json").read_bytes()
    proof, _, note = (tmp_path / "proof.txt").read_bytes().decode().partition("\n\n")
    header, index, *path = proof.splitlines()
    vkey = json.loads(Page(content).carried)["proof"]["vkey"]
    checkpoint = Checkpoint.read(open_note(note, Verifier.read(vkey)))
    hashes = [base64.b64decode(line) for line in path]
    assert header == "c2sp.org/tlog-proof@v1"
    assert leaf == scene.trail.record(record.id).leaf
    place = (int(index.split()[1]), checkpoint.size, hashes, checkpoint.root)
    check_inclusion(hash_leaf(leaf), *place)


def test_a_key_is_named_as_it_is_known(scene: Scene) -> None:
    key, _ = make_key(name="loan desk", roles=[Role.INVOKER], author="tests", created=now())
    scene.registry.add_key(key, AUTHOR)
    record, payload = answered(publish(scene.registry, "sum", linear_model()), scene.engine)
    record = msgspec.structs.replace(record, principal=key.id)
    keep(scene.registry, (record, payload))

    assert f"{key.id}: loan desk (invoker)" in scene.page(record).text
