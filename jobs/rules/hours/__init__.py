"""Calling hours by region: data with citations, and pure functions over the data. Not legal advice.

Callers turn the evidence of a lead into a place with `evidence_of`, and ask `is_open` and
`next_openings` about it. A place is open only while every candidate region is open in every
candidate zone. A region without a rule is closed.

Data

- `tables`: the tables of hours, read from `data/` and validated
- `exceptions`: points of law that the columns of the tables cannot express
- `weekdays`: open time spans of the seven weekdays
- `closed_days`: public holidays on which a region is closed
- `policy`: voice and hours that a campaign states for itself

Place of a lead

- `clocks`: time zones as clocks, and the regions that keep them
- `numbering`: regions and zones of phone numbers
- `readings`: meaning of each piece of evidence
- `place`: candidates that follow from all evidence

Permission

- `rulebook`: choice of the rules for a region on a local day
- `opening`: verdict on a time, and the next windows
- `reasons`: reasons for being closed, in words
- `duties`: caps, consent and rest by law
- `explanation`: explanation for people
"""

from jobs.rules.hours.duties import (
    CandidateRules,
    LegalCap,
    LegalConsent,
    LegalRest,
    caps_for,
    consent_required,
    rest_after_refusal,
    rules_for,
)
from jobs.rules.hours.explanation import DISCLAIMER, Explanation, describe_rule, explain
from jobs.rules.hours.opening import (
    HORIZON,
    Verdict,
    Window,
    is_open,
    next_open,
    next_openings,
    open_windows,
)
from jobs.rules.hours.place import Place, evidence_of
from jobs.rules.hours.policy import HoursPolicy, LawfulHours
from jobs.rules.hours.readings import Candidate, Reading, Source
from jobs.rules.hours.tables import VERSION, Cap, Checked, Holidays, Rule, Table, Voice
from jobs.rules.hours.weekdays import Week, week

__all__ = [
    "DISCLAIMER",
    "HORIZON",
    "VERSION",
    "Candidate",
    "CandidateRules",
    "Cap",
    "Checked",
    "Explanation",
    "Holidays",
    "HoursPolicy",
    "LawfulHours",
    "LegalCap",
    "LegalConsent",
    "LegalRest",
    "Place",
    "Reading",
    "Rule",
    "Source",
    "Table",
    "Verdict",
    "Voice",
    "Week",
    "Window",
    "caps_for",
    "consent_required",
    "describe_rule",
    "evidence_of",
    "explain",
    "is_open",
    "next_open",
    "next_openings",
    "open_windows",
    "rest_after_refusal",
    "rules_for",
    "week",
]
