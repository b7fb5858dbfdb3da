"""What a transaction may wait for, and what a statement may be made of."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import DOMAINS, ROOT, module_of, package_of, sources

WORK = "work"
"""The name of every transaction, in a block as in a parameter."""
JOBS = [
    path
    for path in sources()
    if package_of(module_of(path)) in {*DOMAINS, "inbox", "context", "cli"}
]
"""What runs in workers and services, and asks the outside world."""


def transactions(tree: ast.AST) -> Iterator[ast.AST]:
    """Blocks that are a transaction, and functions that run within one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            names = {
                item.optional_vars.id
                for item in node.items
                if isinstance(item.optional_vars, ast.Name)
            }
            if WORK in names:
                yield from node.body
        elif isinstance(node, ast.AsyncFunctionDef) and WORK in parameters(node):
            yield from node.body


def parameters(function: ast.AsyncFunctionDef) -> set[str]:
    return {argument.arg for argument in function.args.args}


def root_of(node: ast.AST) -> str:
    """`work` for `work.calls.save`."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def waits_for_the_database(awaited: ast.expr) -> bool:
    """A method of the transaction, or a function that is given it."""
    if not isinstance(awaited, ast.Call):
        return False
    return root_of(awaited.func) == WORK or WORK in {root_of(one) for one in awaited.args}


def foreign_waits(source: str) -> list[str]:
    return [
        ast.unparse(node)
        for part in transactions(ast.parse(source))
        for node in ast.walk(part)
        if (isinstance(node, ast.Await) and not waits_for_the_database(node.value))
        or isinstance(node, ast.AsyncFor)
    ]


@pytest.mark.parametrize("path", JOBS, ids=module_of)
def test_a_transaction_waits_for_nothing_but_the_database(path: Path) -> None:
    assert foreign_waits(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    ["await ctx['voice'].place([])", "await asyncio.sleep(1)", "await done", "await f(pool)"],
)
def test_a_transaction_that_waits_for_something_else_is_found(line: str) -> None:
    block = f"async def f(ctx):\n async with ctx['store'].begin() as work:\n  {line}"
    function = f"async def f(work, ctx):\n  {line}"
    assert len(foreign_waits(block)) == len(foreign_waits(function)) == 1


STORE = list((ROOT / "jobs" / "store" / "postgres").glob("*.py"))
BUILDERS = {
    "statements.py": {"insert_many", "__init__", "select_by_ids"},
    "tables.py": {"partial"},
    "grants.py": {"grant"},  # of names that PostgreSQL quoted, as the schema's owner
}
"""Functions that put a statement together, from names; called when a module is imported."""


def built_while_running(tree: ast.AST, allowed: set[str]) -> list[str]:
    """Statements that a function makes when it is called, so that a value could get into them."""
    return [
        ast.unparse(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name not in allowed
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2]
        in {"text", "insert_many", "select_by_ids", "SaveMany", "exec_driver_sql"}
        and not all(map(is_fixed, node.args[:1]))
    ]


def is_fixed(argument: ast.expr) -> bool:
    """A text, or a constant of a module."""
    if isinstance(argument, ast.Constant):
        return True
    return isinstance(argument, ast.Name) and argument.id.strip("_").isupper()


@pytest.mark.parametrize("path", STORE, ids=module_of)
def test_values_are_bound_since_statements_are_made_before_there_are_any(path: Path) -> None:
    assert built_while_running(ast.parse(path.read_text()), BUILDERS.get(path.name, set())) == []


def test_a_value_within_a_statement_is_found() -> None:
    wrong = "async def f(s, x):\n await s.run(text(f'SELECT {x}'))\n await s.run(text(x + 'y'))"
    assert len(built_while_running(ast.parse(wrong), set())) == 2


def follow_ups(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{WORK}.enqueue":
            name = node.args[0]
            yield str(name.value) if isinstance(name, ast.Constant) else "lead.batch"


def test_it_is_written_down_how_each_follow_up_is_found_again() -> None:
    told = (ROOT / "docs" / "recovery.md").read_text()
    enqueued = {name for path in JOBS for name in follow_ups(ast.parse(path.read_text()))}
    assert len(enqueued) > 8
    assert {name for name in enqueued if f"`{name}`" not in told} == set()
