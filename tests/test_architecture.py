"""The arrows between the packages, as the design draws them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOMAINS = ("lead", "call", "campaign", "analytics", "default")

UNDER_ALL = {"errors", "batches", "rules"}
"""What anything may import; these import nothing but each other."""

ARROWS: dict[str, set[str]] = {
    "settings": set(),
    **dict.fromkeys(UNDER_ALL, UNDER_ALL),
    "engine": {"settings"},
    "embedded": {"settings"},
    "store": {"engine"},
    "voice": {"engine"},
    "inbox": {"store", "voice"},
    "context": {"inbox", "store", "voice", "embedded"},
    **{name: {"context"} for name in DOMAINS},
    "monitor": {"context"},
    "demo": {"monitor", *DOMAINS},
    "testing": {"monitor", *DOMAINS},
    "chaos": {"demo"},
    "cli": {"chaos"},
    "worker": {"cli"},
    "jobs": {"engine", "embedded"},
}
"""What each package may import, besides what those may: arrows add up."""


def reachable(package: str) -> set[str]:
    """The packages at the ends of the arrows that leave `package`, one after the other."""
    found = set(UNDER_ALL)
    waiting = set(ARROWS[package])
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= ARROWS[name] - found
    return found


def sources() -> Iterator[Path]:
    yield from (ROOT / "settings").rglob("*.py")
    yield from (ROOT / "jobs").rglob("*.py")


def package_of(module: str) -> str:
    """`lead` for `jobs.lead.tags`; `jobs` for the package's own public names."""
    parts = module.split(".")
    if parts[0] == "settings":
        return "settings"
    return parts[1] if len(parts) > 1 else "jobs"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {name for name in below if node.module == "jobs" and is_package(name)}
            yield from known or {node.module}


def is_package(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def ours(module: str) -> bool:
    return module.partition(".")[0] in ("jobs", "settings")


@pytest.mark.parametrize("path", list(sources()), ids=module_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    package = package_of(module_of(path))
    assert package in ARROWS, f"draw the arrows of {package}"
    allowed = reachable(package) | {package}
    wrong = {
        module
        for module in imported(ast.parse(path.read_text()))
        if ours(module) and package_of(module) not in allowed
    }
    assert not wrong


def strings_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def outside(*packages: str) -> list[Path]:
    return [path for path in sources() if package_of(module_of(path)) not in packages]


@pytest.mark.parametrize("path", outside("engine"), ids=module_of)
def test_only_the_engine_knows_the_queues_keys(path: Path) -> None:
    modules = set(imported(ast.parse(path.read_text())))
    assert not {"arq.constants", "jobs.engine.queue.keys"} & modules
    assert not [text for text in strings_of(path) if re.match(r"(arq|ringline):\S", text)]


@pytest.mark.parametrize("path", outside("store", "embedded"), ids=module_of)
def test_only_the_store_writes_sql(path: Path) -> None:
    modules = {module.partition(".")[0] for module in imported(ast.parse(path.read_text()))}
    assert not {"sqlalchemy", "asyncpg", "alembic"} & modules
    statement = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|DROP)\s+\S")
    assert not [text for text in strings_of(path) if statement.match(text)]
