"""Calling rules shared by the domains: pure functions and frozen data, no I/O, no clock.

Phone numbers and places

- `numbers`: normal forms of phone numbers, email addresses, tags and temperatures
- `fictional`: valid phone numbers that belong to nobody
- `area_codes`: area codes of the North American Numbering Plan by region
- `places`: states, provinces and postal codes of North America, with their time zones
- `zones`: IANA time zones, and the zones and region of a lead

Local time

- `localtime`: UTC intervals of constant offset, and the start of a local day
- `calendar`: time spans within a day, and holidays
- `windows`: calling windows by region
- `hours`: calling hours by region, from tables of the law, with the place of a lead

Calls and campaigns

- `states`: state machines of calls, leads, enrollments and campaigns
- `dispositions`: disposition of an ended call, and its effect on the lead and the enrollment
- `redial`: time of the next attempt
- `caps`: attempt caps, and the check before a call is dialed
- `pacing`: calling pace and circuit breaker
- `policy`: all rules of one campaign

Figures

- `scoring`: lead score by a rule set
- `metrics`: ratios derived from sums and counts

- `frozen`: base class of rules stored as JSON
"""
