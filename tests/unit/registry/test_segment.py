import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.audit import segment
from registry.audit.segment import Damage, Group, list_segments, read_groups
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, Payload
from registry.errors import StoreIncompatible

HEADER_SIZE = 20


def make_entry(number: int, size: int = 8) -> Entry:
    rng = random.Random(number)
    payload = Payload(rng.randbytes(32), rng.randbytes(size), b"") if number % 2 else None
    return Entry(f"leaf {number}".encode(), payload)


def make_groups(count: int) -> list[list[Entry]]:
    return [[make_entry(10 * g + e) for e in range(g % 3 + 1)] for g in range(count)]


def write_segment(directory: Path, groups: list[list[Entry]]) -> Path:
    writer = SegmentWriter(directory)
    for entries in groups:
        writer.append(entries)
    writer.close()
    return writer.path


def entries_of(items: list[Group | Damage]) -> list[list[Entry]]:
    return [item.entries for item in items if isinstance(item, Group)]


def damages_of(items: list[Group | Damage]) -> list[tuple[int, int]]:
    return [(item.start, item.end) for item in items if isinstance(item, Damage)]


def flip(data: bytes, at: int, mask: int = 0xFF) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    groups = make_groups(7)
    path = write_segment(tmp_path, groups)
    items = list(read_groups(path))
    assert entries_of(items) == groups
    assert items[-1].end == path.stat().st_size
    assert list_segments(tmp_path) == [path]


def test_every_truncation_leaves_exactly_the_whole_groups(tmp_path: Path) -> None:
    groups = make_groups(4)
    path = write_segment(tmp_path, groups)
    ends = [item.end for item in read_groups(path)]
    data = path.read_bytes()
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        whole = sum(end <= size for end in ends)
        items = list(read_groups(path))
        assert entries_of(items) == groups[:whole]
        assert damages_of(items) == []


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_in_the_last_group_drops_it_alone(tmp_path: Path, mask: int) -> None:
    groups = make_groups(3)
    path = write_segment(tmp_path, groups)
    data = path.read_bytes()
    last = list(read_groups(path))[-1]
    for at in range(last.start, last.end):
        path.write_bytes(flip(data, at, mask))
        items = list(read_groups(path))
        assert entries_of(items) == groups[:-1]
        assert damages_of(items) == []


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_in_an_earlier_group_is_reported_and_the_rest_is_read(
    tmp_path: Path, mask: int
) -> None:
    groups = make_groups(4)
    path = write_segment(tmp_path, groups)
    data = path.read_bytes()
    whole = list(read_groups(path))
    for bad in range(len(groups) - 1):
        for at in range(whole[bad].start, whole[bad].end):
            path.write_bytes(flip(data, at, mask))
            items = list(read_groups(path))
            assert entries_of(items) == groups[:bad] + groups[bad + 1 :]
            assert damages_of(items) == [(whole[bad].start, whole[bad].end)]


def test_damage_to_neighbours_is_reported_as_one_range(tmp_path: Path) -> None:
    groups = make_groups(4)
    path = write_segment(tmp_path, groups)
    whole = list(read_groups(path))
    data = flip(path.read_bytes(), whole[0].end - 1)
    path.write_bytes(flip(flip(data, whole[1].end - 1), whole[2].end - 1))
    items = list(read_groups(path))
    assert entries_of(items) == groups[3:]
    assert damages_of(items) == [(whole[0].start, whole[2].end)]


def test_a_damaged_header_costs_no_group(tmp_path: Path) -> None:
    groups = make_groups(3)
    path = write_segment(tmp_path, groups)
    data = path.read_bytes()
    for at in range(HEADER_SIZE):
        path.write_bytes(flip(data, at))
        items = list(read_groups(path))
        assert entries_of(items) == groups
        assert damages_of(items) == [(0, HEADER_SIZE)]


def test_a_segment_without_any_readable_mark_is_reported_whole(tmp_path: Path) -> None:
    path = write_segment(tmp_path, make_groups(3))
    data = flip(flip(path.read_bytes(), 9), HEADER_SIZE)
    path.write_bytes(data)
    assert list(read_groups(path)) == [Damage(0, len(data))]
    assert list(read_groups(path, len(data))) == []


def test_a_format_of_another_release_is_refused_not_reported_as_damage(tmp_path: Path) -> None:
    path = write_segment(tmp_path, make_groups(1))
    start = b"GGJRNL\x00\x02" + bytes(8)
    path.write_bytes(start + struct.pack("<I", zlib.crc32(start)) + path.read_bytes()[20:])
    with pytest.raises(StoreIncompatible):
        list(read_groups(path))


def test_a_group_planted_in_a_payload_is_never_read(tmp_path: Path) -> None:
    forged = write_segment(tmp_path, [[Entry(b"forged", None)]]).read_bytes()
    path = write_segment(tmp_path, [[make_entry(0)], [Entry(b"x", Payload(b"", forged, b""))]])
    data = path.read_bytes()
    path.write_bytes(data[:-1])  # torn just behind the planted group
    items = list(read_groups(path))
    assert entries_of(items) == [[make_entry(0)]]
    assert damages_of(items) == []


