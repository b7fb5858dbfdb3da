"""Job definitions: what `@job` records, the registry by name, and argument validation."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast, get_type_hints

import pydantic
from arq.typing import WorkerCoroutine
from arq.worker import Function

from jobs.engine.definition.retry import RetryPolicy
from jobs.errors import UsageError, ValidationError
from jobs.settings import Settings

Body = Callable[..., Coroutine[Any, Any, Any]]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

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
    _check: list[Callable[..., Arguments]] = field(default_factory=list, repr=False, compare=False)

    def check(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Arguments:
        """The arguments after the context, as the annotations want them.

        Raises ValidationError naming the argument, never its value, which may be personal.
        """
        try:
            return self._checker()(*args, **kwargs)
        except pydantic.ValidationError as error:
            raise ValidationError(_complaint(self.body, error)) from None

    def _checker(self) -> Callable[..., Arguments]:
        """Made late, since annotations may name what is defined after the job. Raises UsageError
        where they name what is not there at all."""
        if not self._check:
            self._check.append(_checker(self.name, self.body))
        return self._check[0]

    @property
    def parameters(self) -> Sequence[str]:
        """The names of the parameters after the context."""
        return list(inspect.signature(self.body).parameters)[1:]

    def time_limit(self, settings: Settings) -> float:
        return settings.task_timeout if self.timeout is None else self.timeout

    def arq_functions(self, coroutine: Body, settings: Settings) -> list[Function]:
        """The entries of arq's table of functions: one for the name and for each alias.

        Raises UsageError where no try could check its arguments.
        """
        self._checker()
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


def _checker(name: str, body: Body) -> Callable[..., Arguments]:
    """A function with the parameters of `body` after the context, answering them validated."""
    parameters = list(inspect.signature(body).parameters.values())[1:]
    hints = {p.name: _hint(name, body, p) for p in parameters}

    def collect(*args: Any, **kwargs: Any) -> Arguments:
        return args, kwargs

    collect.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what pydantic reads
        [p.replace(annotation=hints[p.name]) for p in parameters]
    )
    collect.__annotations__ = hints
    return pydantic.validate_call(config={"arbitrary_types_allowed": True})(collect)


def _hint(name: str, body: Body, parameter: inspect.Parameter) -> Any:
    """The type of one parameter. Those of the context and of the result are not asked for: they are
    often imported for the type checker only."""
    if parameter.annotation is parameter.empty:
        return Any
    one = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    where = inspect.unwrap(body).__globals__
    try:
        return get_type_hints(one, where, include_extras=True)[parameter.name]
    except Exception as error:
        raise UsageError(
            f"{name}: the annotation of {parameter.name} cannot be used: {error} (arguments are "
            "checked by it at run time, so it must not be imported for the type checker only)"
        ) from error


def _complaint(body: Body, error: pydantic.ValidationError) -> str:
    parameters = list(inspect.signature(body).parameters.values())[1:]
    complaints = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        first, *rest = one["loc"] or ("arguments",)
        if isinstance(first, int):
            first = _name_of(parameters, first)
        complaints.append(f"{'.'.join(map(str, (first, *rest)))}: {one['msg']}")
    return "; ".join(complaints)


def _name_of(parameters: Sequence[inspect.Parameter], position: int) -> str:
    """The parameter that takes the argument at this position."""
    for at, one in enumerate(parameters):
        if one.kind is one.VAR_POSITIONAL or (
            at == position and one.kind is one.POSITIONAL_OR_KEYWORD
        ):
            return one.name
    return f"argument {position + 1}"
