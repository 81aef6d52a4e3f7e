import asyncio
import errno
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway import journal as journal_module
from gateway.journal import Journal
from registry.audit.segment import Group, is_sealed, list_segments, read_groups
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, Payload
from registry.errors import JournalBroken, JournalUnavailable
from tests.builders import PATIENCE_S


async def append(journal: Journal, entry: Entry) -> None:
    """Wait for the entry to be on disk, and raise what the journal says in place of that."""
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    journal.append(entry, done.set_result)
    error = await done
    if error is not None:
        raise error


def make_entry(number: int, size: int = 100) -> Entry:
    return Entry(f"leaf {number}".encode(), Payload(bytes(32), bytes(size), b"out"))


def groups_in(directory: Path) -> list[list[Entry]]:
    groups = []
    for path in list_segments(directory):
        for item in read_groups(path):
            assert isinstance(item, Group), item
            groups.append(item.entries)
    return groups


def leaves_in(directory: Path) -> list[bytes]:
    return [entry.leaf for group in groups_in(directory) for entry in group]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, PATIENCE_S))


def unexpected(error: BaseException) -> None:
    raise AssertionError("the journal broke") from error


class Gate:
    """A real fdatasync that first waits to be let through, and tells the loop that it waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = asyncio.Event()
        self.passed = 0
        self._open = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._sync = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, fd: int) -> None:
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self._open.wait(PATIENCE_S)
        self._sync(fd)
        self.passed += 1

    def open(self) -> None:
        self._open.set()


def failing(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def refusing(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_append_returns_after_the_sync_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        gate = Gate(monkeypatch)
        task = asyncio.create_task(append(journal, make_entry(1)))
        await gate.entered.wait()
        assert leaves_in(tmp_path) == [b"leaf 1"]  # written, and still not acknowledged
        assert not task.done()
        assert gate.passed == 0
        gate.open()
        await task
        assert gate.passed == 1
        await journal.close()

    run(main())


def test_a_lone_entry_is_committed_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        await append(journal, make_entry(1))
        await append(journal, make_entry(2))
        assert groups_in(tmp_path) == [[make_entry(1)], [make_entry(2)]]
        await journal.close()

    run(main())


def test_what_arrives_during_a_commit_makes_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        gate = Gate(monkeypatch)
        first = asyncio.create_task(append(journal, make_entry(0)))
        await gate.entered.wait()
        others = [asyncio.create_task(append(journal, make_entry(n))) for n in range(1, 1000)]
        while journal.waiting < 1000:
            await asyncio.sleep(0)
        gate.open()
        await asyncio.gather(first, *others)
        assert journal.waiting == 0
        await journal.close()

    run(main())
    assert groups_in(tmp_path) == [[make_entry(0)], [make_entry(n) for n in range(1, 1000)]]


def test_a_thousand_concurrent_appends_are_all_on_disk_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        await asyncio.gather(*(append(journal, make_entry(n)) for n in range(1000)))
        assert leaves_in(tmp_path) == [f"leaf {n}".encode() for n in range(1000)]
        await journal.close()

    run(main())
    assert len(groups_in(tmp_path)) < 100


def test_a_group_stops_at_its_limit_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected, group_bytes=250)
        gate = Gate(monkeypatch)
        tasks = [asyncio.create_task(append(journal, make_entry(n))) for n in range(9)]
        await gate.entered.wait()
        gate.open()
        await asyncio.gather(*tasks)
        await journal.close()

    run(main())
    assert max(len(group) for group in groups_in(tmp_path)) == 3
    assert len(leaves_in(tmp_path)) == 9


def test_close_commits_what_waits_and_seals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        gate = Gate(monkeypatch)
        tasks = [asyncio.create_task(append(journal, make_entry(n))) for n in range(5)]
        await gate.entered.wait()
        closings = [asyncio.create_task(journal.close()) for _ in range(2)]
        await asyncio.sleep(0)
        gate.open()
        await asyncio.gather(*closings)
        assert all(task.done() and task.exception() is None for task in tasks)
        with pytest.raises(JournalUnavailable, match="closed"):
            await append(journal, make_entry(6))

    run(main())
    assert len(leaves_in(tmp_path)) == 5
    assert all(is_sealed(path) for path in list_segments(tmp_path))
    assert "journal" not in {thread.name for thread in threading.enumerate()}


def test_too_many_waiting_entries_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected, max_waiting=2)
        gate = Gate(monkeypatch)
        tasks = [asyncio.create_task(append(journal, make_entry(n))) for n in range(2)]
        await gate.entered.wait()
        with pytest.raises(JournalUnavailable, match="2 records wait"):
            await append(journal, make_entry(2))
        gate.open()
        await asyncio.gather(*tasks)
        await append(journal, make_entry(3))
        await journal.close()

    run(main())
    assert len(leaves_in(tmp_path)) == 3


def test_an_oversized_entry_is_refused_before_it_joins_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "ENTRY_BYTES", 1000)

    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        with pytest.raises(ValueError, match="larger than 1000"):
            await append(journal, make_entry(1, size=1000))
        await append(journal, Entry(b"without payload", None))
        await journal.close()

    run(main())
    assert leaves_in(tmp_path) == [b"without payload"]


def test_a_full_disk_refuses_its_group_and_later_entries_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refusing)
            appends = [append(journal, make_entry(n)) for n in range(3)]
            results = await asyncio.gather(*appends, return_exceptions=True)
            assert [type(result) for result in results] == [JournalUnavailable] * 3
        await append(journal, make_entry(3))
        await journal.close()

    run(main())
    assert leaves_in(tmp_path) == [b"leaf 3"]


def test_a_journal_without_room_for_a_segment_refuses_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refusing)
            journal = Journal(tmp_path, on_broken=unexpected)
            with pytest.raises(JournalUnavailable):
                await append(journal, make_entry(1))
            assert not await journal.is_taking()
        await append(journal, make_entry(2))
        await journal.close()

    run(main())
    assert leaves_in(tmp_path) == [b"leaf 2"]


def test_a_refusing_journal_finds_out_that_there_is_room_without_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        assert await journal.is_taking()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refusing)
            with pytest.raises(JournalUnavailable):
                await append(journal, make_entry(1))
            assert not await journal.is_taking()
        assert await journal.is_taking()
        await append(journal, make_entry(2))
        await journal.close()

    run(main())
    assert groups_in(tmp_path) == [[], [make_entry(2)]]


def test_a_real_limit_of_the_file_system_is_a_refusal_and_recovery_needs_no_restart(
    tmp_path: Path,
) -> None:
    script = """
        import asyncio, pathlib, resource, signal, sys
        from gateway.journal import Journal
        from registry.entry import Entry
        from registry.errors import JournalUnavailable

        async def append(journal, entry):
            done = asyncio.get_running_loop().create_future()
            journal.append(entry, done.set_result)
            error = await done
            if error is not None:
                raise error

        async def main():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            journal = Journal(pathlib.Path(sys.argv[1]), on_broken=sys.exit)
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
            acknowledged = refused = 0
            for n in range(100):
                try:
                    await append(journal, Entry(bytes(1000), None))
                    acknowledged += 1
                except JournalUnavailable:
                    refused += 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            await append(journal, Entry(b"last", None))
            print(acknowledged + 1, refused)

        asyncio.run(main())
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    acknowledged, refused = map(int, child.stdout.split())
    assert (acknowledged, refused) == (49, 52)
    leaves = leaves_in(tmp_path)
    assert len(leaves) == acknowledged
    assert leaves[-1] == b"last"


