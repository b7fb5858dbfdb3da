"""Three projects on arq follow docs/migrating-from-arq.md step by step, and go back.

The edits and commands come from the page. Jobs are enqueued before and after each step. Workers and
producers are processes: `old` is the project as it was, `new` the copy that is being moved.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from arq import create_pool as create_arq_pool
from arq.connections import RedisSettings
from arq.jobs import Job
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from jobs.engine import DeadLetterStore
from jobs.engine.queue.keys import ARQ_DEFAULT_QUEUE, JOB, RESULT
from jobs.engine.queue.serializer import is_pickle
from jobs.testing.waiting import wait_until
from tests.docs.pages import blocks
from tests.migration import recipe

PROJECTS: Final = Path(__file__).parent / "projects"
BIN: Final = Path(sys.executable).parent
TIMEOUT: Final = 60.0

WORKERS: Final = "1. Replace the workers"
ANNOTATE: Final = "2. Annotate what JSON does not carry"
PRODUCERS: Final = "3. Replace the producers"
JSON: Final = "4. Let the workers write JSON"
NO_PICKLE: Final = "5. Remove pickle"
BACK: Final = "Going back"

Process = AbstractContextManager[None]


class Project:
    """A project on its way.

    Args:
        name: Folder below `projects`.
        folder: Empty folder for the copies.
        redis_url: Redis of all processes.
    """

    def __init__(self, name: str, folder: Path, redis_url: str) -> None:
        self.name = name
        self.redis: Any = Redis.from_url(redis_url)  # typed as either sync or async
        self.old, self.new = folder / "old", folder / "new"
        for copy in (self.old, self.new):
            shutil.copytree(PROJECTS / name, copy / name)
        self.client = AsyncRedis.from_url(redis_url)
        self._log = folder / "workers.log"
        names = ("PATH", "HOME", "LANG")
        self._environment = {name: os.environ[name] for name in names if name in os.environ}
        self._environment |= {"REDIS_URL": redis_url, "TASK_DEFAULT_RETRY_DELAY": "0.1"}

    # --- the page

    def follow(self, heading: str) -> None:
        """Apply the diffs of a step to the files where they fit; each must fit somewhere."""
        optional = "job = Job(job_id, redis)"
        for diff in recipe.diffs(heading):
            assert recipe.apply(diff, self.new) or optional in diff, diff

    def replace_workers(self) -> None:
        self.follow(WORKERS)

    def annotate(self) -> None:
        (diff,) = recipe.diffs(ANNOTATE)
        recipe.annotate(diff, self.new / self.name / "worker.py")

    def write_json(self) -> None:
        self.follow(JSON)
        self._import("serialize")

    def remove_pickle(self) -> None:
        self.follow(NO_PICKLE)
        self._import("deserialize")

    def _import(self, name: str) -> None:
        """Add a name to the import that step 1 has added; the text below the diff says so."""
        path = self.new / self.name / "worker.py"
        text, line = path.read_text(), "from jobs.engine import "
        assert line in text
        path.write_text(text.replace(line, f"{line}{name}, "))

    def count_pickles(self) -> str:
        code = recipe.script(NO_PICKLE).code
        return self._python(self.new, "-c", code).strip()

    # --- processes

    @contextmanager
    def worker(self, heading: str, copy: Path) -> Iterator[None]:
        """Run the worker of a step beside the block; then stop it by SIGTERM."""
        (command,) = recipe.commands(heading, f"{self.name}.worker.WorkerSettings")
        name, *words = shlex.split(command)
        with self._log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603  # the page's own command
                [str(BIN / name), *words],
                cwd=copy, env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                yield
            finally:
                child.send_signal(signal.SIGTERM)
                status = child.wait(TIMEOUT)
        assert status == 0 or name == "arq", self._log.read_text()

    def arq(self, copy: Path | None = None) -> Process:
        return self.worker(BACK, copy or self.old)

    def ringline(self) -> Process:
        return self.worker(WORKERS, self.new)

    def produce(self, copy: Path, *words: str) -> str:
        return self._python(copy, "-m", f"{self.name}.app", *words).strip()

    def _python(self, copy: Path, *words: str) -> str:
        done = subprocess.run(  # noqa: S603  # our own command
            [sys.executable, *words], cwd=copy, env=self._environment,
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        log = self._log.read_text() if self._log.exists() else ""
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{log}"
        return done.stdout

    @property
    def log(self) -> str:
        return self._log.read_text()

    # --- Redis

    async def recorded(self, key: str, *expected: str) -> None:
        """Wait until a list in Redis has these values, in any order."""
        try:
            await wait_until(lambda: self.values(key) == sorted(expected), 30)
        except TimeoutError:
            raise AssertionError(f"{self.values(key)}\n{self.log}") from None
        self.redis.delete(key)

    def values(self, key: str) -> list[str]:
        return sorted(value.decode() for value in self.redis.lrange(key, 0, -1))

    def formats(self) -> list[str]:
        """Return the formats of the payloads in arq's default queue, sorted."""
        ids = self.redis.zrange(ARQ_DEFAULT_QUEUE, 0, -1)
        payloads = [self.redis.get(f"{JOB}{job_id.decode()}") for job_id in ids]
        return sorted("pickle" if is_pickle(payload) else "JSON" for payload in payloads if payload)

    def expire_results(self) -> None:
        for key in self.redis.scan_iter(match=f"{RESULT}*"):
            self.redis.delete(key)


