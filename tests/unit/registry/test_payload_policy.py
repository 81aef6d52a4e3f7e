"""A payload policy that cannot be obeyed is refused, by the name of what is at fault."""

from typing import Any

import msgspec
import pytest

from registry.datatypes import Datatype
from registry.errors import InvalidRequest
from registry.manifest import Signature, TensorSpec
from registry.payload_policy import PayloadPolicy, check_policy
from registry.retention import PRESETS, Retention, check_retention, effective_policy

FIRST = Signature(
    inputs=(
        TensorSpec(name="age", datatype=Datatype.UINT8, shape=(-1,)),
        TensorSpec(name="name", datatype=Datatype.BYTES, shape=(-1,)),
        TensorSpec(name="dose", datatype=Datatype.FP16, shape=(-1,)),
        TensorSpec(name="known", datatype=Datatype.BOOL, shape=(-1,)),
    ),
    outputs=(TensorSpec(name="risk", datatype=Datatype.FP32, shape=(-1,)),),
)
SECOND = Signature(
    inputs=(
        TensorSpec(name="age", datatype=Datatype.BYTES, shape=(-1,)),
        TensorSpec(name="weight", datatype=Datatype.FP32, shape=(-1,)),
    ),
    outputs=FIRST.outputs,
)


def policy(**members: Any) -> PayloadPolicy:
    return msgspec.convert(members, PayloadPolicy)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"mode": "sampled", "share": 0.25, "limit": 0},
        {"mode": "digest"},
        {"mode": "off"},
        {"inputs": {"age": {"how": "bucket", "edges": [0, 18, 255]}}},
        {"inputs": {"dose": {"how": "bucket", "edges": [-1.5, 0, 65504]}}},
        {"inputs": {"name": {"how": "pseudonymise"}, "age": {"how": "pseudonymise"}}},
        {"inputs": {"known": {"how": "drop"}}, "outputs": {"risk": {"how": "keep"}}},
    ],
)
def test_a_policy_that_fits_is_accepted(members: dict[str, Any]) -> None:
    check_policy(policy(**members), [FIRST])


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"mode": "sampled"}, "`share`"),
        ({"share": 0.5}, "`share`"),
        ({"mode": "sampled", "share": 1.0}, "between 0 and 1"),
        ({"limit": -1}, "`limit`"),
        ({"mode": "digest", "inputs": {"age": {"how": "drop"}}}, "'digest' keeps no values"),
        ({"mode": "off", "outputs": {"risk": {"how": "drop"}}}, "'off' keeps no values"),
        ({"inputs": {"agee": {"how": "drop"}}}, "no input 'agee'"),
        ({"inputs": {"risk": {"how": "drop"}}}, "no input 'risk'"),
        ({"outputs": {"age": {"how": "drop"}}}, "no output 'age'"),
        ({"inputs": {"dose": {"how": "pseudonymise"}}}, "input 'dose' .* it is FP16"),
        ({"inputs": {"known": {"how": "pseudonymise"}}}, "input 'known' .* it is BOOL"),
        ({"inputs": {"name": {"how": "bucket", "edges": [1]}}}, "input 'name' .* it is BYTES"),
        ({"inputs": {"known": {"how": "bucket", "edges": [1]}}}, "input 'known' .* it is BOOL"),
        ({"inputs": {"age": {"how": "bucket"}}}, "input 'age' .*`edges`"),
        ({"inputs": {"age": {"how": "drop", "edges": [1]}}}, "input 'age' .*`edges`"),
        ({"inputs": {"age": {"how": "bucket", "edges": [1, 1]}}}, "input 'age' .*ascend"),
        ({"inputs": {"age": {"how": "bucket", "edges": [256]}}}, "input 'age' .*UINT8"),
        ({"inputs": {"age": {"how": "bucket", "edges": [1.5]}}}, "input 'age' .*UINT8"),
        ({"inputs": {"dose": {"how": "bucket", "edges": [65520.0]}}}, "input 'dose' .*FP16"),
        ({"inputs": {"dose": {"how": "bucket", "edges": [float("nan")]}}}, "input 'dose'"),
    ],
)
def test_a_policy_that_cannot_be_obeyed_is_refused_by_name(
    members: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        check_policy(policy(**members), [FIRST])


def test_a_policy_names_no_more_than_records_can_repeat() -> None:
    inputs = {f"{number}{'x' * 1000}": {"how": "drop"} for number in range(13)}
    with pytest.raises(InvalidRequest, match="12,288 bytes"):
        check_policy(policy(inputs=inputs), [FIRST])


def test_a_policy_fits_every_version_that_has_the_input() -> None:
    bucket = policy(inputs={"age": {"how": "bucket", "edges": [18]}})

    check_policy(policy(inputs={"weight": {"how": "drop"}}), [FIRST, SECOND])
    with pytest.raises(InvalidRequest, match=r"input 'age' .* it is BYTES"):
        check_policy(bucket, [FIRST, SECOND])


def test_a_preset_has_its_own_days() -> None:
    assert check_retention(Retention(preset="hipaa")) == PRESETS["hipaa"]
    assert check_retention(PRESETS["minimal"]) == PRESETS["minimal"]
    with pytest.raises(InvalidRequest, match="minimal, eu-ai-act, hipaa, bank-mrm"):
        check_retention(Retention(preset="hippa"))
    with pytest.raises(InvalidRequest, match="its own days"):
        check_retention(Retention(preset="hipaa", record_days=30))


@pytest.mark.parametrize(("payload_days", "record_days"), [(0, None), (-1, 9), (None, 9), (10, 9)])
def test_days_that_make_no_sense_are_refused(
    payload_days: int | None, record_days: int | None
) -> None:
    with pytest.raises(InvalidRequest):
        check_retention(Retention(payload_days=payload_days, record_days=record_days))


def test_without_payloads_nothing_is_kept_whatever_the_policy_says() -> None:
    kept = policy(mode="sampled", share=0.5, inputs={"age": {"how": "drop"}})

    assert effective_policy(kept, PRESETS["minimal"]) == policy(mode="digest")
    assert effective_policy(policy(mode="off"), PRESETS["minimal"]) == policy(mode="off")
    assert effective_policy(kept, PRESETS["hipaa"]) == kept
