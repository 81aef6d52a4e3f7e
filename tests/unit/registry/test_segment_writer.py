import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from registry.audit import segment
from registry.audit.segment import Group, is_sealed, list_segments, read_groups
from registry.audit.segment_writer import PREPARED, SegmentWriter
from registry.entry import Entry, Payload
from registry.errors import JournalBroken, JournalUnavailable


def make_entry(number: int) -> Entry:
    return Entry(f"leaf {number}".encode(), Payload(bytes(32), bytes(100), b""))


def read_entries(path: Path) -> list[Entry]:
    """Every entry of a segment that must not be damaged."""
    entries = []
    for item in read_groups(path):
        assert isinstance(item, Group), item
        entries += item.entries
    return entries


def run_child(script: str, *args: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_segment_is_private_to_its_owner(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.close()
    assert stat.S_IMODE(writer.path.stat().st_mode) == 0o600
    assert list_segments(tmp_path) == [writer.path]


def test_a_segment_is_sealed_when_its_writer_closes_it(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    assert not is_sealed(writer.path)
    writer.append([make_entry(1)])
    assert not is_sealed(writer.path)
    writer.close()
    assert is_sealed(writer.path)


def test_nothing_lies_behind_a_header_until_it_is_synced(tmp_path: Path) -> None:
    # A power failure may leave the length alone, and bytes behind a bad header are damage.
    writer = SegmentWriter(tmp_path)
    assert writer.path.stat().st_size == writer.size
    writer.close()


def test_a_segment_that_its_writer_has_not_locked_yet_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "new.segment"
    path.touch()
    assert not is_sealed(path)


def test_a_killed_writer_seals_its_segment_and_loses_no_durable_group(tmp_path: Path) -> None:
    script = """
        import pathlib, sys
        from registry.entry import Entry
        from registry.audit.segment_writer import SegmentWriter
        writer = SegmentWriter(pathlib.Path(sys.argv[1]))
        writer.append([Entry(b"kept", None)])
        print(writer.path, flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        assert not is_sealed(path)
        child.send_signal(signal.SIGKILL)
    assert is_sealed(path)
    assert read_entries(path) == [Entry(b"kept", None)]


def test_a_full_disk_is_a_refusal_and_room_is_all_that_recovery_needs(tmp_path: Path) -> None:
    # A file size limit makes write() fall short and then fail, as a full disk does.
    child = run_child(
        """
        import pathlib, resource, signal, sys
        from registry.entry import Entry
        from registry.audit.segment_writer import SegmentWriter
        from registry.errors import JournalUnavailable
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = SegmentWriter(pathlib.Path(sys.argv[1]))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        writer.append([Entry(b"before", None)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        for _ in range(3):
            try:
                writer.append([Entry(b"too long" * 1000, None)])
            except JournalUnavailable as error:
                assert writer.path.stat().st_size == writer.size < 1000
                print(error.reason)
        writer.append([Entry(b"small", None)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        writer.append([Entry(b"after", None)])
        """,
        tmp_path,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines() == [os.strerror(errno.EFBIG)] * 3
    entries = read_entries(list_segments(tmp_path)[0])
    assert [entry.leaf for entry in entries] == [b"before", b"small", b"after"]


def test_a_disk_without_room_for_a_new_segment_refuses_it_and_keeps_no_trace(
    tmp_path: Path,
) -> None:
    child = run_child(
        """
        import pathlib, resource, signal, sys
        from registry.entry import Entry
        from registry.audit.segment import list_segments
        from registry.audit.segment_writer import SegmentWriter
        from registry.errors import JournalUnavailable
        directory = pathlib.Path(sys.argv[1])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        old = SegmentWriter(directory)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            SegmentWriter(directory)
        except JournalUnavailable:
            print("refused")
        assert list_segments(directory) == [old.path]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        old.append([Entry(b"still here", None)])
        SegmentWriter(directory)
        """,
        tmp_path,
    )
    assert (child.returncode, child.stdout) == (0, "refused\n"), child.stderr
    kept = [entry for path in list_segments(tmp_path) for entry in read_entries(path)]
    assert kept == [Entry(b"still here", None)]


def test_a_group_overwrites_zeros_that_were_there_before_it(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    lengths = set()
    for number in range(100):
        writer.append([make_entry(number)])
        lengths.add(writer.path.stat().st_size)
        content = writer.path.read_bytes()
        assert not any(content[writer.size :])
    assert len(lengths) == 1
    writer.append([Entry(bytes(PREPARED), None)])
    assert writer.path.stat().st_size > writer.size
    assert len(read_entries(writer.path)) == 101
    writer.close()
    assert writer.path.stat().st_size == writer.size


def test_a_missing_folder_is_a_refusal_that_names_no_path(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable) as caught:
        SegmentWriter(tmp_path / "nowhere")
    assert str(tmp_path) not in str(caught.value)


def test_short_writes_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, bytes(data[:999]), at))
    entries = [make_entry(n) for n in range(3)]
    writer = SegmentWriter(tmp_path)
    writer.append(entries)
    writer.close()
    assert read_entries(writer.path) == entries


def failing(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_failed_sync_breaks_the_writer_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(JournalBroken):
            writer.append([make_entry(1)])
    size = writer.path.stat().st_size
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    with pytest.raises(JournalBroken):
        writer.append([make_entry(2)])
    assert (writer.path.stat().st_size, syncs) == (size, [])
    writer.close()


def test_a_refusal_that_cannot_be_taken_back_breaks_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing)
        patch.setattr(os, "ftruncate", failing)
        with pytest.raises(JournalBroken):
            writer.append([make_entry(1)])
    with pytest.raises(JournalBroken):
        writer.append([make_entry(1)])
    writer.close()


@pytest.mark.parametrize("sync", ["fdatasync", "fsync"])
def test_a_segment_whose_beginning_cannot_be_synced_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: str
) -> None:
    monkeypatch.setattr(os, sync, failing)
    with pytest.raises(JournalBroken):
        SegmentWriter(tmp_path)
    assert list_segments(tmp_path) == []


def test_a_segment_that_cannot_be_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment.fcntl, "flock", failing)
    with pytest.raises(JournalUnavailable):
        SegmentWriter(tmp_path)
    assert list_segments(tmp_path) == []


def test_a_group_that_no_reader_would_believe_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path)
    monkeypatch.setattr(segment, "MAX_BODY", 100)
    with pytest.raises(ValueError, match="longer than 100"):
        writer.append([make_entry(1)])
    writer.append([Entry(b"short", None)])
    writer.close()
    assert read_entries(writer.path) == [Entry(b"short", None)]
