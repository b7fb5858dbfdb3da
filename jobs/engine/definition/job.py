"""Job definitions: what `@job` records, the registry by name, and argument validation."""

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
"""Seconds that arq's own timeout, which ends a job for good, is longer than ours."""
UNLIMITED_TRIES: Final = 1_000_000
"""For arq, which would end a job outside of our reach; `@retry` does the counting."""


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """What `@job` was told. timeout, keep_result: seconds; None: the setting, the worker's own."""

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
        return settings.task_timeout if self.timeout is None else self.timeout

    def arq_functions(self, coroutine: Body, settings: Settings) -> list[Function]:
        """The entries of arq's table of functions: one for the name and for each alias.

        Raises UsageError where no try could check its arguments.
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
    """What `@job` was told about this coroutine function; None when it is not a job."""
    definition: JobDefinition | None = getattr(coroutine, "__job__", None)
    return definition


def find_job(name: str) -> JobDefinition | None:
    """The job of this name or alias, as far as its module has been imported."""
    return _BY_NAME.get(name)


def register(definition: JobDefinition) -> None:
    for name in (definition.name, *definition.aliases):
        known = _BY_NAME.get(name)
        if known is not None and _place(known.body) != _place(definition.body):
            raise UsageError(
                f"two jobs are called {name}: {_place(known.body)} and {_place(definition.body)}"
            )
        _BY_NAME[name] = definition


def _place(body: Body) -> str:
    return f"{body.__module__}.{body.__qualname__}"
