"""Argument validation: a job's arguments against the annotations of its parameters."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from types import GenericAlias, SimpleNamespace
from typing import Any, Final, get_type_hints

import pydantic
from pydantic.errors import PydanticUserError
from pydantic_core import ArgsKwargs, SchemaValidator

from jobs.errors import UsageError, ValidationError

Body = Callable[..., Coroutine[Any, Any, Any]]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_CONFIG: Final = pydantic.ConfigDict(arbitrary_types_allowed=True)
_SUPPLIED: Final = object()
"""The default of a parameter that a decorator below `@job` may supply by keyword."""


class ArgumentValidator:
    """Validates the arguments of one job.

    Args:
        job_name: The job's name, for error messages.
        body: The coroutine function; its first parameter is the context.

    Raises:
        UsageError: An annotation cannot be used at run time.
    """

    def __init__(self, job_name: str, body: Body) -> None:
        self._job_name = job_name
        self._parameters = list(inspect.signature(body).parameters.values())[1:]
        # A decorator below `@job` may supply arguments by keyword: none of them is required here.
        self._decorated = hasattr(body, "__wrapped__")
        self._validator = self._make_validator(body)

    @property
    def parameters(self) -> Sequence[str]:
        """The names of the parameters after the context."""
        return [parameter.name for parameter in self._parameters]

    def validate(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Arguments:
        """Return the validated arguments.

        Args:
            args: Positional arguments after the context.
            kwargs: Keyword arguments.

        Raises:
            ValidationError: An argument does not match. The message names the parameter, never the
                value, which may be personal.
        """
        try:
            # Models are written by the names of their fields; other producers may use aliases.
            validated: Arguments = self._validator.validate_python(
                ArgsKwargs(tuple(args), kwargs), by_name=True, by_alias=True
            )
        except pydantic.ValidationError as error:
            raise ValidationError(self._message(error)) from None
        if self._decorated:
            positional, keyword = validated
            keyword = {name: v for name, v in keyword.items() if v is not _SUPPLIED}
            return tuple(value for value in positional if value is not _SUPPLIED), keyword
        return validated

    def _make_validator(self, body: Body) -> SchemaValidator:
        hints = {parameter.name: self._hint(body, parameter) for parameter in self._parameters}

        def collect(*args: Any, **kwargs: Any) -> Arguments:
            return args, kwargs

        collect.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # pydantic's input
            [self._as_keyword(parameter, hints) for parameter in self._parameters]
        )
        collect.__annotations__ = hints
        function: Any = collect  # a type adapter also takes functions, whose calls it validates
        try:
            return pydantic.TypeAdapter(function, config=_CONFIG).validator  # type: ignore[return-value]  # or a plugin's twin
        except PydanticUserError as error:
            raise self._unusable(hints, error) from error

    def _as_keyword(self, parameter: inspect.Parameter, hints: dict[str, Any]) -> inspect.Parameter:
        default = parameter.default
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if self._decorated and default is parameter.empty and not variadic:
            default = _SUPPLIED
        return parameter.replace(annotation=hints[parameter.name], default=default)

    def _hint(self, body: Body, parameter: inspect.Parameter) -> Any:
        """Return the type of one parameter.

        The types of the context and of the result are not resolved: they are often imported for
        the type checker only.
        """
        if parameter.annotation is parameter.empty:
            return Any
        holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        names = inspect.unwrap(body).__globals__
        try:
            return get_type_hints(holder, names, include_extras=True)[parameter.name]
        except Exception as error:
            raise UsageError(
                f"{self._job_name}: cannot use the annotation of {parameter.name}: {error} "
                "(arguments are validated at run time: do not import the type for the type "
                "checker only)"
            ) from error

    def _unusable(self, hints: dict[str, Any], error: PydanticUserError) -> UsageError:
        """Return an error that names the parameter which pydantic cannot validate."""
        name, reason = "a parameter", error
        for parameter, hint in hints.items():
            wrapped: Any = GenericAlias(
                list, hint
            )  # a bare model or TypedDict would refuse the configuration
            try:
                pydantic.TypeAdapter(wrapped, config=_CONFIG)
            except PydanticUserError as cause:
                name, reason = parameter, cause
                break
        text = " ".join(reason.message.split())
        return UsageError(f"{self._job_name}: cannot use the annotation of {name}: {text}")

    def _message(self, error: pydantic.ValidationError) -> str:
        messages = []
        for flaw in error.errors(include_url=False, include_context=False, include_input=False):
            first, *rest = flaw["loc"] or ("arguments",)
            if isinstance(first, int):
                first = self._name_at(first)
            messages.append(f"{'.'.join(map(str, (first, *rest)))}: {flaw['msg']}")
        return "; ".join(messages)

    def _name_at(self, position: int) -> str:
        """Return the name of the parameter that takes the argument at `position`."""
        for index, parameter in enumerate(self._parameters):
            if parameter.kind is parameter.VAR_POSITIONAL or (
                index == position
                and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            ):
                return parameter.name
        return f"argument {position + 1}"
