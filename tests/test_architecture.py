"""The arrows between packages and within the engine, as docs/architecture.md draws them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOMAINS = ("lead", "call", "campaign", "analytics", "default")

BASE = {"errors", "batches", "settings", "privacy", "clock"}
"""Packages below everything; the rules stand beside them."""

ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "batches": set(),
    "settings": set(),
    "privacy": set(),
    "clock": {"settings"},
    "rules": {"errors", "batches", "privacy"},
    "engine": BASE,
    "logs": {"engine"},
    "embedded": BASE,
    "store": {"engine", "rules"},
    "voice": {"rules", "clock"},
    "inbox": {"store", "voice"},
    "context": {"inbox", "store", "voice", "embedded"},
    **{name: {"context"} for name in DOMAINS},
    "demo": {"logs", *DOMAINS},
    "testing": {"logs", *DOMAINS},
    "chaos": {"demo"},
    "cli": {"chaos"},
    "worker": {"cli"},
    "jobs": {"engine", "embedded"},
}
"""The packages that each package may import; arrows add up."""

ENGINE: dict[str, set[str]] = {
    "connection": set(),
    "queue": {"connection"},
    "monitoring": {"queue"},
    "definition": {"monitoring"},
    "client": {"definition"},
    "scheduling": {"definition"},
    "worker": {"client", "scheduling"},
    "bootstrap": {"worker"},
}
"""The same between the engine's packages."""

MODULE_BUDGET = 16
"""Modules in one folder, `__init__` not counted."""
FILE_BUDGET = 300
"""Lines of one module."""
LARGER_FILES = {
    "jobs/chaos/run.py": 330,
    "jobs/engine/client/pool.py": 480,
    "jobs/engine/connection/urls.py": 330,
    "jobs/engine/queue/operations.py": 310,
    "jobs/engine/worker/executor.py": 330,
    "jobs/engine/worker/worker.py": 440,
    "jobs/voice/simulator/server.py": 310,
    "jobs/store/model.py": 325,
    "jobs/store/protocol.py": 430,
}
"""Exceptions from FILE_BUDGET, by name."""
LARGER_FOLDERS = {"jobs/engine/worker": 23, "jobs/rules": 18}
"""Exceptions from MODULE_BUDGET."""


def reachable(package: str, arrows: dict[str, set[str]]) -> set[str]:
    """Return the packages at the ends of the arrows that leave `package`, in any number."""
    found: set[str] = set()
    waiting = set(arrows[package])
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= arrows[name] - found
    return found


@cache
def sources() -> tuple[Path, ...]:
    return tuple(sorted((ROOT / "jobs").rglob("*.py")))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sources()}


def package_of(module: str) -> str:
    """Return `lead` for `jobs.lead.tags`, and `jobs` for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "jobs"


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add(below if below in MODULES else node.module)
    return frozenset(found)


def ours(module: str) -> bool:
    return module.partition(".")[0] in ("jobs", "settings")


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    package = package_of(module_of(path))
    assert package in ARROWS, f"draw the arrows of {package}"
    allowed = reachable(package, ARROWS) | {package}
    wrong = {name for name in imports(path) if ours(name) and package_of(name) not in allowed}
    assert not wrong


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in sources()
        if len(p.relative_to(ROOT).parts) > 3 and module_of(p).startswith("jobs.engine.")
    ],
    ids=module_of,
)
def test_imports_within_the_engine_follow_the_arrows(path: Path) -> None:
    package = module_of(path).split(".")[2]
    assert package in ENGINE, f"draw the arrows of engine.{package}"
    allowed = reachable(package, ENGINE) | {package}
    inside = [name.split(".") for name in imports(path) if name.startswith("jobs.engine")]
    wrong = {".".join(parts) for parts in inside if len(parts) < 3 or parts[2] not in allowed}
    assert not wrong


def test_there_is_no_import_cycle() -> None:
    """Modules form a directed acyclic graph. A package's `__init__` stands for its names only."""
    arrows = {
        name: {other for other in imports(path) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def strings_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def outside(*prefixes: str) -> list[Path]:
    return [path for path in sources() if not module_of(path).startswith(prefixes)]


@pytest.mark.parametrize("path", outside("jobs.engine"), ids=module_of)
def test_only_the_engine_knows_redis_keys(path: Path) -> None:
    assert not {"arq.constants", "jobs.engine.queue.keys"} & imports(path)
    assert not [text for text in strings_of(path) if re.match(r"(arq|ringline):\S", text)]


@pytest.mark.parametrize("path", outside("jobs.engine.queue.keys"), ids=module_of)
def test_keys_are_spelled_in_one_module(path: Path) -> None:
    keys = re.compile(r"(arq|ringline):(?!arguments__)[a-z-]+:?$")
    allowed = {"ringline:runs"}  # a key of a job's context, not of Redis
    found = {text for text in strings_of(path) if keys.match(text)} - allowed
    assert not found


@pytest.mark.parametrize("path", outside("jobs.store.postgres", "jobs.embedded"), ids=module_of)
def test_only_the_postgres_store_writes_sql(path: Path) -> None:
    modules = {module.partition(".")[0] for module in imports(path)}
    assert not {"sqlalchemy", "asyncpg", "alembic"} & modules
    statement = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|DROP)\s+\S")
    assert not [text for text in strings_of(path) if statement.match(text)]


@pytest.mark.parametrize(
    "path", [path for path in sources() if module_of(path).startswith("jobs.engine")], ids=module_of
)
def test_the_engine_needs_no_command_line_library(path: Path) -> None:
    modules = {module.partition(".")[0] for module in imports(path)}
    assert not {"click", "rich"} & modules


@pytest.mark.parametrize(
    "path", [path for path in sources() if path.name == "__init__.py"], ids=module_of
)
def test_a_package_docstring_maps_its_modules(path: Path) -> None:
    """A package with three modules or more names each of them in its docstring."""
    below = sorted(
        child.stem
        for child in path.parent.iterdir()
        if (child.suffix == ".py" and child.stem != "__init__")
        or (child.is_dir() and (child / "__init__.py").exists())
    )
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert text
    if len(below) >= 3 and "migrations" not in path.parts:
        missing = [name for name in below if not re.search(rf"\b{name}\b", text)]
        assert not missing


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_a_file_has_one_subject(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= LARGER_FILES.get(name, FILE_BUDGET)


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    folders = {path.parent for path in sources()}
    large = {}
    for folder in folders:
        name = folder.relative_to(ROOT).as_posix()
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        if len(modules) > LARGER_FOLDERS.get(name, MODULE_BUDGET):
            large[name] = len(modules)
    assert not large
