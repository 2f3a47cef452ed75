"""What the doctor's findings come to, and that no check keeps it waiting."""

import threading
from collections.abc import Iterator

import pytest

from outreach_assets.command_line.diagnosis import Running, Subject
from outreach_assets.command_line.doctor import as_object, exit_code, print_findings
from outreach_core.errors import RetryableError
from outreach_core.findings import Finding, Result, worst

OK = Finding(check="a", result=Result.OK, found="fine")
WARN = Finding(check="b", result=Result.WARN, found="odd", cure="look", is_setting=True)
BROKEN = Finding(check="c", result=Result.PROBLEM, found="[x] gone", cure="mend")
WRONG = Finding(check="d", result=Result.PROBLEM, found="typo", cure="write", is_setting=True)


@pytest.mark.parametrize(
    ("findings", "code", "result"),
    [
        ([], 0, "ok"),
        ([OK], 0, "ok"),
        ([OK, WARN], 0, "warn"),
        ([WARN, BROKEN, OK], 1, "problem"),
        ([WRONG, BROKEN], 2, "problem"),
    ],
)
def test_the_worst_finding_decides(findings: list[Finding], code: int, result: str) -> None:
    assert exit_code(findings) == code
    assert worst(findings) == result
    assert as_object(findings)["result"] == result


def test_every_finding_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([OK, WARN, BROKEN, WRONG])
    shown = capsys.readouterr().out
    for finding in (OK, WARN, BROKEN, WRONG):
        assert finding.found in shown
        assert finding.cure in shown


def subject(checks: Iterator[Finding], *, seconds: float = 60) -> Subject:
    return Subject(name="s", rests_on={"NEON_HOST"}, seconds=seconds, checks=lambda: checks)


def test_a_check_that_hangs_is_a_problem_and_keeps_what_it_had_found() -> None:
    let_go = threading.Event()

    def checks() -> Iterator[Finding]:
        yield OK
        found_first.set()
        let_go.wait(60)

    found_first = threading.Event()
    try:
        running = Running(subject(checks(), seconds=0.05), frozenset())
        assert found_first.wait(60)
        first, late = running.findings()
    finally:
        let_go.set()
    assert first == OK
    assert late.result is Result.PROBLEM
    assert "no answer" in late.found


def test_an_error_of_ours_is_a_problem() -> None:
    def checks() -> Iterator[Finding]:
        yield OK
        raise RetryableError("NEON_HOST h cannot be reached: it rains")

    ok, broken = Running(subject(checks()), frozenset()).findings()
    assert ok == OK
    assert broken.found == "NEON_HOST h cannot be reached: it rains"
    assert broken.cure.startswith("NEON_HOST")


def test_a_mistake_of_ours_is_not_hidden() -> None:
    def checks() -> Iterator[Finding]:
        yield OK
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Running(subject(checks()), frozenset()).findings()


def test_what_rests_on_a_wrong_setting_is_not_checked() -> None:
    (finding,) = Running(subject(iter([BROKEN])), frozenset({"NEON_HOST"})).findings()
    assert (finding.result, finding.found) == (Result.WARN, "not checked")
