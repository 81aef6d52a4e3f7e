"""A disk that loses power: what is on it afterwards, given what was written and what was synced.

A program's changes to its files are kept as a tape of operations. Played up to any point, the disk
tells files that a crash at that point may leave: what was synced is there; of all that was not, any
part may be, in any order, down to single sectors, and so may a file's length before its bytes. Of
names, those are there that were before the last sync of their folder.

What is assumed of the hardware is what SQLite and the journal assume: a synced byte stays, a write
touches no bytes beside its own, and a sector of 512 bytes is old or new.
"""

from collections.abc import Iterator
from enum import Enum, auto
from pathlib import PurePath
from random import Random

from msgspec import Struct

SECTOR = 512


class Create(Struct, frozen=True):
    """A name for a file: of a new one, or a further one."""

    path: PurePath
    file: int


class Remove(Struct, frozen=True):
    path: PurePath


class Rename(Struct, frozen=True):
    """The file at `path` gets the name `new`, in the same folder, whatever had it before."""

    path: PurePath
    new: PurePath


class Write(Struct, frozen=True):
    file: int
    offset: int
    data: bytes


class Truncate(Struct, frozen=True):
    file: int
    size: int


class Sync(Struct, frozen=True):
    """`with_length` is False where only bytes within the length that was durable are synced."""

    file: int
    with_length: bool = True


class SyncFolder(Struct, frozen=True):
    path: PurePath


class Acknowledged(Struct, frozen=True):
    """A caller was told that a record is on disk."""

    record: str


class Published(Struct, frozen=True):
    """The world was shown a checkpoint."""

    note: str


Change = Write | Truncate
Naming = Create | Remove | Rename
Operation = Change | Naming | Sync | SyncFolder | Acknowledged | Published


class Fate(Enum):
    """What becomes of operations that were not synced when the power went."""

    LOST = auto()
    KEPT = auto()
    CUT = auto()  # those up to some moment are there, the last of them torn
    SOME = auto()  # each is there or not
    TORN = auto()  # each sector of each is there or not


class _File(Struct):
    durable: bytearray
    pending: list[tuple[int, Change]]


class Disk:
    """The disk of a program that performs operations one by one."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[PurePath, int] = {}
        self._renamed: dict[PurePath, list[tuple[int, Naming]]] = {}  # by folder, not yet synced
        self._performed = 0

    def perform(self, operation: Operation) -> None:
        self._performed += 1
        match operation:
            case Write() | Truncate():
                self._file(operation.file).pending.append((self._performed, operation))
            case Create(path) | Remove(path) | Rename(path):
                self._renamed.setdefault(path.parent, []).append((self._performed, operation))
            case Sync(number, with_length):
                _sync(self._file(number), with_length)
            case SyncFolder(path):
                for _, naming in self._renamed.pop(path, []):
                    _name(self._names, naming)

    def after_crash(self, fate: Fate, chance: Random) -> dict[PurePath, bytes]:
        """Return the files that may be found after a crash now; the disk goes on as it was."""
        cut = chance.choice(self._unsynced() or [0])
        names = dict(self._names)
        for pending in self._renamed.values():
            for naming in _survivors(pending, fate, cut, chance):
                _name(names, naming)
        contents: dict[int, bytes] = {}
        for number in dict.fromkeys(names.values()):
            contents[number] = _content(self._file(number), fate, cut, chance)
        return {path: contents[number] for path, number in names.items()}

    def _unsynced(self) -> list[int]:
        lists = (*(file.pending for file in self._files.values()), *self._renamed.values())
        return [moment for pending in lists for moment, _ in pending]

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File(bytearray(), []))


def _sync(file: _File, with_length: bool) -> None:
    length = len(file.durable)
    for _, change in file.pending:
        _change(file.durable, change)
    if with_length:
        file.pending.clear()
    else:
        del file.durable[length:]


def _survivors(
    pending: list[tuple[int, Naming]], fate: Fate, cut: int, chance: Random
) -> Iterator[Naming]:
    """Choose namings that were written out. Those of one name are so in their order."""
    dropped: set[PurePath] = set()
    for moment, naming in pending:
        paths = {naming.path, naming.new} if isinstance(naming, Rename) else {naming.path}
        match fate:
            case Fate.LOST:
                survives = False
            case Fate.KEPT:
                survives = True
            case Fate.CUT:
                survives = moment <= cut
            case Fate.SOME | Fate.TORN:
                survives = chance.random() < 0.5 and not paths & dropped
        if survives:
            yield naming
        else:
            dropped |= paths


def _content(file: _File, fate: Fate, cut: int, chance: Random) -> bytes:
    content = bytearray(file.durable)
    longest = len(content)
    for moment, change in file.pending:
        longest = max(longest, _end(change))
        match fate:
            case Fate.LOST:
                break
            case Fate.CUT if moment > cut:
                break
            case Fate.SOME if chance.random() < 0.5:
                continue
        is_torn = fate is Fate.TORN or (fate is Fate.CUT and moment == cut)
        for part in _torn(change, chance) if is_torn else (change,):
            _change(content, part)
    if fate in {Fate.SOME, Fate.TORN, Fate.LOST} and chance.random() < 0.3:
        content.extend(bytes(max(0, longest - len(content))))
    return bytes(content)


def _torn(change: Change, chance: Random) -> Iterator[Change]:
    """Choose sectors of a write that reached the disk."""
    if isinstance(change, Truncate):
        if chance.random() < 0.5:
            yield change
        return
    at = change.offset
    while at < _end(change):
        following = min(_end(change), at - at % SECTOR + SECTOR)
        if chance.random() < 0.5:
            start = at - change.offset
            yield Write(change.file, at, change.data[start : start + following - at])
        at = following


def _end(change: Change) -> int:
    return change.size if isinstance(change, Truncate) else change.offset + len(change.data)


def _change(content: bytearray, change: Change) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : _end(change)] = change.data


def _name(names: dict[PurePath, int], naming: Naming) -> None:
    match naming:
        case Create(path, number):
            names[path] = number
        case Remove(path):
            names.pop(path, None)
        case Rename(path, new):
            names[new] = names.pop(path)
