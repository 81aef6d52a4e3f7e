"""Everything an operator can set, in one value that is read once."""

from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

SEGMENT_AGE_S = 10.0
# Under the data directory: what only the sender may know of each destination.
DESTINATIONS = "destinations"


class Transport(StrEnum):
    """How inference reaches the pipeline; both keep the same promises, at different speeds."""

    PROTOCOL = "protocol"  # answered in the connection itself
    ASGI = "asgi"  # through the application, as everything else


class WitnessAddress(Struct, frozen=True, kw_only=True):
    """Where a witness of the log answers, and the verifier key that its cosignatures are of."""

    url: str
    vkey: str


class Settings(Struct, frozen=True, kw_only=True):
    """How one gateway runs. Times are in seconds, sizes in bytes.

    `body_limit` bounds one inference request, `upload_limit` one published file. `in_flight_limit`
    is how many inference requests one worker holds before it answers that it is overloaded.
    `queue_limit_s` is how long a run may be made to wait for a thread, unless it takes longer
    itself. Input and output of more than `payload_limit` together are committed to in the record,
    and not kept. `payload_key` is the file of the key that payloads of persons are sealed with; it
    is under the data directory where it is None.

    `run_deadline_s` ends a run of a model, `header_deadline_s` and `body_deadline_s` a request
    whose head or body does not arrive, `idle_deadline_s` a connection on which nothing is asked.
    `otlp_endpoint` is the address of an OpenTelemetry collector; without one no span is made.
    `log_key` is the file with the private key of the log, and `log_name` the name of a log that is
    served for the first time. `witnesses` are asked to cosign each checkpoint.
    A worker leaves a segment of its journal that is `segment_age_s` old, counted from its first
    group; an erasure waits for that. `poll_s` is how often workers look for changes and the
    controller for journal records.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    body_limit: int = 16 << 20
    upload_limit: int = 512 << 20
    payload_limit: int = 32 << 20
    payload_key: Path | None = None
    in_flight_limit: int = 256
    queue_limit_s: float = 0.02
    run_deadline_s: float = 10.0
    header_deadline_s: float = 10.0
    body_deadline_s: float = 30.0
    idle_deadline_s: float = 75.0
    transport: Transport = Transport.PROTOCOL
    otlp_endpoint: str | None = None
    log_key: Path | None = None
    log_name: str | None = None
    witnesses: tuple[WitnessAddress, ...] = ()
    segment_age_s: float = SEGMENT_AGE_S
    poll_s: float = 0.1
    drain_s: float = 10.0

    @property
    def artifacts_dir(self) -> Path:
        return self.data_dir / "artifacts"

    @property
    def metrics_dir(self) -> Path:
        return self.data_dir / "metrics"

    @property
    def summaries_dir(self) -> Path:
        return self.data_dir / "summaries"

    @property
    def shadow_dir(self) -> Path:
        return self.data_dir / "shadow"

    @property
    def journal_dir(self) -> Path:
        return self.data_dir / "journal"

    @property
    def destinations_dir(self) -> Path:
        return self.data_dir / DESTINATIONS

    @property
    def log_key_path(self) -> Path:
        return self.log_key or self.data_dir / "log.key"

    @property
    def checkpoint_path(self) -> Path:
        return self.data_dir / "checkpoint"


def write_settings(settings: Settings) -> str:
    """Write settings as JSON, for the command line of a process that obeys them too."""
    return msgspec.json.encode(settings, enc_hook=str).decode()


def read_settings(text: str) -> Settings:
    """Read what `write_settings` wrote."""
    return msgspec.json.decode(text, type=Settings, dec_hook=lambda kind, value: kind(value))