@pytest.mark.parametrize("fault", [failing, lambda fd: 1 // 0], ids=["sync fails", "unforeseen"])
def test_a_broken_journal_says_so_once_and_takes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int], None]
) -> None:
    async def main() -> None:
        told: list[BaseException] = []
        journal = Journal(tmp_path, on_broken=told.append)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fault)
            appends = [append(journal, make_entry(n)) for n in range(3)]
            results = await asyncio.gather(*appends, return_exceptions=True)
            assert [type(result) for result in results] == [JournalBroken] * 3
        size = list_segments(tmp_path)[0].stat().st_size
        for n in range(3):
            with pytest.raises(JournalBroken):
                await append(journal, make_entry(n))
        assert [type(error) for error in told] == [JournalBroken]
        assert list_segments(tmp_path)[0].stat().st_size == size
        await journal.close()

    run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_thread_that_dies_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(journal: Journal, group: object) -> None:
        raise MemoryError

    async def main() -> None:
        told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(Journal, "_commit", die)
        journal = Journal(tmp_path, on_broken=told.set_result)
        unanswered = asyncio.create_task(append(journal, make_entry(1)))
        error = await told
        unanswered.cancel()
        assert isinstance(error, JournalBroken)
        assert isinstance(error.__cause__, MemoryError)
        await journal.close()

    run(main())


