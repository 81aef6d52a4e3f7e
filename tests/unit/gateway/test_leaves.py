"""A leaf from a form has the bytes that the encoder would have written."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.leaves import AnswerLeaves
from registry.entry import encode_record
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.session import runtime_id

NUMBERS = st.integers(0, 2**40)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
REDUCED = ('a"id":"@":drop', "%d:bucket", '"rows":0:bucket')
ROLLOUT = "01a20f94-aaaa-7e70-80fa-928be823b14d"
LEAVES = {
    rollout: AnswerLeaves(
        model="1000000001",
        version=7,
        digest="sha256:ab",
        manifest="sha256:cd",
        reduced=REDUCED,
        rollout=rollout,
    )
    for rollout in (None, ROLLOUT)
}


@given(
    lane=st.sampled_from(Lane),
    source=st.sampled_from([None, "127.0.0.1", "fe80::1%eth0"]),
    request_id=st.none() | st.text(max_size=30),
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    commitments=st.tuples(HEX, HEX, st.none() | HEX),
    payload=st.sampled_from([None, "unsampled", "too-large"]),
    rollout=st.sampled_from([None, ROLLOUT]),
)
def test_a_leaf_from_a_form_is_the_encoded_record(
    lane: Lane,
    source: str | None,
    request_id: str | None,
    numbers: tuple[int, int, int, int, int],
    commitments: tuple[str, str, str | None],
    payload: str | None,
    rollout: str | None,
) -> None:
    time_ns, *counts = numbers
    same: dict[str, Any] = {
        "id": "01a20f94-bc2f-7e70-80fa-928be823b14d",
        "request_id": request_id,
        **dict(zip(("rows", "batch", "batch_row", "latency_us"), counts, strict=True)),
        "input": commitments[0],
        "output": commitments[1],
        "payload": payload,
    }
    record = AuditRecord(
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.ANSWERED,
        principal="key-0123456789ab",
        source=source,
        model="1000000001",
        version=7,
        digest="sha256:ab",
        manifest="sha256:cd",
        runtime=runtime_id(),
        lane=lane,
        subject_commitment=commitments[2],
        reduced=REDUCED,
        rollout=rollout,
        **same,
    )
    leaf = LEAVES[rollout].write(
        lane, "key-0123456789ab", source, time_ns=time_ns, subject=commitments[2], **same
    )

    assert leaf == encode_record(record)


def test_forms_do_not_grow_without_bound() -> None:
    leaves = AnswerLeaves(model="m", version=1, digest="sha256:ab", manifest="sha256:cd")
    blanks = {"id": "id", "request_id": None, "input": "a", "output": "b"}
    counts = {"time_ns": 1, "rows": 1, "batch": 1, "batch_row": 0, "latency_us": 1}

    for number in range(3000):
        source = f"10.0.{number // 256}.{number % 256}"
        leaves.write(Lane.CHAMPION, "key", source, **blanks, **counts)

    assert len(leaves._forms) <= 1024
