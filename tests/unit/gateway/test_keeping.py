"""What a payload policy leaves of a request, by itself and through the whole pipeline."""

import asyncio
import bisect
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cases import Answer, Call
from gateway.journal import Journal
from gateway.keeping import Keeping, resolve_policy
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics
from gateway.security import Role, read_credential
from registry import privacy
from registry.audit.query import AuditTrail, Found
from registry.datatypes import Datatype
from registry.entry import Payload, commit, encode_record
from registry.errors import PayloadKeyMissing, PayloadNotFound
from registry.manifest import Signature, TensorSpec
from registry.payload_policy import PayloadPolicy
from registry.registry import Registry
from registry.retention import Retention
from registry.tensors import NUMPY_TYPES, Tensor, decode_tensors, encode_tensors
from registry.vault import Vault
from tests.builders import AUTHOR, add_key, open_registry, publish, two_input_model
from tests.unit.gateway.serving import make_loader, make_pipeline

DISTANCE = np.array([[100.0], [2500.0]], np.float32)
CARRIER = np.array([["UA"], ["Zoé"]], object)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path / "payload.key")
    vault.make_key()
    return vault


def policy(**members: Any) -> PayloadPolicy:
    return msgspec.convert(members, PayloadPolicy)


def resolve(vault: Vault, datatype: Datatype, **treatment: Any) -> Keeping:
    spec = TensorSpec(name="x", datatype=datatype, shape=(-1,))
    signature = Signature(inputs=(spec,), outputs=())
    keeping = resolve_policy(policy(inputs={"x": treatment}), signature, vault)
    assert keeping is not None
    return keeping


def pseudonym(vault: Vault, name: str, text: str) -> str:
    return hmac.digest(vault.pseudonym_key(), f"{name}\0{text}".encode(), "sha256").hex()


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        (Datatype.BYTES, np.array([["a", ""], ["é", "a"]], object)),
        (Datatype.INT64, np.array([[-(2**63), 7], [0, 7]], np.int64)),
        (Datatype.UINT8, np.array([[255, 7], [0, 7]], np.uint8)),
    ],
)
def test_a_pseudonym_is_the_keyed_hash_of_name_and_text(
    vault: Vault, datatype: Datatype, values: Tensor
) -> None:
    kept = resolve(vault, datatype, how="pseudonymise").inputs({"x": values})["x"]

    expected = [pseudonym(vault, "x", str(value)) for value in values.ravel().tolist()]
    assert kept.ravel().tolist() == expected
    assert decode_tensors(encode_tensors({"x": kept}))["x"].shape == values.shape


FLOATS = (Datatype.FP16, Datatype.BF16, Datatype.FP32, Datatype.FP64)
EDGES = st.lists(st.integers(0, 120), min_size=1, max_size=6, unique=True).map(sorted)


@given(
    datatype=st.sampled_from([*FLOATS, Datatype.UINT8, Datatype.INT16, Datatype.UINT64]),
    edges=EDGES,
    values=st.lists(st.integers(0, 127), max_size=8),
)
def test_a_bucket_keeps_the_greatest_edge_that_is_not_above(
    datatype: Datatype, edges: list[int], values: list[int]
) -> None:
    kind = NUMPY_TYPES[datatype]
    keeping = resolve(Vault(Path("none")), datatype, how="bucket", edges=edges)

    kept = keeping.inputs({"x": np.array(values, kind)})["x"]

    least = -np.inf if datatype in FLOATS else np.iinfo(kind).min
    lower = [least, *edges]
    expected = [lower[bisect.bisect_right(edges, value)] for value in values]
    assert kept.dtype == kind
    assert kept.tolist() == expected


@pytest.mark.parametrize("datatype", FLOATS)
def test_a_missing_number_stays_missing_in_buckets(datatype: Datatype) -> None:
    keeping = resolve(Vault(Path("none")), datatype, how="bucket", edges=[0.5])
    values = np.array([np.nan, np.inf, -np.inf], NUMPY_TYPES[datatype])

    kept = keeping.inputs({"x": values})["x"].astype(np.float64)

    assert np.isnan(kept[0])
    assert kept[1:].tolist() == [0.5, -np.inf]


