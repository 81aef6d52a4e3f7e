"""Bytes by their digest, whatever happens to the disk."""

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from registry.artifacts import Artifacts, digest_of
from registry.errors import ArtifactDamaged, ArtifactNotFound, StoreUnavailable

DATA = b"some bytes" * 100
DIGEST = digest_of(DATA)


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [DATA, b"", b"\x00" * 3])
def test_what_is_put_is_read(tmp_path: Path, data: bytes) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    digest = artifacts.put(data)
    assert digest == digest_of(data)
    assert artifacts.read(digest) == data
    assert Artifacts(tmp_path / "artifacts").read(digest) == data


def test_putting_twice_stores_once(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    assert artifacts.put(DATA) == artifacts.put(DATA)
    assert len(files_under(tmp_path)) == 1


def test_nobody_may_write_to_a_stored_file(tmp_path: Path) -> None:
    Artifacts(tmp_path).put(DATA)
    [path] = files_under(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@pytest.mark.parametrize(
    "damaged",
    [DATA[:-1], DATA + b"x", b"", b"X" + DATA[1:], bytes([DATA[0] ^ 1]) + DATA[1:]],
    ids=["shorter", "longer", "empty", "first byte", "one bit"],
)
def test_damage_is_found_by_reading_and_mended_by_putting(tmp_path: Path, damaged: bytes) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.put(DATA)
    [path] = files_under(tmp_path)
    path.chmod(0o644)
    path.write_bytes(damaged)
    with pytest.raises(ArtifactDamaged) as caught:
        artifacts.read(DIGEST)
    assert caught.value.digest == DIGEST
    assert caught.value.found == digest_of(damaged)
    assert str(tmp_path) not in str(caught.value)
    artifacts.put(DATA)
    assert artifacts.read(DIGEST) == DATA


def test_a_file_that_is_gone_is_not_found(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.put(DATA)
    [path] = files_under(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactNotFound):
        artifacts.read(DIGEST)


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "sha256:",
        "sha256:../../etc/passwd",
        "../" * 10 + "etc/passwd",
        "/etc/passwd",
        DIGEST.upper(),
        DIGEST.replace("sha256", "md5"),
        DIGEST + "\n",
        DIGEST + "/..",
        DIGEST[:-1],
        DIGEST.replace(DIGEST[-1], "\0"),
        "sha256:" + "٣" * 64,
    ],
)
def test_a_digest_that_is_none_is_not_found(tmp_path: Path, hostile: str) -> None:
    Artifacts(tmp_path).put(DATA)
    with pytest.raises(ArtifactNotFound):
        Artifacts(tmp_path).read(hostile)


def test_writers_of_the_same_bytes_do_not_disturb_each_other(tmp_path: Path) -> None:
    artifacts, barrier = Artifacts(tmp_path), threading.Barrier(8)
    faults: list[Exception] = []

    def put_all() -> None:
        barrier.wait()
        try:
            for number in range(20):
                data = b"%d" % number * 1000
                assert artifacts.read(artifacts.put(data)) == data
        except Exception as error:  # noqa: BLE001 - told to the test's own thread
            faults.append(error)

    threads = [threading.Thread(target=put_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(files_under(tmp_path)) == 20


def test_a_folder_that_takes_no_files_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        Artifacts(tmp_path / "file").put(DATA)
    with pytest.raises(StoreUnavailable):
        Artifacts(tmp_path / "file").read(DIGEST)


def test_a_file_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.put(DATA)
    [path] = files_under(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreUnavailable):
        artifacts.read(DIGEST)
    with pytest.raises(StoreUnavailable):
        artifacts.put(DATA)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    artifacts = Artifacts(tmp_path / "artifacts")
    with monkeypatch.context() as patched:
        patched.setattr(os, step, refuse)
        if step == "replace":
            patched.setattr(Path, "replace", refuse)
        with pytest.raises(StoreUnavailable) as caught:
            artifacts.put(DATA)
    assert str(tmp_path) not in str(caught.value)
    assert files_under(tmp_path) == []
    artifacts.put(DATA)
    assert artifacts.read(DIGEST) == DATA


def test_every_folder_above_a_new_file_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    Artifacts(tmp_path / "artifacts").put(DATA)
    [path] = files_under(tmp_path)
    for level in (path, *path.parents[:4]):
        assert level.stat().st_ino in synced, level
    assert path.parents[3] == tmp_path


def test_a_copy_of_the_folder_is_as_good(tmp_path: Path) -> None:
    Artifacts(tmp_path / "one").put(DATA)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert Artifacts(tmp_path / "two").read(DIGEST) == DATA
