"""The state diagrams of docs/architecture.md show what `jobs.rules.states` allows."""

import re
from typing import Any

import pytest

from jobs.rules.states import CALL, CAMPAIGN, ENROLMENT, StateMachine
from tests.docs.pages import ROOT, blocks, tables

PAGE = ROOT / "docs/architecture.md"
EDGE = re.compile(r"^ *(\S+) --> ([^\s:]+)(?:: (.*))?$", re.MULTILINE)
ALIAS = re.compile(r'state "(\S+)" as (\S+)')
DIAGRAMS = {block.heading: block.code for block in blocks(PAGE, "mermaid")}
REOPEN = "reopen"

Edges = set[tuple[str, str]]


def edges(heading: str, *, reopen: bool = False) -> Edges:
    """Return the transitions of a diagram, without its beginnings and ends."""
    code = DIAGRAMS[heading]
    names = {short: name for name, short in ALIAS.findall(code)}
    return {
        (names.get(old, old), names.get(new, new))
        for old, new, label in EDGE.findall(code)
        if "[*]" not in (old, new) and (label == REOPEN) == reopen
    }


def legal(machine: StateMachine[Any]) -> Edges:
    return {(old.value, new.value) for old, after in machine.table.items() for new in after}


def reopenings(machine: StateMachine[Any]) -> Edges:
    return {(old.value, new.value) for old, after in machine.reopenings.items() for new in after}


@pytest.mark.parametrize(
    ("heading", "machine"),
    [("The life of an enrollment", ENROLMENT), ("The life of a campaign", CAMPAIGN)],
)
def test_a_diagram_is_complete(heading: str, machine: StateMachine[Any]) -> None:
    assert edges(heading) == legal(machine)
    assert edges(heading, reopen=True) == reopenings(machine)


def test_the_diagram_of_a_call_is_a_part_of_its_table() -> None:
    table = {(old, new) for old, after in tables(PAGE, "call") for new in after.split(", ")}
    assert table == legal(CALL)
    assert edges("The life of a call") < table


def test_the_life_of_a_job_is_drawn() -> None:
    states = {state for edge in edges("The life of a job") for state in edge}
    assert states == {"waiting", "running", "done", "dead", "discarded", "aborted"}
