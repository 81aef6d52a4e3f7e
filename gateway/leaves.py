"""Writes the leaves of one version's plain answers: a form with blanks, filled in for each.

The form is what `registry.entry.encode_record` itself writes for a record whose blanks are marked,
so a leaf has the very bytes that it would have written for the record, in a quarter of the time.
"""

from msgspec.json import encode

from registry.entry import encode_record
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.session import runtime_id

_MOST_FORMS = 1024
# Lane, principal, source, whether there is no request id and no subject, why no payload is kept.
_Key = tuple[Lane, str, str | None, bool, bool, str | None]
# What nothing else in a record can be: a quote within a text has a backslash before it.
_MARKS = {
    b'"id":"@"': b'"id":"%b"',
    b'"time":"@"': b'"time":"%d"',
    b'"request_id":"@"': b'"request_id":%b',
    b'"rows":0': b'"rows":%d',
    b'"batch":0': b'"batch":%d',
    b'"batch_row":0': b'"batch_row":%d',
    b'"latency_us":0': b'"latency_us":%d',
    b'"input":"@"': b'"input":"%b"',
    b'"output":"@"': b'"output":"%b"',
    b'"subject_commitment":"@"': b'"subject_commitment":"%b"',
}


class AnswerLeaves:
    """The forms of one version, made as callers appear."""

    def __init__(
        self,
        *,
        model: str,
        version: int,
        digest: str,
        manifest: str,
        reduced: tuple[str, ...] = (),
        rollout: str | None = None,
    ) -> None:
        """Make no form yet; `rollout` is what chose the lane of all these answers."""
        self._model, self._version = model, version
        self._digest, self._manifest = digest, manifest
        self._reduced, self._rollout = reduced, rollout
        self._forms: dict[_Key, bytes] = {}

    def write(
        self,
        lane: Lane,
        principal: str,
        source: str | None,
        *,
        id: str,
        time_ns: int,
        request_id: str | None,
        rows: int,
        batch: int,
        batch_row: int,
        latency_us: int,
        input: str,
        output: str,
        subject: str | None = None,
        payload: str | None = None,
    ) -> bytes:
        """Return the leaf of an answer that broke no rule; `subject` is the commitment to it."""
        key = (lane, principal, source, request_id is None, subject is None, payload)
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[key] = self._form(key)
        named = () if request_id is None else (encode(request_id),)
        person = () if subject is None else (subject.encode(),)
        return form % (
            id.encode(),
            time_ns,
            *named,
            rows,
            batch,
            batch_row,
            latency_us,
            input.encode(),
            output.encode(),
            *person,
        )

    def _form(self, key: _Key) -> bytes:
        lane, principal, source, is_unnamed, is_of_nobody, payload = key
        record = AuditRecord(
            id="@",
            kind=Kind.INFERENCE,
            time="@",
            outcome=Outcome.ANSWERED,
            principal=principal,
            source=source,
            request_id=None if is_unnamed else "@",
            model=self._model,
            version=self._version,
            digest=self._digest,
            manifest=self._manifest,
            runtime=runtime_id(),
            lane=lane,
            rows=0,
            batch=0,
            batch_row=0,
            latency_us=0,
            input="@",
            output="@",
            subject_commitment=None if is_of_nobody else "@",
            reduced=self._reduced,
            payload=payload,
            rollout=self._rollout,
        )
        form = encode_record(record).replace(b"%", b"%%")
        for mark, blank in _MARKS.items():
            form = form.replace(mark, blank)
        return form
