"""Job definitions: what `@job` records, and their registry by name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from arq.typing import WorkerCoroutine
from arq.worker import Function

from jobs.engine.definition.arguments import Arguments, ArgumentValidator, Body
from jobs.engine.definition.retry import RetryPolicy
from jobs.errors import UsageError
from jobs.settings import Settings

BACKSTOP: Final = 10.0
"""Seconds that arq's timeout, which ends a job for good, is longer than ours."""
UNLIMITED_TRIES: Final = 1_000_000
"""arq's limit, out of reach: `@retry` counts, and arq would end the job without a dead letter."""


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """The definition of a job.

    Attributes:
        name: `domain.verb`, permanent.
        body: The coroutine function.
        policy: The retry policy.
        timeout: Seconds for one execution; None for TASK_TIMEOUT.
        queue: The queue for producers that enqueue the function; None for the name's queue.
        keep_result: Seconds for which a result is kept; None for the worker's default.
        aliases: Former names.
        dead_letter: Keep a dead letter of a job that failed for good.
    """

    name: str
    body: Body
    policy: RetryPolicy
    timeout: float | None
    queue: str | None
    keep_result: float | None
    aliases: tuple[str, ...]
    dead_letter: bool
    _validator: list[ArgumentValidator] = field(default_factory=list, repr=False, compare=False)

    def check(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Arguments:
        """Return the arguments after the context, validated against the annotations.

        Raises:
            ValidationError: An argument does not match. The message names the parameter, never the
                value, which may be personal.
        """
        return self._arguments().validate(args, kwargs)

    def _arguments(self) -> ArgumentValidator:
        """Return the validator, made late: annotations may name what is defined after the job."""
        if not self._validator:
            self._validator.append(ArgumentValidator(self.name, self.body))
        return self._validator[0]

    @property
    def parameters(self) -> Sequence[str]:
        """The names of the parameters after the context."""
        return self._arguments().parameters

    def time_limit(self, settings: Settings) -> float:
        """Return the seconds that one execution may take."""
        return settings.task_timeout if self.timeout is None else self.timeout

    def arq_functions(self, coroutine: Body, settings: Settings) -> list[Function]:
        """Return the entries for arq's table of functions: one per name and alias.

        Raises:
            UsageError: The annotations do not allow arguments to be validated.
        """
        self._arguments()
        return [
            Function(
                name=name,
                coroutine=cast("WorkerCoroutine", coroutine),
                timeout_s=self.time_limit(settings) + BACKSTOP,
                keep_result_s=self.keep_result,
                keep_result_forever=None,
                max_tries=UNLIMITED_TRIES,
            )
            for name in (self.name, *self.aliases)
        ]


_BY_NAME: Final[dict[str, JobDefinition]] = {}


def definition_of(coroutine: object) -> JobDefinition | None:
    """Return the definition of a coroutine function; None if it is not a job."""
    definition: JobDefinition | None = getattr(coroutine, "__job__", None)
    return definition


def find_job(name: str) -> JobDefinition | None:
    """Return the job with this name or alias; None if no imported module defines it."""
    return _BY_NAME.get(name)


def register(definition: JobDefinition) -> None:
    """Add a job to the registry.

    Raises:
        UsageError: Another function has the name.
    """
    for name in (definition.name, *definition.aliases):
        known = _BY_NAME.get(name)
        if known is not None and _path(known.body) != _path(definition.body):
            raise UsageError(
                f"two jobs are called {name}: {_path(known.body)} and {_path(definition.body)}"
            )
        _BY_NAME[name] = definition


def _path(body: Body) -> str:
    return f"{body.__module__}.{body.__qualname__}"
