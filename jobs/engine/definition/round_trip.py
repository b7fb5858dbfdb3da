"""The round trip of arguments: refuses what a job would not receive equal to what was sent."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from arq.jobs import DeserializationError, SerializationError
from pydantic import BaseModel

from jobs.engine.definition.job import JobDefinition
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.errors import ValidationError


def require_round_trip(
    definition: JobDefinition, args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    """Check that a job would receive its arguments equal to those sent.

    The arguments are written as JSON, read back, and validated against the annotations. NaN counts
    as equal to NaN.

    Args:
        definition: The job.
        args: Positional arguments after the context.
        kwargs: Keyword arguments.

    Raises:
        ValidationError: An argument does not match its annotation, or would arrive changed. The
            message names the parameter, never the value.
        TypeError: An argument has no JSON form.
    """
    sent_args, sent_kwargs = definition.check(args, kwargs)
    try:
        written_args, written_kwargs = deserialize(serialize((list(args), kwargs)))
        read_args, read_kwargs = definition.check(written_args, written_kwargs)
    except (ValidationError, SerializationError, DeserializationError) as error:
        raise ValidationError(
            f"{definition.name}: an argument cannot be read back from its JSON form: {error}"
        ) from None
    names = [*definition.parameters, *["*"] * len(sent_args)]
    pairs = [
        *zip(names, sent_args, read_args, strict=False),
        *((name, value, read_kwargs.get(name)) for name, value in sent_kwargs.items()),
    ]
    for name, sent, read in pairs:
        if not equal(sent, read):
            raise ValidationError(
                f"{definition.name}: {name} would not arrive equal: annotate it with a type that "
                "its JSON form can be read back as, or pass an id and let the job look it up"
            )
    if len(sent_args) != len(read_args) or sent_kwargs.keys() != read_kwargs.keys():
        raise ValidationError(f"{definition.name}: an argument would not arrive")


def equal(sent: Any, read: Any) -> bool:
    """Return whether two values are equal, where NaN counts as equal to NaN."""
    if _is_nan(sent) and _is_nan(read):
        return True
    if isinstance(sent, BaseModel):
        return type(sent) is type(read) and _equal_models(sent, read)
    if is_dataclass(sent) and not isinstance(sent, type):
        return type(sent) is type(read) and all(
            equal(getattr(sent, field.name, None), getattr(read, field.name, None))
            for field in fields(sent)
            if field.compare
        )
    if isinstance(sent, Mapping):
        return (
            isinstance(read, Mapping)
            and sent.keys() == read.keys()
            and all(equal(value, read[key]) for key, value in sent.items())
        )
    if isinstance(sent, list | tuple):
        return type(sent) is type(read) and len(sent) == len(read) and all(map(equal, sent, read))
    if isinstance(sent, AbstractSet):
        return isinstance(read, AbstractSet) and _without_nan(sent) == _without_nan(read)
    return bool(sent == read)


def _equal_models(sent: BaseModel, read: BaseModel) -> bool:
    return (
        equal(sent.__dict__, read.__dict__)
        and equal(sent.__pydantic_extra__ or {}, read.__pydantic_extra__ or {})
        and equal(sent.__pydantic_private__ or {}, read.__pydantic_private__ or {})
    )


def _is_nan(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float) and math.isnan(value)


def _without_nan(values: AbstractSet[Any]) -> tuple[frozenset[Any], bool]:
    return frozenset(v for v in values if not _is_nan(v)), any(map(_is_nan, values))
