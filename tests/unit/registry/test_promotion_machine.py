"""People, rollouts, findings and policies in any order: no path leads to the champion without what
the policy asks. The test keeps a ledger of its own, in which each promotion is allowed or is not.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from registry import drift, promoting, rolling_out
from registry.artifacts import Artifacts
from registry.drift_policy import DriftAction, DriftPolicy
from registry.errors import RegistryError
from registry.promotion_policy import NOBODY, PromotionPolicy, RolloutNeed
from registry.promotions import Promotion
from registry.recording import Author
from registry.rollouts import Guard, GuardKind, Plan, Step, Verdict
from registry.store import open_store
from registry.versions import AliasCause
from tests.builders import Count
from tests.unit.registry.promotable import (
    ANN,
    ANN_AGAIN,
    BEN,
    CARL,
    MODEL,
    ROLES,
    Clock,
    assess,
    find,
    last_records,
    make_registry,
)

VERSIONS = 4
PEOPLE: dict[str, tuple[Author, str]] = {
    "ann": (ANN, "ann"),
    "ann again": (ANN_AGAIN, "ann"),
    "ben": (BEN, "key-ben"),
    "carl": (CARL, "local:carl"),
}
GUARDS = (
    Guard(kind=GuardKind.ERRORS, margin=1.5),
    Guard(kind=GuardKind.LATENCY, margin=1.5),
)

policies = st.builds(
    PromotionPolicy,
    second_person=st.sampled_from([True, True, False]),
    request_hours=st.sampled_from([2.0, 5.0]),
    break_glass=st.sampled_from(["deployer", "admin", NOBODY]),
    rollout=st.none()
    | st.none()
    | st.builds(
        RolloutNeed,
        shadow_requests=st.sampled_from([0, 100]),
        canary_requests=st.sampled_from([0, 100]),
        guards=st.sampled_from([(), (GuardKind.ERRORS,), (GuardKind.LATENCY,)]),
    ),
)
people = st.sampled_from(sorted(PEOPLE))
numbers = st.integers(1, VERSIONS)


@dataclass
class Watched:
    """A rollout as the ledger has it."""

    version: int
    champion: int
    guards: tuple[GuardKind, ...]
    stages: list[bool]  # whether each is the shadow's
    counts: list[int] = field(default_factory=list)
    is_over: bool = False
    is_paused: bool = False

    @property
    def has_passed(self) -> bool:
        return not self.is_over and len(self.counts) == len(self.stages)

    def requests(self, *, is_shadow: bool) -> int:
        pairs = zip(self.stages, self.counts, strict=False)
        return sum(count for shadow, count in pairs if shadow is is_shadow)


@dataclass
class Asked:
    """A request as the ledger has it: by whom, and how things stood."""

    version: int
    person: str
    moves: int
    policy: PromotionPolicy
    evidence: Any
    expires: datetime
    is_open: bool = True


class Promotions(RuleBasedStateMachine):
    """Every action is tried on the registry and in the ledger, and both must agree."""

    outcomes: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name)
        self.clock = Clock()
        self.registry = make_registry(
            open_store(path), Artifacts(path / "artifacts"), self.clock, versions=VERSIONS
        )
        self.policy = PromotionPolicy()
        self.champion: int | None = None
        self.line: list[int] = []  # the champions that led to the present one
        self.moves = 0
        self.retired: set[int] = set()
        self.findings: dict[str, int] = {}
        self.rollouts: dict[str, Watched] = {}
        self.asked: dict[str, Asked] = {}

    def teardown(self) -> None:
        self.registry.store.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        hold = DriftPolicy(action=DriftAction.HOLD_PROMOTION)
        drift.set_drift_policy(self.registry, MODEL, hold, CARL)
        self.registry.promote(MODEL, 1, "the first", CARL)
        self._moved_to(1)

    @rule(policy=policies)
    def set_policy(self, policy: PromotionPolicy) -> None:
        promoting.set_promotion_policy(self.registry, MODEL, policy, ROLES, CARL)
        self.policy = policy

    @rule(number=numbers, who=people, by_force=st.sampled_from([False, False, False, True]))
    def ask(self, number: int, who: str, by_force: bool) -> None:
        author, person = PEOPLE[who]
        allowed = self._may_ask(number, author, by_force=by_force)
        done = self._try(
            allowed,
            lambda: promoting.ask(self.registry, MODEL, number, "why", author, by_force=by_force),
        )
        if isinstance(done, Promotion):
            assert self.policy.second_person
            assert not by_force
            self.asked[done.id] = self._request(number, person)
        elif allowed:
            assert by_force or not self.policy.second_person
            self._check_record(author, by_force=by_force)
            self._moved_to(number)

    @rule(number=numbers, who=people)
    def promote_now(self, number: int, who: str) -> None:
        """The library's verb, which no request can come of."""
        author, _ = PEOPLE[who]
        allowed = self._lacks(number) == [] and not self.policy.second_person
        if self._try(allowed, lambda: self.registry.promote(MODEL, number, "why", author)):
            self._moved_to(number)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), who=people)
    def approve(self, data: st.DataObject, who: str) -> None:
        self._approve(self._pick(data, self.asked), who)

    @rule(number=numbers, who=people, other=people)
    def ask_and_approve(self, number: int, who: str, other: str) -> None:
        """What else needs two steps in a row."""
        before = len(self.asked)
        self.ask(self._other(number), who, by_force=False)
        if len(self.asked) > before:
            self._approve(next(reversed(self.asked)), other)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), who=people)
    def reject(self, data: st.DataObject, who: str) -> None:
        chosen = self._pick(data, self.asked)
        asked = self.asked[chosen]
        allowed = asked.is_open and self.clock() < asked.expires
        author, _ = PEOPLE[who]
        if self._try(allowed, lambda: promoting.reject(self.registry, chosen, "no", author)):
            asked.is_open = False

    @rule(hours=st.sampled_from([0.5, 2.0, 5.0]))
    def wait(self, hours: float) -> None:
        self.clock.pass_hours(hours)

    @rule()
    def expire(self) -> None:
        due = {
            key for key, one in self.asked.items() if one.is_open and one.expires <= self.clock()
        }
        assert {one.id for one in promoting.expire_due(self.registry, CARL)} == due
        for key in due:
            self.asked[key].is_open = False

    @rule(who=people)
    def roll_back(self, who: str) -> None:
        author, _ = PEOPLE[who]
        earlier = [one for one in self.line[:-1] if one not in {*self.retired, self.champion}]
        allowed = bool(earlier)
        if self._try(allowed, lambda: self.registry.roll_back(MODEL, "worse", author)):
            at = max(i for i, one in enumerate(self.line[:-1]) if one == earlier[-1])
            del self.line[at:]
            self._moved_to(earlier[-1], is_promotion=False)

    @precondition(lambda self: self.asked)
    @rule(number=numbers, who=people)
    def move_there_and_back(self, number: int, who: str) -> None:
        """The champion is what it was, and yet a request from before is stale."""
        self.ask(self._other(number), "carl", by_force=True)
        self.roll_back("carl")
        self._approve(next(reversed(self.asked)), who)

    @precondition(lambda self: self.asked)
    @rule(policy=policies, who=people)
    def set_policy_and_approve(self, policy: PromotionPolicy, who: str) -> None:
        self.set_policy(policy)
        self._approve(next(reversed(self.asked)), who)

    @rule(number=numbers)
    def retire(self, number: int) -> None:
        is_challenger = any(
            not one.is_over and one.version == number for one in self.rollouts.values()
        )
        kept = {number for number in range(1, VERSIONS + 1)} - self.retired - {number}
        if len(kept) < 3:
            return
        allowed = number not in {*self.retired, self.champion} and not is_challenger
        if self._try(allowed, lambda: self.registry.retire(MODEL, number, "old", CARL)):
            self.retired.add(number)

    @rule(
        number=numbers,
        who=people,
        guards=st.sampled_from([GUARDS[:1], GUARDS]),
        shadow=st.sampled_from([None, 60, 100]),
        steps=st.lists(st.sampled_from([50, 60]), max_size=2),
    )
    def start_rollout(
        self, number: int, who: str, guards: tuple[Guard, ...], shadow: int | None, steps: list[int]
    ) -> None:
        if shadow is None and not steps:
            return
        plan = Plan(
            challenger=number,
            guards=guards,
            shadow=None if shadow is None else Step(points=10_000, min_requests=shadow, min_s=0),
            steps=tuple(Step(points=10, min_requests=count, min_s=0) for count in steps),
        )
        author, _ = PEOPLE[who]
        allowed = number not in {*self.retired, self.champion} and not any(
            not one.is_over and one.version == number for one in self.rollouts.values()
        )
        edges_us = [1_000] * len(guards)
        rollout = self._try(
            allowed,
            lambda: rolling_out.start(self.registry, MODEL, plan, "new", author, edges_us=edges_us),
        )
        if rollout is not None:
            assert self.champion is not None
            kinds = tuple(guard.kind for guard in guards)
            stages = [*([] if shadow is None else [True]), *(False for _ in steps)]
            self.rollouts[rollout.id] = Watched(number, self.champion, kinds, stages)

    @precondition(lambda self: self.rollouts)
    @rule(data=st.data(), verdict=st.sampled_from([*[Verdict.NON_INFERIOR] * 4, *Verdict]))
    def judge(self, data: st.DataObject, verdict: Verdict) -> None:
        self._judge(self._pick(data, self.rollouts), verdict)

    def _judge(self, chosen: str, verdict: Verdict) -> None:
        watched = self.rollouts[chosen]
        rollout = self.registry.store.rollout(chosen)
        assert rollout is not None
        allowed = (
            not watched.is_over
            and not watched.is_paused
            and not watched.has_passed
            and verdict is Verdict.NON_INFERIOR
        )
        assessment = assess(rollout, verdict)
        judged = [
            one
            for one in assessment.judgements
            if one.guard.kind is GuardKind.ERRORS or not rollout.is_shadow
        ]
        assessment = type(assessment)(
            at=assessment.at, stage=assessment.stage, verdict=verdict,
            requests=assessment.requests, judgements=tuple(judged),
        )  # fmt: skip
        if self._try(allowed, lambda: rolling_out.advance(self.registry, chosen, assessment, CARL)):
            watched.counts.append(assessment.requests)

    @precondition(lambda self: self.rollouts)
    @rule()
    def pass_all(self) -> None:
        """Let the newest rollout pass what is left of it."""
        watched = next(reversed(self.rollouts.values()))
        for _ in range(len(watched.stages) - len(watched.counts)):
            self._judge(next(reversed(self.rollouts)), Verdict.NON_INFERIOR)

    @precondition(lambda self: self.rollouts)
    @rule(data=st.data(), verb=st.sampled_from(["trip", "abort", "pause", "resume"]))
    def stop_rollout(self, data: st.DataObject, verb: str) -> None:
        chosen = self._pick(data, self.rollouts)
        watched = self.rollouts[chosen]
        allowed = verb == "trip" or not watched.is_over
        act: Callable[..., Any] = getattr(rolling_out, verb)
        if self._try(allowed, lambda: act(self.registry, chosen, "so it is", CARL)):
            watched.is_over = watched.is_over or verb in {"trip", "abort"}
            watched.is_paused = verb == "pause"

    @precondition(lambda self: self.rollouts)
    @rule(data=st.data(), how=st.sampled_from(["promote", "ask"]))
    def finish_rollout(self, data: st.DataObject, how: str) -> None:
        """What the controller does when a rollout has passed."""
        chosen = self._pick(data, self.rollouts)
        watched = self.rollouts[chosen]
        rollout = self.registry.store.rollout(chosen)
        assert rollout is not None
        fits = self._lacks(watched.version) == []
        if how == "promote":
            allowed = fits and watched.has_passed and not self.policy.second_person
            verb = rolling_out.finish_promoted
            if self._try(allowed, lambda: verb(self.registry, chosen, "passed", CARL)):
                self._moved_to(watched.version)
            return
        person = next(whose for one, whose in PEOPLE.values() if one.principal == rollout.author)
        allowed = fits and watched.has_passed and not self._is_asked(watched.version)
        asked = self._try(
            allowed, lambda: promoting.ask_for_rollout(self.registry, chosen, "passed")
        )
        if asked is not None:
            self.asked[asked.id] = self._request(watched.version, person)

    @rule(number=numbers, is_time=st.sampled_from([True, *[False] * 4]))
    def find(self, number: int, is_time: bool) -> None:
        if is_time and len(self.findings) < 2:
            self.findings[find(self.registry, number).id] = number

    @precondition(lambda self: self.findings)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.findings)))
        drift.close_finding(self.registry, MODEL, chosen, "a campaign", CARL)
        del self.findings[chosen]

    @invariant()
    def a_step_is_counted(self) -> None:
        self.outcomes["steps"] += 1

    @invariant()
    def the_champion_is_the_ledgers(self) -> None:
        assert self.registry.store.aliases(MODEL).get("champion") == self.champion

    def _other(self, number: int) -> int:
        """Choose a version that can be promoted; there is always one."""
        left = sorted({*range(1, VERSIONS + 1)} - self.retired - {self.champion})
        return left[number % len(left)]

    def _pick(self, data: st.DataObject, among: dict[str, Any]) -> str:
        """Choose one of the newest: what is old was decided long ago."""
        return data.draw(st.sampled_from(list(reversed(among))[:2]))

    def _try(self, allowed: bool, verb: Callable[[], Any]) -> Any:
        """Let a verb be done where the ledger allows it, and be refused without a trace else."""
        size = self.registry.store.tree_size()
        try:
            done = verb()
        except RegistryError as refusal:
            assert not allowed, refusal  # noqa: PT017 - only what the ledger forbids is refused
            assert self.registry.store.tree_size() == size
            self.outcomes[refusal.slug] += 1
            return None
        assert allowed, done
        self.outcomes["done"] += 1
        return done

    def _approve(self, chosen: str, who: str) -> None:
        author, person = PEOPLE[who]
        asked = self.asked[chosen]
        allowed = (
            asked.is_open
            and self.clock() < asked.expires
            and (person != asked.person or not asked.policy.second_person)
            and asked == self._request(asked.version, asked.person, asked.expires)
            and self._lacks(asked.version) == []
        )
        if self._try(
            allowed, lambda: promoting.approve(self.registry, chosen, "looked at it", author)
        ):
            asked.is_open = False
            self._moved_to(asked.version)

    def _may_ask(self, number: int, author: Author, *, by_force: bool) -> bool:
        if number in {*self.retired, self.champion}:
            return False
        lacks = self._lacks(number)
        if by_force:
            role = self.policy.break_glass
            is_let = role != NOBODY and (author.roles is None or role in author.roles)
            return is_let or (not lacks and not self.policy.second_person)
        return not lacks and not (self.policy.second_person and self._is_asked(number))

    def _is_asked(self, number: int) -> bool:
        return any(
            one.is_open
            and one.version == number
            and self.clock() < one.expires
            and one == self._request(number, one.person, one.expires)
            for one in self.asked.values()
        )

    def _lacks(self, number: int) -> list[str]:
        """Say what of evidence a version lacks, by the ledger alone."""
        if number in {*self.retired, self.champion}:
            return ["it cannot be promoted"]
        lacks = ["a finding"] if self.champion in self.findings.values() else []
        need = self.policy.rollout
        if need is not None:
            rollout = self._rollout(number)
            if rollout is None or not rollout.has_passed:
                return [*lacks, "a rollout"]
            if rollout.requests(is_shadow=True) < need.shadow_requests:
                lacks.append("shadow")
            if rollout.requests(is_shadow=False) < need.canary_requests:
                lacks.append("canary")
            is_judged = GuardKind.ERRORS in rollout.guards
            canaried = False in rollout.stages
            if GuardKind.LATENCY in need.guards:
                is_judged = canaried and GuardKind.LATENCY in rollout.guards
            if need.guards and not is_judged:
                lacks.append("a guard")
        return lacks

    def _rollout(self, number: int) -> Watched | None:
        """Return the latest rollout of a version against the present champion."""
        found = [
            one
            for _, one in sorted(self.rollouts.items())
            if (one.version, one.champion) == (number, self.champion)
        ]
        return found[-1] if found else None

    def _request(self, number: int, person: str, expires: datetime | None = None) -> Asked:
        """Write down a request as it would be made now."""
        rollout = self._rollout(number)
        shown = None if rollout is None else (id(rollout), len(rollout.counts), rollout.is_over)
        until = self.clock() + timedelta(hours=self.policy.request_hours)
        return Asked(
            number, person, self.moves, self.policy, shown, until if expires is None else expires
        )

    def _moved_to(self, number: int, *, is_promotion: bool = True) -> None:
        change = self.registry.store.alias_changes(MODEL)[-1]
        assert change.version == number
        assert (change.cause is AliasCause.PROMOTE) == is_promotion
        for one in self.rollouts.values():
            one.is_over = True
        self.champion = number
        self.line.append(number)
        self.moves += 1

    def _check_record(self, author: Author, *, by_force: bool) -> None:
        """What force passed over is in the record, and nothing is where nothing was."""
        [record] = [one for one in last_records(self.registry, 6) if one.action == "promote"][:1]
        assert record.principal == author.principal
        if not by_force:
            assert record.subject is None


def test_no_path_leads_to_the_champion_without_what_the_policy_asks() -> None:
    run_state_machine_as_test(
        Promotions, settings=settings(max_examples=10, stateful_step_count=40)
    )


@pytest.mark.torture
def test_no_path_of_twenty_thousand_steps_does(count: Count) -> None:
    Promotions.outcomes.clear()

    run_state_machine_as_test(
        Promotions, settings=settings(max_examples=300, stateful_step_count=100)
    )

    outcomes = Promotions.outcomes
    count(", ".join(f"{number:,} {name}" for name, number in outcomes.most_common()))
    assert outcomes["steps"] >= 20_000
    assert {
        "self-approval",
        "promotion-stale",
        "promotion-expired",
        "promotion-decided",
        "promotion-held",
        "force-not-allowed",
    } <= outcomes.keys()