def test_a_later_group_is_found_behind_more_damage_than_one_scan_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [[make_entry(n, size=200)] for n in (1, 3, 5)]
    path = write_segment(tmp_path, groups)
    whole = list(read_groups(path))
    data = bytearray(path.read_bytes())
    data[whole[0].start : whole[0].end] = bytes(whole[0].end - whole[0].start)
    path.write_bytes(data)
    for scan_size in range(8, 40):
        monkeypatch.setattr(segment, "_SCAN_SIZE", scan_size)
        items = list(read_groups(path))
        assert entries_of(items) == groups[1:]
        assert damages_of(items) == [(whole[0].start, whole[0].end)]


def test_reading_goes_on_from_the_end_of_any_group(tmp_path: Path) -> None:
    groups = make_groups(5)
    path = write_segment(tmp_path, groups)
    for read, item in enumerate(list(read_groups(path)), start=1):
        assert entries_of(list(read_groups(path, item.end))) == groups[read:]


def test_an_offset_behind_the_end_reads_nothing(tmp_path: Path) -> None:
    path = write_segment(tmp_path, make_groups(2))
    assert list(read_groups(path, path.stat().st_size + 100)) == []


def test_a_reader_follows_a_live_writer_and_never_sees_half_a_group(tmp_path: Path) -> None:
    groups = make_groups(6)
    complete = write_segment(tmp_path, groups)
    data = complete.read_bytes()
    growing = tmp_path / "growing"
    growing.touch()
    offset, seen = 0, []
    with growing.open("ab", buffering=0) as file:
        for at in range(0, len(data), 5):
            file.write(data[at : at + 5])
            for item in read_groups(growing, offset):
                assert isinstance(item, Group)
                seen.append(item.entries)
                offset = item.end
    assert seen == groups


def test_a_group_finished_during_the_search_behind_it_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = make_groups(3)
    path = write_segment(tmp_path, groups)
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    find = segment._find_group

    def find_after_the_writer_went_on(fd: int, mark: bytes, at: int) -> Group | None:
        path.write_bytes(data)
        return find(fd, mark, at)

    monkeypatch.setattr(segment, "_find_group", find_after_the_writer_went_on)
    start = next(iter(read_groups(path))).end
    path.write_bytes(data[: start + 30])
    items = list(read_groups(path, start))
    assert entries_of(items) == groups[1:]
    assert damages_of(items) == []


def test_an_open_descriptor_outlives_the_file(tmp_path: Path) -> None:
    groups = make_groups(3)
    path = write_segment(tmp_path, groups)
    fd = os.open(path, os.O_RDONLY)
    try:
        path.unlink()
        assert entries_of(list(read_groups(fd))) == groups
        assert entries_of(list(read_groups(fd))) == groups
    finally:
        os.close(fd)


def test_a_silly_length_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_segment(tmp_path, [[make_entry(1, size=100)], [make_entry(0)]])
    monkeypatch.setattr(segment, "MAX_BODY", 100)
    items = list(read_groups(path))
    assert entries_of(items) == [[make_entry(0)]]
    assert len(damages_of(items)) == 1


@pytest.mark.parametrize(
    ("body", "count"),
    [(b"\x91\xc0", 1), (b"\x90", 1)],
    ids=["entries of another shape", "a count that is not theirs"],
)
def test_a_group_that_holds_no_entries_is_damage_though_its_checksum_is_right(
    tmp_path: Path, body: bytes, count: int
) -> None:
    path = write_segment(tmp_path, [[make_entry(0)]])
    data = path.read_bytes()
    checked = struct.pack("<II", len(body), count) + body
    mark = data[8:16]
    odd = mark + struct.pack("<I", zlib.crc32(mark + checked)) + checked
    path.write_bytes(data[:HEADER_SIZE] + odd + data[HEADER_SIZE:])
    items = list(read_groups(path))
    assert damages_of(items) == [(HEADER_SIZE, HEADER_SIZE + len(odd))]
    assert entries_of(items) == [[make_entry(0)]]


ENTRIES = st.builds(
    Entry,
    st.binary(max_size=40),
    st.none()
    | st.builds(Payload, st.binary(max_size=4), st.binary(max_size=40), st.binary(max_size=40)),
)


@settings(max_examples=60)
@given(
    groups=st.lists(st.lists(ENTRIES, min_size=1, max_size=4), max_size=6),
    cut=st.integers(min_value=0, max_value=2000),
)
def test_whatever_the_crash_cut_off_a_prefix_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[Entry]], cut: int
) -> None:
    path = write_segment(tmp_path_factory.mktemp("journal"), groups)
    ends = [item.end for item in read_groups(path)]
    size = max(path.stat().st_size - cut, 0)
    os.truncate(path, size)
    items = list(read_groups(path))
    assert damages_of(items) == []
    assert entries_of(items) == groups[: sum(end <= size for end in ends)]
