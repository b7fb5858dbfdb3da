"""Base class of rules and reports stored as JSON."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable model, equal by value; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
