"""Personal data in outputs: leads with marked names, numbers and addresses fail in real workers.

No log line, dead letter, command output or Redis key may contain a mark.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.engine import EngineSettings, job, retry
from jobs.engine.client.pool import Pool
from jobs.engine.queue import keys
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.store.model import LeadFilter
from jobs.store.postgres.store import PostgresStore
from jobs.testing.waiting import wait_until
from tests.integration.domains.domains import opened, settings_for

ROOT: Final = Path(__file__).parents[4]
NAME: Final = "Zzyzxa Quillfeather"
COMPANY: Final = "Vexmoor"
NUMBER: Final = "+1 212 555 0187"
MAIL: Final = "zzyzxa@quillfeather.example"
MARKS: Final = re.compile(r"(?i)zzyzxa|quillfeather|vexmoor|hunter2|555.{0,2}018[0-9]")

PEOPLE: Final = f"""phone,name,email,company
{NUMBER},{NAME},{MAIL},{COMPANY}
+1 212 555 0188,Other {NAME},other-{MAIL},{COMPANY}
+1 212 555 01,Short {NAME},,{COMPANY}
+1 212 555 0189,Bad {NAME},{NAME},{COMPANY}
+1 212 555 0186,"Open {NAME},{MAIL},{COMPANY}
"""


@job("personal.greet", queue="personal_tasks")
@retry(max_retries=1)
async def greet(ctx: dict[str, Any], name: str, contact: dict[str, Any]) -> None:
    """Fail with an error that repeats the arguments."""
    try:
        raise KeyError(name, contact["phone"])
    except KeyError as error:
        text = f"no {name} of {contact['company']} at {contact['email']}; redis://:hunter2@h/0"
        raise ValueError(text) from error


class WorkerSettings(EngineSettings):
    queue_name = "personal_tasks"
    functions = (greet,)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, redis_url: str, database_url: str) -> Iterator[None]:
    monkeypatch.setenv("LOG_FORMAT", "json")
    with settings_for(monkeypatch, redis_url, database_url):
        yield


def start_python(*words: str) -> "subprocess.Popen[str]":
    """Start a Python process and capture its output."""
    return subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def output(*words: str) -> str:
    return (await asyncio.to_thread(start_python(*words).communicate))[0]


async def jobs(*arguments: str) -> str:
    """Return the output of a `ringline` command, run in this process."""
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    return result.stdout + result.stderr


async def add_constraints(database_url: str) -> None:
    """Make the database refuse some rows, with its own error texts."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE UNIQUE INDEX ON leads (email)")
    await connection.execute("ALTER TABLE leads ADD CHECK (name NOT LIKE 'Refused%')")
    await connection.close()


def failing_updates(first: object, second: object) -> list[tuple[object, dict[str, object]]]:
    """Return updates of leads that fail, each for a different reason."""
    return [
        (uuid4(), {"name": NAME, "number": NUMBER}),
        (first, {"number": "+1 212 555 0188"}),
        (first, {"number": f"{NAME}, {COMPANY}"}),
        (first, {"email": NAME}),
        (first, {"timezone": NAME}),
        (first, {"email": f"other-{MAIL}"}),
        (first, {"name": f"Refused {NAME}"}),
        (first, {"name": f"{NAME}\0"}),
        (first, {"name": [NAME]}),
        (first, {"attributes": {"company": [COMPANY]}}),
        (first, {NAME: NUMBER}),
        (NAME, {"name": NAME}),
        ([first, second], {"number": NUMBER, "attributes": {"company": COMPANY}}),
    ]


async def fail_everywhere(pool: Pool, lead_ids: Sequence[object]) -> int:
    failing = failing_updates(*lead_ids)
    for who, changes in failing:
        await pool.enqueue_job("lead.update", who, changes)
    await pool.enqueue_job("lead.qualify", *lead_ids)
    await pool.enqueue_job("lead.batch", "update", lead_ids, changes={"nombre": NAME})
    return len(failing) + 1


async def imported(store: PostgresStore) -> list[object]:
    async with store.begin() as work:
        leads = await work.leads.get_many(await work.leads.ids(LeadFilter()))
    return [lead.id for lead in sorted(leads, key=lambda lead: lead.e164)]


async def test_output_contains_no_personal_data(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    outputs = [await jobs("lead", "import", str(path))]
    await add_constraints(database_url)
    async with opened(redis_url, database_url) as (pool, store):
        leads = await imported(store)
        assert len(leads) == 2
        dead = await fail_everywhere(pool, leads)
        await pool.enqueue_job("lead.import", str(path), rejects=str(tmp_path / "again.csv"))
        contact = {"phone": NUMBER, "email": MAIL, "company": COMPANY}
        await pool.enqueue_job(
            "personal.greet", NAME, contact=contact, _queue_name="personal_tasks"
        )
        bad = f'{{"name": "{NAME}", "email": "{NAME}"}}'
        words = ["enqueue", "lead.update", str(leads[0]), bad, "--id", "waiting", "--wait"]
        waiting_command = start_python("-c", "from jobs.cli import main; main()", *words)
        await wait_until(lambda: pool.zscore("lead_tasks", "waiting"), timeout=30)

        queues = f"lead_tasks,{__name__}.WorkerSettings"
        outputs.append(await output("-m", "jobs.worker", queues, "--burst", "--loglevel", "DEBUG"))
        outputs.append((await asyncio.to_thread(waiting_command.communicate))[0])
        assert "the job failed" in outputs[-1]
        assert await DeadLetterStore(pool).count() == dead + 2, outputs

        dead += await fail_everywhere(pool, leads)
        outputs.append(
            await output("-m", "arq", "jobs.lead.WorkerSettings", "--burst", "--verbose")
        )
        assert await DeadLetterStore(pool).count() == dead + 2, outputs

        outputs += [str(key) async for key in pool.scan_iter()]
        for key in [keys.DEAD_LETTERS, *map(keys.counters, ("lead_tasks", "personal_tasks"))]:
            outputs.append(str(await cast("Awaitable[dict[bytes, bytes]]", pool.hgetall(key))))
        dead_letters = await DeadLetterStore(pool).find()
    outputs += [await jobs("failed", "show", dead_letter.job_id) for dead_letter in dead_letters]
    for words in (["failed", "list"], ["failed", "list", "--json"], ["status", "--json"]):
        outputs.append(await jobs(*words))
    outputs.append(await jobs("--debug", "enqueue", "lead.update", "--kw", f"{NUMBER} {MAIL}"))

    for text in outputs:
        assert not MARKS.findall(text), text
    assert "Z••• Q•••" in "".join(outputs)
    assert "job_dead" in outputs[1]
    assert ":lead.update(…)" in outputs[3]


async def test_rejected_rows_are_readable_only_by_the_owner(tmp_path: Path) -> None:
    # The file holds unmasked rows, for correction.
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    await jobs("lead", "import", str(path))
    rejects = tmp_path / "people.rejects.csv"
    assert NAME in rejects.read_text()
    assert rejects.stat().st_mode & 0o777 == 0o600