def test_the_edges_of_the_largest_numbers_are_exact() -> None:
    edge = 2**63 + 1
    keeping = resolve(Vault(Path("none")), Datatype.UINT64, how="bucket", edges=[edge])

    kept = keeping.inputs({"x": np.array([edge - 1, edge, edge + 1], np.uint64)})["x"]

    assert kept.tolist() == [0, edge, edge]


def test_what_a_later_version_cannot_have_treated_is_dropped(vault: Vault) -> None:
    keeping = resolve(vault, Datatype.BYTES, how="bucket", edges=[18])

    assert keeping.inputs({"x": np.array(["44"], object)}) == {}
    assert keeping.reduced == ("x:drop",)


def test_a_policy_that_changes_nothing_costs_nothing(vault: Vault) -> None:
    spec = TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1,))
    signature = Signature(inputs=(spec,), outputs=())
    kept = policy(inputs={"x": {"how": "keep"}, "z": {"how": "drop"}})

    assert resolve_policy(PayloadPolicy(), signature, vault) is None
    assert resolve_policy(kept, signature, vault) is None


def test_a_sample_has_the_share_that_was_asked_for(vault: Vault) -> None:
    keeping = resolve_policy(
        policy(mode="sampled", share=0.25), Signature(inputs=(), outputs=()), vault
    )
    assert keeping is not None
    salts = [number.to_bytes(8) + bytes(24) for number in range(0, 1 << 64, 1 << 54)]

    kept = [salt for salt in salts if keeping.refusal(salt) is None]

    assert kept == salts[:256]
    assert {keeping.refusal(salt) for salt in salts[256:]} == {"unsampled"}


def test_without_its_key_nothing_is_written_in_clear(tmp_path: Path) -> None:
    with pytest.raises(PayloadKeyMissing):
        resolve(Vault(tmp_path / "none"), Datatype.BYTES, how="pseudonymise")


# Through the pipeline


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = open_registry(tmp_path / "data")
    publish(registry, "two", two_input_model())
    yield registry
    registry.store.close()


async def answer_one(registry: Registry, folder: Path, call: Call) -> str:
    """Answer a call by a worker's own parts, and return the id of its record."""
    with make_loader(registry) as loader:
        await loader.load()
        journal = Journal(folder, on_broken=lambda _: None)
        long_runs = LongRuns(threads=1, longest_wait_s=1)
        pipeline = make_pipeline(loader, journal, long_runs, Metrics(), payload_limit=1000)
        answer = await pipeline.infer(call)
        await journal.close()
        long_runs.close()
    assert isinstance(answer, Answer)
    return answer.record_id


def ask(registry: Registry, folder: Path, **parameters: Any) -> tuple[Found, Payload | None]:
    """Ask the model `two` once, by the policy that is set, and return what is kept of it."""
    folder.mkdir(exist_ok=True)
    inputs = [
        {"name": "distance", "datatype": "FP32", "shape": [2, 1], "data": [100, 2500]},
        {"name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": ["UA", "Zoé"]},
    ]
    call = Call(
        model="two",
        version=None,
        body=msgspec.json.encode({"inputs": inputs, "parameters": parameters}),
        credential=read_credential(f"Bearer {add_key(registry, Role.INVOKER)}"),
        source="127.0.0.1",
    )
    record_id = asyncio.run(answer_one(registry, folder, call))
    trail = AuditTrail(registry.store, folder)
    found = trail.record(record_id)
    assert encode_record(found.record) == found.leaf
    try:
        return found, trail.payload(record_id)
    except PayloadNotFound:
        return found, None