def test_a_full_segment_is_followed_by_a_new_one(tmp_path: Path) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected, segment_bytes=1000)
        for n in range(20):
            await append(journal, make_entry(n))
        await journal.close()

    run(main())
    paths = list_segments(tmp_path)
    assert len(paths) > 2
    assert all(path.stat().st_size < 1400 for path in paths)
    # Ids made in one millisecond come in any order, so only the set is promised across segments.
    assert sorted(leaves_in(tmp_path)) == sorted(f"leaf {n}".encode() for n in range(20))


def test_a_segment_that_is_old_is_sealed_though_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = threading.Event()

    class Told(SegmentWriter):
        def close(self) -> None:
            super().close()
            sealed.set()

    async def main() -> None:
        monkeypatch.setattr(journal_module, "SegmentWriter", Told)
        journal = Journal(tmp_path, on_broken=unexpected, segment_age_s=0.05)
        await append(journal, make_entry(0))
        assert await asyncio.to_thread(sealed.wait, PATIENCE_S)
        first, second = list_segments(tmp_path)
        assert is_sealed(first)
        # The one that follows is empty, and waits for its first group however long that takes.
        assert list(read_groups(second)) == []
        assert journal._full_at is None
        await append(journal, make_entry(1))
        await journal.close()

    run(main())
    assert sorted(leaves_in(tmp_path)) == [b"leaf 0", b"leaf 1"]


def test_a_busy_segment_that_is_old_is_left_with_the_next_group(tmp_path: Path) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected, segment_age_s=0)
        for n in range(5):
            await append(journal, make_entry(n))
        await journal.close()

    run(main())
    assert len(list_segments(tmp_path)) >= 5
    assert sorted(leaves_in(tmp_path)) == [f"leaf {n}".encode() for n in range(5)]


def test_a_sync_that_fails_for_a_new_segment_breaks_an_idle_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        journal = Journal(tmp_path, on_broken=told.set_result, segment_age_s=0.05)
        await append(journal, make_entry(0))
        monkeypatch.setattr(os, "fdatasync", failing)
        assert isinstance(await told, JournalBroken)
        with pytest.raises(JournalBroken):
            await append(journal, make_entry(1))
        await journal.close()

    run(main())


def test_the_old_segment_serves_where_no_new_one_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path) -> SegmentWriter:
        raise JournalUnavailable("no room")

    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected, segment_bytes=200)
        with monkeypatch.context() as patch:
            patch.setattr(journal_module, "SegmentWriter", refuse)
            for n in range(5):
                await append(journal, make_entry(n))
        assert len(list_segments(tmp_path)) == 1
        await append(journal, make_entry(5))
        assert len(list_segments(tmp_path)) == 2
        await journal.close()

    run(main())
    assert len(leaves_in(tmp_path)) == 6


def test_a_journal_whose_loop_is_gone_ends_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    async def main() -> None:
        journal = Journal(tmp_path, on_broken=unexpected)
        gate = Gate(monkeypatch)
        task = asyncio.create_task(append(journal, make_entry(1)))
        await gate.entered.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        closing = asyncio.create_task(journal.close())
        await asyncio.sleep(0)
        closing.cancel()
        threads.append(journal._thread)
        gates.append(gate)

    gates: list[Gate] = []
    run(main())
    gates[0].open()
    threads[0].join(10)
    assert not threads[0].is_alive()
    assert leaves_in(tmp_path) == [b"leaf 1"]
