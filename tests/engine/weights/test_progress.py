"""What a terminal and a log file get to see."""

from __future__ import annotations

import io

import pytest

from dreamscope.engine.weights.progress import Progress, console, silent, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


REPORTS = (
    Progress("memory", "Needs 2 MiB"),
    Progress("read", "Reading w", 1 << 20, 2 << 20),
    Progress("read", "Reading w", 2 << 20, 2 << 20),
    Progress("memory", "Done"),
)


def test_a_log_gets_one_line_each() -> None:
    stream = io.StringIO()
    report = console(stream)
    for progress in REPORTS:
        report(progress)
    assert stream.getvalue().splitlines() == ["Needs 2 MiB", "Reading w", "Done"]


def test_a_terminal_counts_in_place() -> None:
    stream = Terminal()
    report = console(stream)
    for progress in REPORTS:
        report(progress)
    assert stream.getvalue() == ("Needs 2 MiB\nReading w 50% of 2.0 MiB\rReading w 100% of 2.0 MiB\nDone\n")


def test_an_unfinished_line_is_left_alone() -> None:
    stream = Terminal()
    report = console(stream)
    report(REPORTS[1])
    report(REPORTS[3])
    assert stream.getvalue() == "Reading w 50% of 2.0 MiB\nDone\n"


def test_silence() -> None:
    silent(REPORTS[0])


@pytest.mark.parametrize(("count", "text"), [(0, "0.1 MiB"), (3 << 20, "3.0 MiB"), (3 << 29, "1.5 GiB")])
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
