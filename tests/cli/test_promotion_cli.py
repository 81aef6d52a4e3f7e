"""`gateway promotions` and `promotion-policy`, and `registry promote` by the same rules."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gateway.cli
import registry.cli
from registry import promoting
from registry.console import local_author
from registry.promotions import Promotion
from registry.registry import Registry
from tests.builders import open_registry
from tests.unit.registry.promotable import ANN, MODEL, add_version, last_records

POLICY = 'second_person = true\nbreak_glass = "admin"\n'


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Registry]:
    """A registry whose model has a champion and a version more."""
    registry = open_registry(tmp_path)
    for number in (1, 2):
        add_version(registry, number)
    registry.promote(MODEL, 1, "the first", ANN)
    yield registry
    registry.store.close()


def run(tmp_path: Path, *words: str) -> Result:
    group = registry.cli.main if words[0] == "promote" else gateway.cli.main
    return CliRunner().invoke(group, [*words, "--data-dir", str(tmp_path)])


def done(tmp_path: Path, *words: str) -> str:
    result = run(tmp_path, *words)
    assert result.exit_code == 0, result.output
    return result.output


def set_policy(tmp_path: Path, text: str = POLICY) -> Result:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return run(tmp_path, "promotion-policy", MODEL, "--set", str(path))


def ask(held: Registry) -> str:
    asked = promoting.ask(held, MODEL, 2, "it is better", ANN)
    assert isinstance(asked, Promotion)
    return asked.id


def test_a_policy_is_set_from_a_file_and_shown(held: Registry, tmp_path: Path) -> None:
    assert '"second_person": false' in done(tmp_path, "promotion-policy", MODEL)
    assert '"second_person": true' in set_policy(tmp_path).output
    assert '"break_glass": "admin"' in done(tmp_path, "promotion-policy", MODEL)

    wrong = set_policy(tmp_path, 'second_person = true\n\nbreak_glass = "root"\n')

    assert wrong.exit_code == 1
    assert "policy.toml, line 3: the role is one of" in wrong.output
    assert '"break_glass": "admin"' in done(tmp_path, "promotion-policy", MODEL)


def test_what_another_person_asked_for_is_seen_and_approved(held: Registry, tmp_path: Path) -> None:
    set_policy(tmp_path)
    asked = ask(held)

    assert asked in done(tmp_path, "promotions", "list")
    shown = done(tmp_path, "promotions", "show", asked)
    assert "2 of flights, in place of 1" in shown
    assert "key-ann: it is better" in shown
    assert "no open finding of the champion" in shown
    assert '"run_ms": 0.5' in shown
    approved = done(tmp_path, "promotions", "approve", asked, "--reason", "looked at it")

    assert "The champion of flights is version 2 now" in approved
    assert asked not in done(tmp_path, "promotions", "list")
    assert f"by {local_author().principal}: looked at it" in done(
        tmp_path, "promotions", "show", asked
    )
    assert "approved" in done(tmp_path, "promotions", "list", "--all", "--model", MODEL)


def test_a_request_is_rejected(held: Registry, tmp_path: Path) -> None:
    set_policy(tmp_path)
    asked = ask(held)

    done(tmp_path, "promotions", "reject", asked, "--reason", "not now")

    assert held.store.aliases(MODEL) == {"champion": 1}
    again = run(tmp_path, "promotions", "approve", asked, "--reason", "but")
    assert again.exit_code == 1
    assert "rejected already" in again.output


@pytest.mark.parametrize("words", [("promote", MODEL, "2"), ("promotions", "request", MODEL, "2")])
def test_the_local_user_asks_by_the_same_rules_and_cannot_approve_alone(
    held: Registry, tmp_path: Path, words: tuple[str, ...]
) -> None:
    set_policy(tmp_path)

    asked = done(tmp_path, *words, "--reason", "it is better")

    assert "another person is to approve" in asked
    [promotion] = held.store.promotions()
    alone = run(tmp_path, "promotions", "approve", promotion.id, "--reason", "fine")
    assert alone.exit_code == 1
    assert "yours" in alone.output
    assert held.store.aliases(MODEL) == {"champion": 1}


def test_where_nothing_is_asked_both_commands_promote_at_once(
    held: Registry, tmp_path: Path
) -> None:
    done(tmp_path, "promotions", "request", MODEL, "2", "--reason", "it is better")
    assert held.store.aliases(MODEL) == {"champion": 2}
    done(tmp_path, "promote", MODEL, "1", "--reason", "it was not")
    assert held.store.aliases(MODEL) == {"champion": 1}


def test_where_ground_truth_is_asked_the_refusal_names_the_command_that_reads_it(
    held: Registry, tmp_path: Path
) -> None:
    set_policy(tmp_path, '[[truth]]\nmetric = "absolute_error"\nat_most = 12.5\n')

    refused = run(tmp_path, "promote", MODEL, "2", "--reason", "better")

    assert refused.exit_code == 1
    assert " ".join(refused.output.split()) == (
        f"Error: Version 2 of '{MODEL}' is not promoted: its policy asks for metrics of ground"
        " truth, which this command does not read. Ask with `gateway promotions request"
        f" {MODEL} 2 --reason …`, which does, and says what else may be lacking."
    )
    named = refused.output.partition("`gateway ")[2].partition("`")[0].replace("…", "better")
    assert "no ground truth has matured" in run(tmp_path, *named.split()).output
    done(tmp_path, "promote", MODEL, "2", "--reason", "a fire", "--by-force")


def test_force_goes_on_and_its_record_says_past_what(held: Registry, tmp_path: Path) -> None:
    set_policy(tmp_path)

    done(tmp_path, "promote", MODEL, "2", "--by-force", "--reason", "a fire")

    [record] = last_records(held)
    assert (record.action, record.subject) == ("promote", "second_person")


def test_a_request_that_cannot_be_approved_any_more_says_why(
    held: Registry, tmp_path: Path
) -> None:
    set_policy(tmp_path)
    ask(held)
    set_policy(tmp_path, POLICY + "request_hours = 1\n")

    assert "the promotion policy was changed" in done(tmp_path, "promotions", "list")


def test_requests_of_a_model_that_there_is_none_of_are_not_none(
    held: Registry, tmp_path: Path
) -> None:
    result = run(tmp_path, "promotions", "list", "--model", "fligths")

    assert result.exit_code == 1
    assert "There is no model 'fligths'." in result.output


def test_keys_of_one_owner_are_listed_with_it(held: Registry, tmp_path: Path) -> None:
    done(tmp_path, "keys", "create", "--role", "approver", "--owner", "ann")

    assert "ann" in done(tmp_path, "keys", "list")
    assert [key.owner for key in held.store.api_keys()] == ["ann"]
