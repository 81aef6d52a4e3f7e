"""Stores as earlier releases left them."""

from pathlib import Path

import apsw

from registry.entry import read_heading

_SCHEMA_2 = Path(__file__).with_name("schema_2.sql")
# What refers to another stands before it.
_NEW_IN_5 = ("answer", "promotion", "rollout_change", "rollout", "label", "feedback")
_NEW_IN_4 = ("window", "taken", "block", "detector", "finding")
_SAME = ("version", "alias_change", "setting", "position")
_KEY = "id, name, digest, roles, author, created, expires, revoked"


def as_format_4(data_dir: Path) -> None:
    """Write the store of a data directory as format 4; what that has not is left out."""
    connection = apsw.Connection(str(data_dir / "store.sqlite3"))
    for table in _NEW_IN_5:
        connection.execute(f"DROP TABLE {table}")
    connection.execute("ALTER TABLE key DROP COLUMN owner")
    connection.execute("PRAGMA user_version = 4")
    connection.close()


def as_format_3(data_dir: Path) -> None:
    """Write the store of a data directory as format 3; what that has not is left out."""
    as_format_4(data_dir)
    connection = apsw.Connection(str(data_dir / "store.sqlite3"))
    for table in _NEW_IN_4:
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DROP TABLE delivery; DROP TABLE event; DROP TABLE destination")
    connection.execute("ALTER TABLE key DROP COLUMN hides_expected")
    connection.execute("PRAGMA user_version = 3")
    connection.close()


def as_format_2(data_dir: Path) -> None:
    """Write the store of a data directory anew, as format 2 would hold what is in it."""
    path = data_dir / "store.sqlite3"
    current = path.rename(data_dir / "current.sqlite3")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL")
    connection.execute(_SCHEMA_2.read_text())
    connection.execute("ATTACH ? AS current", (str(current),))
    with connection:
        for idx, leaf in connection.execute("SELECT idx, leaf FROM current.record").fetchall():
            one = read_heading(leaf)
            connection.execute(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (idx, bytes.fromhex(one.id.replace("-", "")), int(one.time), one.kind, one.outcome,
                 one.model, one.version, one.lane, one.principal, one.request_id, leaf),
            )  # fmt: skip
        for table in _SAME:
            connection.execute(f"INSERT INTO {table} SELECT * FROM current.{table}")
        connection.execute(f"INSERT INTO key SELECT {_KEY} FROM current.key")
        connection.execute(
            "INSERT INTO payload SELECT idx, salt, input, output FROM current.payload"
        )
        connection.execute("UPDATE generation SET number = (SELECT number FROM current.generation)")
    connection.execute("DETACH current")
    connection.close()
    current.unlink()


def as_format_1(data_dir: Path) -> None:
    """Write the store of a data directory anew as format 1; settings are left out."""
    as_format_2(data_dir)
    connection = apsw.Connection(str(data_dir / "store.sqlite3"))
    connection.execute("DROP TABLE setting; PRAGMA user_version = 1")
    connection.close()
