"""Calling hours that a campaign states for itself, as data stored with the campaign."""

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from jobs.rules.frozen import Frozen
from jobs.rules.hours.closed_days import check_holidays
from jobs.rules.hours.tables import Holidays, Rule, Table, Voice
from jobs.rules.hours.weekdays import Week

Region = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]


def _check_reason(text: str) -> str:
    if not text.strip():
        raise ValueError("lawful hours need a reason: state why these hours are lawful")
    return text


class LawfulHours(Frozen):
    """Hours that replace the rules of regions, and the reason for the audit.

    The hours replace the rules of exactly these regions in both tables, for any voice. Hours of a
    country therefore leave the rules of its listed states in force. Caps and consent by law stay.

    Attributes:
        regions: ISO 3166 codes of countries ("GB") or subdivisions ("US-MA").
        week: Open time spans by weekday.
        holidays: Closed public holidays of the region; none by default.
        reason: Legal basis of the hours.
    """

    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    week: Week
    holidays: tuple[Holidays, ...] = ()
    reason: Annotated[str, AfterValidator(_check_reason)]

    @model_validator(mode="after")
    def _check_holidays(self) -> "LawfulHours":
        for region in self.regions:
            check_holidays(region, frozenset(self.holidays))
        return self

    def rules(self) -> tuple[Rule, ...]:
        """Return the hours as one rule per region."""
        return tuple(
            Rule(
                region=region,
                effective=date.min,
                table=Table.CAMPAIGN,
                week=self.week,
                citation=self.reason,
                checked=None,
                holidays=frozenset(self.holidays),
            )
            for region in self.regions
        )


class HoursPolicy(Frozen):
    """Voice and calling hours of one campaign.

    Attributes:
        voice: Voice of the calls. An artificial voice is bound by both tables.
        daily_hours: Hours in the called party's local time that narrow every region's hours; None
            narrows nothing.
        lawful_hours: Hours that replace the rules of regions.
    """

    voice: Voice = Voice.ARTIFICIAL
    daily_hours: Week | None = None
    lawful_hours: tuple[LawfulHours, ...] = ()

    @model_validator(mode="after")
    def _check_regions(self) -> "HoursPolicy":
        regions = [region for hours in self.lawful_hours for region in hours.regions]
        twice = sorted({region for region in regions if regions.count(region) > 1})
        if twice:
            raise ValueError(f"lawful hours name a region twice: {', '.join(twice)}")
        return self