def test_nothing_but_what_the_policy_leaves_is_written(registry: Registry, tmp_path: Path) -> None:
    treated = {
        "distance": {"how": "bucket", "edges": [0, 1000]},
        "carrier": {"how": "pseudonymise"},
    }
    kept = policy(inputs=treated, outputs={"c": {"how": "drop"}, "d": {"how": "drop"}})
    privacy.set_payload_policy(registry, "two", kept, AUTHOR)

    found, payload = ask(registry, tmp_path / "journal")

    assert payload is not None
    assert payload.input is not None
    inputs = decode_tensors(payload.input)
    assert inputs["distance"].tolist() == [[0], [1000]]
    codes = [[pseudonym(registry.store.vault, "carrier", text)] for text in ("UA", "Zoé")]
    assert inputs["carrier"].tolist() == [[code.encode()] for [code] in codes]
    assert payload.output == b""
    assert found.record.input == commit(payload.salt, payload.input)
    assert found.record.output == commit(payload.salt, b"")
    assert found.record.reduced == (
        "distance:bucket", "carrier:pseudonymise", "d:drop", "c:drop",
    )  # fmt: skip
    assert found.record.payload is None
    [segment] = (tmp_path / "journal").iterdir()
    written = segment.read_bytes()
    assert "Zoé".encode() not in written
    assert np.float32(2500).tobytes() not in written


def test_a_digest_commits_to_everything_and_keeps_the_salt(
    registry: Registry, tmp_path: Path
) -> None:
    privacy.set_payload_policy(registry, "two", policy(mode="digest"), AUTHOR)

    found, payload = ask(registry, tmp_path / "journal", subject="Ann")

    assert payload is not None
    assert (payload.input, payload.output) == (None, None)
    given = encode_tensors({"distance": DISTANCE, "carrier": CARRIER})
    assert found.record.input == commit(payload.salt, given)
    assert found.record.subject_commitment == commit(payload.salt, b"Ann")
    assert (found.record.payload, found.record.reduced) == ("digest", ())


def test_off_means_that_nothing_is_kept_and_nothing_committed_to(
    registry: Registry, tmp_path: Path
) -> None:
    privacy.set_payload_policy(registry, "two", policy(mode="off"), AUTHOR)

    found, payload = ask(registry, tmp_path / "journal", subject="Ann")

    assert payload is None
    record = found.record
    assert (record.input, record.output, record.subject_commitment) == (None, None, None)
    assert record.payload == "off"
    assert record.rows == 2


def test_the_limit_of_a_policy_goes_before_that_of_the_gateway(
    registry: Registry, tmp_path: Path
) -> None:
    privacy.set_payload_policy(registry, "two", policy(limit=10), AUTHOR)

    found, payload = ask(registry, tmp_path / "journal")

    assert payload is not None
    assert (payload.input, found.record.payload) == (None, "too-large")


def test_a_subject_is_committed_to_and_not_named(registry: Registry, tmp_path: Path) -> None:
    found, payload = ask(registry, tmp_path / "journal", subject="Ann Ó")

    assert payload is not None
    assert payload.subject == "Ann Ó"
    assert found.record.subject_commitment == commit(payload.salt, "Ann Ó".encode())
    assert b"Ann" not in found.leaf


def test_a_policy_is_obeyed_from_the_next_roster_on_and_no_model_is_loaded_again(
    registry: Registry,
) -> None:
    with make_loader(registry) as loader:
        asyncio.run(loader.load())
        before = loader.roster.models["two"].versions[1]
        privacy.set_payload_policy(registry, "two", policy(mode="digest"), AUTHOR)
        asyncio.run(loader.load())
        during = loader.roster.models["two"].versions[1]
        privacy.set_payload_policy(registry, "two", PayloadPolicy(), AUTHOR)
        privacy.set_retention(registry, "two", Retention(preset="minimal"), AUTHOR)
        asyncio.run(loader.load())
        minimal = loader.roster.models["two"].champion
        privacy.set_retention(registry, "two", Retention(), AUTHOR)
        asyncio.run(loader.load())
        after = loader.roster.models["two"].champion

    assert minimal is not None
    assert after is not None
    assert before.keeping is None
    assert during.keeping is not None
    assert minimal.keeping == during.keeping
    assert after.keeping is None
    assert during.runner is after.runner is before.runner
