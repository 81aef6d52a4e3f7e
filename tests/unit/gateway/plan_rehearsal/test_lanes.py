"""Who meets the challenger of a rehearsed plan, and what that shows."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from gateway.errors import SHED
from gateway.plan_rehearsal.course import Met
from gateway.plan_rehearsal.lanes import Lanes
from gateway.plan_rehearsal.recorded import Request
from gateway.plan_rehearsal.report import rehearsed_rollout
from gateway.replay.engines import Sessions
from gateway.rollout.evidence import Facts
from gateway.runtime import Watchdog
from gateway.shadow.challenger import Challenger
from gateway.version_loading import load_version
from registry.audit.replay import Kept, read_whole
from registry.entry import Payload
from registry.manifest import Action, Contract, Draft, OutputRule, Rule, RuleKind
from registry.records import AuditRecord, Outcome
from registry.registry import Registry
from registry.rollouts import Guard, GuardKind, Plan, Step
from registry.times import now
from registry.versions import Version
from tests.builders import linear_model, publish
from tests.recorded import answered, refused

SCORE = Guard(kind=GuardKind.SCORE, margin=1.0, output="y")
AGREEMENT = Guard(kind=GuardKind.AGREEMENT, margin=0.1, output="y")
# Rules that refuse `X` of the recorded requests, whose rows add up to 6 and 15.
NEGATIVE = Contract(rules=(Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, high=0),))
WITHHELD = Contract(
    outputs=(OutputRule(input="y", kind=RuleKind.RANGE, action=Action.REJECT, high=0),)
)

# Lets a request meet a challenger that has a contract, in shadow or as a canary of so many points.
Meet = Callable[..., Met]


@pytest.fixture
def champion(registry: Registry) -> Version:
    return publish(registry, "m", linear_model())


@pytest.fixture
def asked(registry: Registry, champion: Version) -> Iterator[Request]:
    """A request that the champion answered."""
    engine = Sessions(registry.artifacts, deadline_s=2)
    yield as_request(*answered(champion, engine))
    engine.close()


@pytest.fixture
def meet(registry: Registry, champion: Version) -> Iterator[Meet]:
    watchdog = Watchdog(2)

    def let_meet(
        request: Request, contract: Contract | None = None, *, shadow: int = 0, canary: int = 9_999
    ) -> Met:
        draft = Draft(contract=contract or Contract())
        challenger = publish(registry, "m", linear_model(2.0), draft, promote=False)
        plan = Plan(
            challenger=challenger.number,
            guards=(SCORE, AGREEMENT),
            shadow=Step(points=shadow) if shadow else None,
            steps=(Step(points=canary),),
        )
        rollout = rehearsed_rollout("m", champion.number, plan, "salt", now())
        served = load_version(registry, challenger, None, watchdog)
        return Lanes(Challenger(rollout, served, payload_limit=0)).meet(request, rollout)

    yield let_meet
    watchdog.close()


def as_request(record: AuditRecord, payload: Payload) -> Request:
    kept = read_whole(record, payload)
    assert isinstance(kept, Kept)
    return Request(record, payload, kept)


def test_a_shadow_is_compared_with_the_recorded_answer(asked: Request, meet: Meet) -> None:
    met = meet(asked, shadow=10_000)
    assert met.was_run
    assert met.facts == (
        Facts(is_challenger=False),
        Facts(is_challenger=True, scores=(10.5,), differs=(True,)),
    )


def test_a_shadow_gets_its_share_and_nothing_that_the_champion_refused(
    asked: Request, champion: Version, meet: Meet
) -> None:
    none = [meet(replace(asked, record=replace(asked.record, id="a")), shadow=1)]
    none.append(meet(as_request(*refused(champion)), shadow=10_000))
    assert none == [Met(), Met()]


def test_a_canary_answers_its_callers_and_the_record_says_what_others_were_answered(
    asked: Request, meet: Meet
) -> None:
    ours = replace(asked, record=replace(asked.record, request_id="caller"))
    taken = meet(ours)
    assert taken == Met(
        (Facts(is_challenger=True, scores=(21.0,)),), was_run=True, is_answered=True
    )
    assert meet(ours, canary=1) == Met((Facts(is_challenger=False, scores=(10.5,)),))


def test_what_the_champion_refused_or_failed_counts_as_that(
    asked: Request, champion: Version, meet: Meet
) -> None:
    record, payload = refused(champion)
    broken = as_request(replace(record, violations=("range x[0,0]",)), payload)
    assert meet(broken, canary=1).facts == (Facts(is_challenger=False, refused=True),)
    failed = as_request(replace(record, outcome=Outcome.FAILED, error="model-failed"), payload)
    assert meet(failed, canary=1).facts == (Facts(is_challenger=False, failed=True),)
    warming = replace(asked, record=replace(asked.record, observed=("range x[0] (would reject)",)))
    assert meet(warming, canary=1).facts == (
        Facts(is_challenger=False, refused=True, scores=(10.5,)),
    )


@pytest.mark.parametrize("canary", [1, 9_999])
@pytest.mark.parametrize("code", sorted(SHED))
def test_what_was_shed_shows_nothing_of_either_lane(
    champion: Version, meet: Meet, code: str, canary: int
) -> None:
    record, payload = refused(champion)
    shed = as_request(replace(record, error=code), payload)
    assert meet(shed, canary=canary) == Met()


def test_a_challenger_that_refuses_did_not_fail_and_one_that_fails_is_at_fault(
    asked: Request, meet: Meet
) -> None:
    refusal = meet(asked, NEGATIVE)
    assert refusal == Met((Facts(is_challenger=True, refused=True),), was_run=True)
    fault = meet(asked, WITHHELD)
    assert fault.facts == (Facts(is_challenger=True, failed=True),)
    assert (fault.fault, fault.is_answered) == ("output-not-accepted", False)


def test_a_fault_that_the_champion_shares_is_none_of_a_row(asked: Request, meet: Meet) -> None:
    record = replace(asked.record, outcome=Outcome.FAILED, error="model-failed")
    met = meet(replace(asked, record=record), WITHHELD)
    assert (met.facts[0].failed, met.fault) == (True, None)
