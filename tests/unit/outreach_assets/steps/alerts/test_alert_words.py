"""What a message says, and what never gets into one."""

from datetime import UTC, datetime

import pytest

from outreach_assets.steps.alerts.causes import Kind, Pending, Sighting, Trouble
from outreach_assets.steps.alerts.delivery import grouped, message_of
from outreach_assets.steps.alerts.sightings import SENTENCE_LETTERS, cleaned

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def pending(number: int, place: str, sentence: str, *, link: str = "runs/r") -> Pending:
    return Pending(
        alert_id=number,
        trouble=Trouble(kind=Kind.HELD, place=place, sentence=sentence),
        fingerprint="f",
        link=link,
        is_over=False,
        was_told=False,
    )


def clean(sentence: str, *secrets: str) -> str:
    trouble = Trouble(kind=Kind.FAILED, place="WV", sentence=sentence)
    [found] = cleaned([Sighting(cause="c", at=NOW, link="l", trouble=trouble)], secrets)
    assert found.trouble is not None
    return found.trouble.sentence


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("Key (email)=(ann@example.test) already exists", "Key (email)=(***) already exists"),
        ("call +49 151 12345678 or +13045550100", "call *** or ***"),
        ("two\n  lines", "two lines"),
        ("04.04.01.33.00033.033 of 20260504030201", "04.04.01.33.00033.033 of 20260504030201"),
        ("password hunter22x, hunter22", "password ***, ***"),
        ("x" * 1000, "x" * (SENTENCE_LETTERS - 1) + "…"),
    ],
)
def test_a_sentence_is_clean_short_and_otherwise_as_it_was(sentence: str, shown: str) -> None:
    assert clean(sentence, "hunter22", "", "hunter22x") == shown


def test_states_of_one_run_with_reasons_of_their_own_are_one_message_with_a_line_each() -> None:
    [group] = grouped([pending(1, "PA", "3 bad"), pending(2, "WV", "4 bad")])
    assert message_of(group, "http://ui/").text == (
        "held: PA, WV\nPA: 3 bad\nWV: 4 bad\nhttp://ui/runs/r"
    )


def test_many_reasons_are_counted_and_not_all_said() -> None:
    [group] = grouped([pending(n, f"S{n}", f"{n} bad") for n in range(30)])
    lines = message_of(group, "http://ui").text.splitlines()
    assert lines[0].endswith("and 22 more")
    assert lines[-2] == "and 18 more"
    assert len(lines) == 15


def test_two_runs_are_two_messages_in_the_order_they_came() -> None:
    groups = grouped([pending(1, "WV", "s", link="runs/z"), pending(2, "PA", "s", link="runs/a")])
    assert [group[0].alert_id for group in groups] == [1, 2]