@pytest.fixture
async def project(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str
) -> AsyncIterator[Project]:
    project = Project(request.param, tmp_path, redis_url)
    yield project
    project.redis.close()
    await project.client.aclose()


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("project", [name], indirect=True)


@of("newsletter")
async def test_retries_schedules_and_the_context_move(project: Project, redis_url: str) -> None:
    recipients = ("ann@example.com", "ben@example.com")

    def mails(edition: int) -> list[str]:
        return [f"{edition} {recipient}" for recipient in recipients]

    # arq's worker stops while jobs wait for a retry.
    with project.arq():
        assert project.produce(project.old, "1") == "2"
        await wait_until(lambda: project.redis.get("attempts:1:ben@example.com"))
        await wait_until(lambda: project.redis.llen("ticks"), 10)
    project.redis.delete("closed")  # arq skips on_shutdown if it cancels a running job
    assert project.redis.llen("delivered") == 0

    # The new worker goes on with the tries that are used.
    project.replace_workers()
    with project.ringline():
        await project.recorded("delivered", *mails(1))
        async with await create_arq_pool(RedisSettings.from_dsn(redis_url)) as arq_pool:
            assert await Job("1:ann@example.com", arq_pool).result(timeout=5) == 3
        assert project.produce(project.old, "2") == "2"
        await project.recorded("delivered", *mails(2))

        # Both kinds of worker serve the queue.
        with project.arq():
            ticks = project.redis.llen("ticks")
            assert project.produce(project.old, "3") == "2"
            await project.recorded("delivered", *mails(3))
            await wait_until(lambda: project.redis.llen("ticks") > ticks + 2)
    await project.recorded("closed", "once", "once")
    assert "accepting pickles" in project.log

    # Back to arq, with the same class, and forth again.
    project.follow(PRODUCERS)
    assert project.formats() == []
    with project.arq(project.new):
        assert project.produce(project.old, "4") == "2"
        assert project.produce(project.new, "5") == "2"
        await project.recorded("delivered", *mails(4), *mails(5))
    project.write_json()
    project.remove_pickle()
    with project.ringline():
        assert project.produce(project.new, "6") == "2"
        await project.recorded("delivered", *mails(6))
    ticks_seen = project.values("ticks")
    assert len(ticks_seen) == len(set(ticks_seen))


