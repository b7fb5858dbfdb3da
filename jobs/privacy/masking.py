"""Masks for phone numbers, email addresses, names, URLs, and texts that contain them."""

import re
from typing import Final

HIDDEN: Final = "•••"
_BULLET: Final = "•"
_SHOWN: Final = 2


def mask_phone(number: str) -> str:
    """Return a phone number with all but its first two and last two characters masked.

    "+14155550123" becomes "+1••••••••23"; a number of four characters or less is masked entirely.
    """
    hidden = len(number) - 2 * _SHOWN
    if hidden <= 0:
        return _BULLET * len(number)
    return number[:_SHOWN] + _BULLET * hidden + number[-_SHOWN:]


def mask_email(address: str) -> str:
    """Return an email address reduced to its first letter and top-level domain.

    "ada@example.com" becomes "a•••@•••.com".
    """
    local, _, domain = address.rpartition("@")
    _, dot, top = domain.rpartition(".")
    first = local[:1].strip(f"{_BULLET}@")  # masking twice changes nothing
    return f"{first}•••@•••{dot}{top if dot else ''}"


def mask_name(name: str) -> str:
    """Return a name reduced to the initial of each part: "Ada Lovelace" becomes "A••• L•••"."""
    return " ".join(f"{part[0]}•••" for part in name.split())


_HOST: Final = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
_LOCATION: Final = re.compile(rf"(?:{_HOST}(?:,{_HOST})*)?(?:/.*)?", re.DOTALL)


def mask_url(url: str) -> str:
    """Return the scheme, hosts and path of a URL, without user, password and query.

    If the password cannot be delimited, for instance because it holds an unquoted "?", only the
    scheme is shown; a text that is not a URL is hidden entirely.
    """
    scheme, separator, rest = url.partition("://")
    if not (separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme)):
        return HIDDEN
    head = re.split("[?#]", rest, maxsplit=1)[0]
    location = head.rpartition("@")[2]
    is_certain = (
        _LOCATION.fullmatch(location) and "@" not in rest[len(head) :] and location.isprintable()
    )
    return f"{scheme}://{location if is_certain else HIDDEN}"


# Linear time: a run of common address characters is read once, from its start; the rarer ones,
# which also separate words, only match at its end, 64 at most. The credentials of a URL come
# first, and are hidden up to the last "@".
_EMAIL: Final = re.compile(
    r"""://(?P<credentials>(?:(?!://)\S)*@)|(?<![^\s@<>()\[\]{},;:"'=&/|\\])[^\s@<>()\[\]{},;:"'=&/|\\]*[{}'=&/|]{0,64}"""
    r"""(?:@|%40)+[^\s@<>()\[\]{},;:"'=&/|\\]+"""
)

_OPTION: Final = re.compile(
    r"(?<=[?&])([\w.-]{0,40}(?:passw|secret|token|key|sig)[\w.-]{0,40}=)[^&\s]+", re.IGNORECASE
)
"""A query parameter of a URL that holds a secret."""

_ROW: Final = re.compile(
    r"""(
        Key\ \([^()\n]{1,500}\)=\(
      | Failing\ row\ contains\ \(
      | \[parameters:\ [{(\[]
      | invalid\ input\ for\ query\ argument\ \$[0-9]{1,5}:[ ]
      | invalid\ input\ syntax\ for\ type\ [\w ]{1,80}:\ "
    ).*""",
    re.VERBOSE,
)
"""A row, key or parameter that PostgreSQL, asyncpg or SQLAlchemy quotes, up to the line's end."""

# Texts that only look like phone numbers come first, and are left as they are.
_PHONE: Final = re.compile(
    r"""
    (?<![0-9A-Za-z])
    (?:
        (?P<other>
            [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}                # UUID
          | (?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9](?![0-9])                     # date
          | [0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?![0-9])                            # time, UTC offset
          | (?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])                             # IPv4 address
          | [0-9]+\.[0-9]+(?![0-9.])                                            # decimal
        )
      | (?:\+|%2[Bb])\ ?\(?[0-9](?:[ ().\-/]{0,3}[0-9]){6,14}                   # international
      | \(?0[0-9](?:[ ().\-/]{0,2}[0-9]){7,12}(?![0-9A-Za-z])                   # trunk prefix
      | (?:1[ .\-]?)?\(?[2-9][0-9]{2}(?:\)\ ?|[ .\-])?[0-9]{3}[ .\-]?[0-9]{4}(?![0-9A-Za-z])
      | [2-9][0-9]{10,12}(?![0-9A-Za-z])                                        # without "+"
    )
    """,
    re.VERBOSE,
)


def mask_text(text: str) -> str:
    """Return a text with the personal data and secrets that patterns find masked.

    Masks phone numbers, email addresses, passwords in URLs, and rows that PostgreSQL and its
    drivers quote. Digits without "+" count as a phone number if they are formatted as in North
    America, start with 0, or number 11 to 13. Identifiers, times and decimals stay.
    """
    if "(" in text or "$" in text or "[" in text or '"' in text:
        text = _ROW.sub(rf"\1{HIDDEN}", text)
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(_mask_email_match, text)
    if "=" in text:
        text = _OPTION.sub(rf"\1{HIDDEN}", text)
    return _PHONE.sub(_mask_phone_match, text)


def _mask_email_match(match: re.Match[str]) -> str:
    if match["credentials"]:
        return f"://{HIDDEN}@"
    return mask_email(match[0].replace("%40", "@"))


def _mask_phone_match(match: re.Match[str]) -> str:
    return match[0] if match["other"] else mask_phone(match[0])
