"""The base of rules that are stored as JSON."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A rule as data: equal by value, never changed, and with no field it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
