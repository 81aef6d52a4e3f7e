"""Two ways to run recorded input on an artifact: here, with sessions kept, or in a process apart.

Sessions are made as serving makes them, by `registry.session`, so the bits are those of serving.
"""

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from gateway.replay.child import Answered, Asked, Reply
from gateway.runtime import Watchdog
from registry.apart import Died, TookTooLong, run_apart
from registry.artifacts import Artifacts
from registry.audit.replay import Reason, Why
from registry.errors import ArtifactDamaged, ArtifactNotFound, Rejected
from registry.session import RunOptions, Session, open_session, runtime_id
from registry.tensors import Tensor, decode_tensors, encode_tensors

_SESSIONS_KEPT = 16
# On top of a run's deadline: starting a process and loading a model.
_START_S = 15.0

_TOO_LONG = Why(Reason.RUN, "The model ran longer than a replay may.")
_FAILED = Why(Reason.RUN, "The model fails on this input now.")


class Sessions:
    """Runs artifacts in this process, the ones used last without loading them again."""

    def __init__(self, artifacts: Artifacts, deadline_s: float) -> None:
        self.runtime = runtime_id()
        self._artifacts = artifacts
        self._watchdog = Watchdog(deadline_s)
        self._kept: OrderedDict[str, Session | Why] = OrderedDict()

    def run(self, digest: str, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor] | Why:
        """Return all outputs of an artifact by name, or why there are none."""
        session = self._session(digest)
        if isinstance(session, Why):
            return session
        options = RunOptions()
        self._watchdog.begin(options)
        try:
            values = session.run(None, inputs, options)
        except Exception:  # noqa: BLE001 - whatever a model does is an answer to whoever asked
            return _TOO_LONG if options.terminate else _FAILED
        finally:
            self._watchdog.end(options)
        return {node.name: value for node, value in zip(session.get_outputs(), values, strict=True)}

    def close(self) -> None:
        self._kept.clear()
        self._watchdog.close()

    def _session(self, digest: str) -> Session | Why:
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest]
        while len(self._kept) >= _SESSIONS_KEPT:
            self._kept.popitem(last=False)
        self._kept[digest] = session = self._open(digest)
        return session

    def _open(self, digest: str) -> Session | Why:
        artifact = _read(self._artifacts, digest)
        if isinstance(artifact, Why):
            return artifact
        try:
            return open_session(artifact)
        except Rejected as error:
            return Why(Reason.ARTIFACT, str(error))


class ProcessApart:
    """Runs each artifact in a limited child process of its own, so that no worker is disturbed."""

    def __init__(self, artifacts: Artifacts, deadline_s: float) -> None:
        self.runtime = runtime_id()
        self._artifacts = artifacts
        self._deadline_s = deadline_s

    def run(self, digest: str, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor] | Why:
        """Return all outputs of an artifact by name, or why there are none."""
        artifact = _read(self._artifacts, digest)
        if isinstance(artifact, Why):
            return artifact
        asked = Asked(artifact, encode_tensors(inputs))
        try:
            written = run_apart(
                "gateway.replay.child", msgspec.msgpack.encode(asked), self._deadline_s + _START_S
            )
        except TookTooLong:
            return _TOO_LONG
        except Died:
            return Why(Reason.RUN, "The model needs more than a replay may take, or ended it.")
        reply: Reply = msgspec.msgpack.decode(written, type=Reply)
        if isinstance(reply, Answered):
            return decode_tensors(reply.outputs)
        return Why(Reason.ARTIFACT, reply.message) if reply.is_artifact else _FAILED


def _read(artifacts: Artifacts, digest: str) -> bytes | Why:
    try:
        return artifacts.read(digest)
    except (ArtifactNotFound, ArtifactDamaged) as error:
        return Why(Reason.ARTIFACT, str(error))
