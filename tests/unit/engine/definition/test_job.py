"""`@job`: a plain coroutine when called, checked arguments when a worker calls it."""

import inspect
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from arq.worker import Retry, func

from jobs.engine.definition.attempt import STALE_READS
from jobs.engine.definition.decorator import job
from jobs.engine.definition.job import definition_of, find_job
from jobs.engine.definition.retry import retry
from jobs.errors import (
    ConflictError,
    DatabaseError,
    StaleVersionError,
    UsageError,
    ValidationError,
)
from jobs.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

LEAD = UUID("75af5b91-533b-4e3d-9560-8a8102b4958d")


@job("tests.qualify", timeout=30)
@retry(max_retries=1, delay=5)
async def qualify(
    ctx: dict[str, Any], lead_id: UUID, *tags: str, when: datetime | None = None, n: int = 3
) -> tuple[UUID, tuple[str, ...], datetime | None, int]:
    """Scores."""
    if n == 0:
        raise ConnectionError("no route")
    return lead_id, tags, when, n


def worker_context(job_try: int = 1) -> dict[str, Any]:
    """What a worker of ours hands to a try."""
    return {"engine": True, "job_id": "1", "job_try": job_try, "score": 0}


async def test_called_directly_it_runs_as_written() -> None:
    assert await qualify({}, LEAD, "a", n=4) == (LEAD, ("a",), None, 4)
    with pytest.raises(ConnectionError):
        await qualify({}, LEAD, n=0)


async def test_called_by_a_worker_its_arguments_are_turned_into_what_they_are() -> None:
    arguments: Any = (str(LEAD), "a", "b")
    options: Any = {"when": "2026-03-29T01:30:00+00:00", "n": "4"}
    lead_id, tags, when, n = await qualify(worker_context(), *arguments, **options)
    assert (lead_id, tags, n) == (LEAD, ("a", "b"), 4)
    assert when is not None
    assert when.utcoffset() == timedelta()


async def test_a_failure_asks_for_a_retry_and_the_last_one_is_mapped() -> None:
    with pytest.raises(Retry) as raised:
        await qualify(worker_context(), LEAD, n=0)
    assert raised.value.defer_score == 5000
    assert isinstance(raised.value.__cause__, Exception)
    with pytest.raises(Exception, match="no route") as last:
        await qualify(worker_context(job_try=2), LEAD, n=0)
    assert type(last.value).__name__ == "ExternalServiceError"
    assert isinstance(last.value.__cause__, ConnectionError)


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {}, "lead_id: Missing"),
        (("secret",), {}, "lead_id: Input should be a valid UUID"),
        ((LEAD, 1), {}, "^tags: Input should be a valid string$"),
        ((LEAD, "a", 1), {}, "^tags: Input should be a valid string$"),
        ((LEAD,), {"colour": 1}, "colour: Unexpected"),
        ((LEAD,), {"when": "secret", "n": "many"}, "when: .*; n: "),
    ],
)
async def test_bad_arguments_name_the_parameter_and_not_the_value(
    args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint) as raised:
        await qualify(worker_context(), *args, **kwargs)
    assert "secret" not in str(raised.value)


async def test_stale_versions_are_read_again_only_a_few_times() -> None:
    tries = []

    @job("tests.stale")
    async def stale(ctx: dict[str, Any]) -> None:
        tries.append(1)
        raise StaleVersionError("lead 7")

    with pytest.raises(Retry):
        await stale(worker_context())
    assert len(tries) == STALE_READS + 1


async def test_a_conflict_is_not_tried_again() -> None:
    @job("tests.conflict")
    async def conflict(ctx: dict[str, Any]) -> None:
        raise ConflictError("completed is final")

    with pytest.raises(ConflictError):
        await conflict(worker_context())


async def test_a_job_called_from_a_job_is_not_a_try_of_its_own() -> None:
    @job("tests.inner")
    async def inner(ctx: dict[str, Any]) -> None:
        raise DatabaseError("gone")

    @job("tests.outer")
    async def outer(ctx: dict[str, Any]) -> str:
        with pytest.raises(DatabaseError):
            await inner(ctx)
        return "caught"

    assert await outer(worker_context()) == "caught"


async def test_annotations_of_every_kind() -> None:
    @job("tests.kinds")
    async def kinds(ctx: object, price: "Decimal", days: set[int], untyped=None):  # type: ignore[no-untyped-def]
        return price, days, untyped

    arguments: Any = ("1.50", [1, 1, 2], {"a": [1]})
    assert await kinds(worker_context(), *arguments) == (
        Decimal("1.50"),
        {1, 2},
        {"a": [1]},
    )


async def test_the_types_of_the_context_and_of_the_result_need_not_be_there() -> None:
    @job("tests.checked_only")
    async def checked_only(ctx: "Mapping[str, Any]", lead_id: "UUID") -> "Fraction":
        assert isinstance(lead_id, UUID)
        return None  # type: ignore[return-value]  # a Fraction is not there

    argument: Any = str(LEAD)
    assert await checked_only(worker_context(), argument) is None


def test_the_type_of_an_argument_has_to_be_there_when_a_worker_is_made() -> None:
    @job("tests.unresolved")
    async def unresolved(ctx: object, lead_id: UUID, share: "Fraction | None" = None) -> None: ...

    definition = definition_of(unresolved)
    assert definition is not None
    complaint = "^tests.unresolved: cannot use the annotation of share: name 'Fraction' is not"
    with pytest.raises(UsageError, match=complaint):
        definition.arq_functions(unresolved, load_settings())
    with pytest.raises(UsageError, match=complaint):
        definition.check((LEAD,), {})


def test_it_stays_a_coroutine_function_that_arq_names() -> None:
    assert inspect.iscoroutinefunction(qualify)
    assert func(qualify).name == "tests.qualify"
    assert qualify.__doc__ == "Scores."
    assert list(inspect.signature(qualify).parameters) == ["ctx", "lead_id", "tags", "when", "n"]


def test_a_name_is_taken_once_and_found_by_its_aliases() -> None:
    @job("tests.renamed", aliases=["tests.former"])
    async def renamed(ctx: object) -> None: ...

    assert find_job("tests.former") is definition_of(renamed)
    assert find_job("tests.nobody") is None
    with pytest.raises(UsageError, match=r"two jobs are called tests\.former"):

        @job("tests.former")
        async def another(ctx: object) -> None: ...


def test_only_coroutines_are_jobs() -> None:
    with pytest.raises(UsageError, match="not an `async def`"):
        job("tests.sync")(lambda ctx: None)  # type: ignore[type-var]
