"""What a program does to its files, recorded while it runs.

SQLite's calls pass through a VFS, all others through `os`. Nothing is really synced meanwhile: the
tape says what was, and it is quicker so.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from registry.stores import sqlite
from tests.crash.disk import (
    Acknowledged,
    Create,
    Operation,
    Published,
    Remove,
    Rename,
    Sync,
    SyncFolder,
    Truncate,
    Write,
)

_VFS = "recording"
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
# Brought into the database every few pages, so that this is met often.
_CHECKPOINT_PAGES = 20


class Recorder:
    """The tape of all that happens below one folder, which is empty at first."""

    def __init__(self, root: Path) -> None:
        self.tape: list[Operation] = []
        self._root = root
        self._files: dict[Path, int] = {}
        self._made = 0

    def acknowledge(self, record: str) -> None:
        self.tape.append(Acknowledged(record))

    def publish(self, note: str) -> None:
        self.tape.append(Published(note))

    def note(self, operation: Operation) -> None:
        self.tape.append(operation)

    def within(self, name: Any) -> Path | None:
        """Return the path of a name, if it lies below the folder."""
        path = Path(os.path.abspath(os.fspath(name)))
        return path if path.is_relative_to(self._root) else None

    def file(self, path: Path) -> int:
        """Return a file's number, having recorded its name if it is new."""
        if path not in self._files:
            self._made += 1
            self._files[path] = self._made
            self.note(Create(path, self._made))
        return self._files[path]

    def unlink(self, path: Path) -> None:
        del self._files[path]
        self.note(Remove(path))

    def link(self, old: Path, new: Path) -> None:
        self._files[new] = self.file(old)
        self.note(Create(new, self._files[new]))

    def rename(self, path: Path, new: Path) -> None:
        self._files[new] = self._files.pop(path)
        self.note(Rename(path, new))


@contextmanager
def recording(root: Path) -> Iterator[Recorder]:
    """Record what this process does below a folder."""
    recorder = Recorder(root)
    calls = RecordedCalls(recorder)
    vfs = _RecordingVfs(recorder)
    with pytest.MonkeyPatch.context() as patch:
        for name, call in calls.by_name().items():
            patch.setattr(os, name, call)
        patch.setattr(sqlite.apsw, "Connection", _connect_by(apsw.Connection))
        try:
            yield recorder
        finally:
            vfs.unregister()


class RecordedCalls:
    """System calls by their names in `os`: done as ever, except for syncs, and recorded.

    What a file object writes passes by here unseen, and is recorded when it is synced.
    """

    _open, _close, _pwrite, _ftruncate, _unlink, _link, _replace = map(
        staticmethod, (os.open, os.close, os.pwrite, os.ftruncate, os.unlink, os.link, os.replace)
    )

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._files: dict[int, int] = {}
        self._folders: dict[int, Path] = {}

    def by_name(self) -> dict[str, Any]:
        public = (name for name in vars(type(self)) if not name.startswith("_"))
        return {name: getattr(self, name) for name in public if name != "by_name"}

    def open(self, name: Any, flags: int, *args: Any, **options: Any) -> int:
        descriptor = self._open(name, flags, *args, **options)
        path = self._recorder.within(name)
        if path is not None and path.is_dir():
            self._folders[descriptor] = path
        elif path is not None:
            self._files[descriptor] = self._recorder.file(path)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._files.pop(descriptor, None)
        self._folders.pop(descriptor, None)
        self._close(descriptor)

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        written = self._pwrite(descriptor, data, offset)
        self._recorder.note(Write(self._files[descriptor], offset, bytes(data[:written])))
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._ftruncate(descriptor, size)
        self._recorder.note(Truncate(self._files[descriptor], size))

    def fsync(self, descriptor: int) -> None:
        if descriptor in self._folders:
            self._recorder.note(SyncFolder(self._folders[descriptor]))
        else:
            written = Path(f"/proc/self/fd/{descriptor}").read_bytes()
            self._recorder.note(Write(self._files[descriptor], 0, written))
            self._recorder.note(Sync(self._files[descriptor]))

    def fdatasync(self, descriptor: int) -> None:
        self._recorder.note(Sync(self._files[descriptor]))

    def unlink(self, name: Any, **options: Any) -> None:
        self._unlink(name, **options)
        if (path := self._recorder.within(name)) is not None:
            self._recorder.unlink(path)

    def link(self, old: Any, new: Any, **options: Any) -> None:
        self._link(old, new, **options)
        self._recorder.link(Path(old), Path(new))

    def replace(self, old: Any, new: Any, **options: Any) -> None:
        self._replace(old, new, **options)
        self._recorder.rename(Path(old), Path(new))


def _connect_by(connection: type[apsw.Connection]) -> Any:
    def connect(path: str) -> apsw.Connection:
        opened = connection(path, vfs=_VFS)
        # A VFS in Python has no shared memory; a connection that is alone needs none.
        opened.execute("PRAGMA locking_mode = EXCLUSIVE")
        opened.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        return opened

    return connect


class _RecordingVfs(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__(_VFS, base="")
        self._recorder = recorder

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _RecordingFile(self._recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        super().xDelete(filename, syncdir)
        self._recorder.unlink(Path(filename))
        if syncdir:
            self._recorder.note(SyncFolder(Path(filename).parent))


class _RecordingFile(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._recorder = recorder
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        self._number = recorder.file(path)
        # SQLite's own VFS syncs the folder with the first sync of a journal that it may have made.
        may_be_new = flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE
        self._unsynced_folder = path.parent if may_be_new else None

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._recorder.note(Write(self._number, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        self._recorder.note(Truncate(self._number, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._recorder.note(Sync(self._number))
        if self._unsynced_folder is not None:
            self._recorder.note(SyncFolder(self._unsynced_folder))
            self._unsynced_folder = None
