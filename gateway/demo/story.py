"""The story of the demonstration, act by act: from a first model to an audited answer."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace as altered

from gateway.demo import rollout as rolling
from gateway.demo.flights import REPLAY_MONTH, Flight, replay_rows
from gateway.demo.replay import MODEL, Reply, Traffic
from gateway.demo.report import Summary
from gateway.demo.served import Gateway
from registry.audit.verify.checkpoints import Trust
from registry.audit.verify.faults import Invalid
from registry.audit.verify.notes import read_vkey
from registry.audit.verify.receipts import check_receipt, read_answer
from registry.manifest import Draft
from registry.rollouts import Phase, Rollout

_SEED = 7
_FLIGHTS = 28_000  # of the 28,293 of July that arrived
_FEW = 200
_COUNTED_S = 10.0
_MODEL_PATH = f"/admin/models/{MODEL}"


class Models(Struct, frozen=True):
    """Two honest models, and one that learned from flights with the weather of others."""

    first: tuple[bytes, Draft]
    second: tuple[bytes, Draft]
    broken: tuple[bytes, Draft]


class Story:
    """The acts of the demonstration, in their order."""

    def __init__(self, gateway: Gateway, summary: Summary) -> None:
        self._gateway = gateway
        self._summary = summary
        self._traffic = Traffic(replay_rows(_FLIGHTS, _SEED, REPLAY_MONTH), _SEED)
        self._replies: list[Reply] = []
        self._author = ""  # of the first rollout

    def play(self, models: Models, rows: int) -> None:
        """Play the acts up to one that is not as promised; the summary has what happened."""
        acts = (
            partial(self._serve, rows),
            partial(self._roll_out, models.second),
            self._approve,
            partial(self._catch, models.broken),
            self._roll_back,
            self._audit,
        )
        for act in acts:
            if self._summary.is_kept:
                act()

    def _serve(self, rows: int) -> None:
        """Version 1 answers; broken requests are refused; drift is seen."""
        summary = self._summary
        summary.begin("Version 1 serves.", "It learned from January to March; now July flies.")
        flights = self._traffic.take(rows)
        replies = self._gateway.replay(flights, "July flights, version 1")
        summary.add_replay("July flights", replies, expected_version="1")
        self._replies += replies
        broken = [(number, one) for number, one in enumerate(_spoil(flights[0][1]))]
        summary.add_refusals(self._gateway.replay(broken, "Two broken requests"))
        summary.add_drift(self._drift(rows))

    def _roll_out(self, model: tuple[bytes, Draft]) -> None:
        """Version 2 is shadowed, then answers half of the callers, and passes both."""
        summary, gateway, cast = self._summary, self._gateway, self._gateway.cast
        summary.begin(
            "Version 2 is rolled out.",
            "It learned from twice the months. First it answers nobody, then half of the callers; "
            "it goes on only while evidence says that it is no worse.",
        )
        for name, policy in (
            ("promotion-policy", rolling.POLICY),
            ("truth-policy", rolling.TRUTH_POLICY),
        ):
            gateway.call(cast.admin, "PUT", f"{_MODEL_PATH}/{name}", json=policy)
        plan = rolling.make_plan(gateway.publish(*model))
        rollout = rolling.start(gateway, plan, "trained on twice the months")
        self._author = rollout.author
        summary.add_plan(rollout.plan)
        shadow = self._meet(rollout, "Shadow of version 2")
        summary.add_shadow(shadow, self._shadow_report(rollout.id))
        summary.add_truth(shadow)
        summary.add_verdict(shadow.shown, "advance", Phase.CANARY)
        if not summary.is_kept:
            return
        canary = self._meet(shadow.shown.rollout, "Canary of version 2")
        summary.add_canary(canary, shadow.shown.rollout)
        summary.add_truth(canary)
        summary.add_verdict(canary.shown, "pass", Phase.PASSED)

    def _approve(self) -> None:
        """Ann asks by her rollout and cannot approve that; Ben does, and version 2 is champion."""
        summary, gateway, cast = self._summary, self._gateway, self._gateway.cast
        summary.begin("Two people promote it.", "Whoever asks cannot approve, whatever the key.")
        asked = rolling.wait_for_request(gateway)
        summary.add_request(asked, self._author)
        if asked is None:
            return
        approval = f"/admin/promotions/{asked['id']}/approve"
        refused = gateway.ask(cast.ann_again, "POST", approval, json={"reason": "I am sure of it"})
        code = refused.json().get("code", "")
        summary.add_self_approval(refused.status_code, code, self._champion())
        gateway.call(cast.ben, "POST", approval, json={"reason": "the guards are the right ones"})
        summary.add_swap("Ben approves: version 2 is champion", gateway.wait_for_workers())
        replies = gateway.replay(self._traffic.take(_FEW), "July flights, version 2")
        summary.add_replay("July flights", replies, expected_version="2")
        self._replies += replies

    def _catch(self, model: tuple[bytes, Draft]) -> None:
        """Version 3 is worse: the verdict rolls it back before it has answered anybody."""
        summary, gateway = self._summary, self._gateway
        summary.begin(
            "Version 3 is broken.",
            "It learned from hours and weather that were shuffled among the flights. It loads, it "
            "is quick, it fails nothing: only what it predicts is worse.",
        )
        plan = rolling.make_plan(gateway.publish(*model))
        rollout = rolling.start(gateway, plan, "a newer model is a better model")
        stage = self._meet(rollout, "Shadow of version 3")
        summary.add_verdict(stage.shown, "roll_back", Phase.ROLLED_BACK)
        summary.add_harmless(stage, plan.challenger, self._champion())

    def _roll_back(self) -> None:
        """One person puts the version before back, in one step."""
        summary, gateway, cast = self._summary, self._gateway, self._gateway.cast
        summary.begin("Back to version 1.", "A rollback needs one person, and nobody's leave.")
        rollback = {"reason": "to show that one step undoes it"}
        gateway.call(cast.ann, "POST", f"{_MODEL_PATH}/rollback", json=rollback)
        summary.add_swap("Rollback to version 1", gateway.wait_for_workers())
        replies = gateway.replay(self._traffic.take(_FEW), "July flights, version 1 again")
        summary.add_replay("July flights", replies, expected_version="1")
        self._replies += replies

    def _audit(self) -> None:
        """How good the answers were; find each again, one with payload and proof; what was live."""
        summary, gateway, cast = self._summary, self._gateway, self._gateway.cast
        summary.begin("Afterwards.", "Every answer can be found, explained and proved.")
        for version in (1, 2):
            asked = {"window": "1h", "version": str(version)}
            report = gateway.call(cast.viewer, "GET", f"{_MODEL_PATH}/truth", params=asked)
            summary.add_quality(report)
        found = {record["id"] for record in self._records()}
        answered = [reply.record_id for reply in self._replies]
        summary.add_audit(answered, found)
        payload = gateway.call(cast.auditor, "GET", f"/audit/records/{answered[0]}/payload")
        summary.add_payload(answered[0], payload)
        self._prove(answered[0])
        history = gateway.call(cast.viewer, "GET", f"{_MODEL_PATH}/history")
        summary.add_history(history["changes"])

    def _prove(self, record_id: str) -> None:
        """Check the proof of a record with the key of the log alone."""
        gateway, auditor = self._gateway, self._gateway.cast.auditor
        vkey = gateway.ask(auditor, "GET", "/audit/vkey").text
        answer = gateway.ask(auditor, "GET", f"/audit/records/{record_id}/proof").content
        receipt, leaf = read_answer(answer)
        try:
            trust = Trust(keys=(read_vkey(vkey.strip()),))
            size = check_receipt(receipt, leaf or b"", trust).size
        except Invalid as fault:
            self._summary.add_proof(receipt.index, 0, str(fault))
        else:
            self._summary.add_proof(receipt.index, size, None)

    def _meet(self, rollout: Rollout, what: str) -> rolling.Stage:
        stage = rolling.meet(self._gateway, self._traffic, rollout, what)
        self._replies += [*stage.replies, *stage.late]
        return stage

    def _drift(self, rows: int) -> dict[str, Any]:
        """Return what was counted, once that is of all rows: workers leave it every second."""
        deadline = time.monotonic() + _COUNTED_S
        while True:
            report: dict[str, Any] = self._gateway.call(
                self._gateway.cast.viewer, "GET", f"{_MODEL_PATH}/drift", params={"window": "1h"}
            )
            if report["rows"] >= rows or time.monotonic() > deadline:
                return report
            time.sleep(0.1)

    def _shadow_report(self, rollout_id: str) -> dict[str, Any]:
        path = f"/admin/rollouts/{rollout_id}/shadow"
        report: dict[str, Any] = self._gateway.call(self._gateway.cast.viewer, "GET", path)
        return report

    def _champion(self) -> int:
        model = self._gateway.call(self._gateway.cast.viewer, "GET", _MODEL_PATH)
        champion: int = model["aliases"]["champion"]
        return champion

    def _records(self) -> Iterator[dict[str, Any]]:
        wanted = {"model": MODEL, "kind": "inference", "limit": "1000"}
        cursor: dict[str, str] = {}
        while True:
            page = self._gateway.call(
                self._gateway.cast.auditor, "GET", "/audit/records", params={**wanted, **cursor}
            )
            yield from (found["record"] for found in page["records"])
            if page["cursor"] is None:
                return
            cursor = {"cursor": page["cursor"]}


def _spoil(flight: Flight) -> Sequence[Flight]:
    """Spoil a flight in two ways: an airline nobody knows, and no distance."""
    return (
        altered(flight, inputs={**flight.inputs, "carrier": "ZZ"}),
        altered(flight, inputs={**flight.inputs, "distance": None}),
    )