@of("reports")
async def test_pickled_jobs_of_every_state_are_taken_over(project: Project, tmp_path: Path) -> None:
    def done(*days: int) -> list[str]:
        return [f"{kind} {number} PDF" for number in days for kind in ("report", "archive")]

    # arq: one job done, one running, one deferred; one more while no worker runs.
    with project.arq():
        project.produce(project.old, "build", "1")
        await project.recorded("done", *done(1))
        project.produce(project.old, "build", "2", "6")
        project.produce(project.old, "export", "3")
        await project.recorded("started", "export 3")
    project.produce(project.old, "build", "4")
    assert project.formats() == ["pickle"] * 3

    # Step 1: pickles are taken over; step 2: annotations.
    project.replace_workers()
    project.annotate()
    with project.ringline():
        await project.recorded("started", "export 3")
        await project.recorded("done", "export 3", *done(2), *done(4))

    # Step 3: old and new producers, with jobs queued before and after.
    project.produce(project.old, "build", "5")
    project.produce(project.old, "build", "6", "4")
    project.follow(PRODUCERS)
    project.produce(project.new, "build", "7")
    assert project.formats() == ["JSON", "pickle", "pickle"]
    with project.ringline():
        project.produce(project.new, "build", "8", "1")
        await project.recorded("done", *done(5), *done(6), *done(7), *done(8))

    # Back to arq's worker and the producers as they were: jobs of both formats run.
    for days, copy in ((9, project.new), (10, project.old)):
        project.produce(copy, "build", str(days))
    with project.arq(project.new):
        project.produce(project.new, "build", "11", "1")
        await project.recorded("done", *done(9), *done(10), *done(11))

    # Step 4: workers write JSON; a pickled job keeps its format to the end.
    project.produce(project.old, "build", "12")
    project.write_json()
    with project.ringline():
        project.produce(project.new, "build", "13")
        await project.recorded("done", *done(12), *done(13))
    project.produce(project.old, "build", "14", "1")
    assert project.formats() == ["pickle"]
    assert project.count_pickles().startswith("PickleCounts(jobs=1, ")
    with project.ringline():
        await project.recorded("done", *done(14))
    assert not project.count_pickles().endswith("results=0, dead_letters=0)")
    project.expire_results()
    assert project.count_pickles() == "PickleCounts(jobs=0, results=0, dead_letters=0)"

    # Step 5: no pickle is left; one that comes later is kept, and not loaded.
    project.remove_pickle()
    letters = DeadLetterStore(project.client)
    with project.ringline():
        project.produce(project.new, "build", "15")
        await project.recorded("done", *done(15))
        project.produce(project.old, "build", "16")
        await wait_until(letters.count)
    assert project.count_pickles() == "PickleCounts(jobs=0, results=0, dead_letters=1)"


@of("quotes")
async def test_producers_get_their_results_in_every_step(project: Project) -> None:
    bolts, no_gear = "{'item': 'bolt', 'total': 14}", "no price for gear"

    def check(copy: Path) -> None:
        assert project.produce(copy, "ask", "bolt", "2") == bolts
        assert project.produce(copy, "ask", "gear", "1") == no_gear

    def collect(copy: Path, job_id: str) -> None:
        assert project.produce(copy, "collect", job_id) == "{'item': 'nut', 'total': 3}"

    with project.arq():
        check(project.old)
        first = project.produce(project.old, "order", "nut", "0")
        collect(project.old, first)
    deferred = project.produce(project.old, "order", "nut", "2")

    project.replace_workers()
    with project.ringline():
        check(project.old)
        collect(project.old, first)
        collect(project.old, deferred)
    deferred = project.produce(project.old, "order", "nut", "0.5")

    project.follow(PRODUCERS)
    with project.ringline():
        for copy in (project.old, project.new):
            check(copy)
            collect(project.new, first)
        collect(project.old, deferred)
        collect(project.new, deferred)

    waiting = project.produce(project.new, "order", "nut", "0")
    assert project.formats() == ["JSON"]
    with project.arq(project.new):  # back
        collect(project.new, waiting)
        for copy in (project.new, project.old):
            check(copy)

    project.write_json()
    with project.ringline():
        for copy in (project.new, project.old):
            check(copy)
        last = project.produce(project.new, "order", "nut", "0")
        collect(project.new, last)
        collect(project.new, first)

    project.remove_pickle()
    with project.ringline():
        check(project.new)
        collect(project.new, last)


@of("quotes")
async def test_a_class_that_skips_the_first_step_is_warned(project: Project) -> None:
    """The pickles become dead letters, which run once the step is made up for."""
    letters = DeadLetterStore(project.client)
    job_id = project.produce(project.old, "order", "nut", "0")
    with project.ringline():
        await wait_until(letters.count, 20)
    assert "reading only JSON" in project.log
    assert "quotes.worker.WorkerSettings sets job_deserializer" in project.log

    project.replace_workers()
    assert await letters.retry(job_id) == 1
    project.expire_results()
    with project.ringline():
        assert project.produce(project.old, "collect", job_id) == "{'item': 'nut', 'total': 3}"


def test_each_change_of_the_page_is_followed() -> None:
    """A new diff on the page needs a test: each of them is one of these steps."""
    headings = {block.heading for block in blocks(recipe.PAGE, "diff")}
    assert headings == {WORKERS, ANNOTATE, PRODUCERS, JSON, NO_PICKLE}
