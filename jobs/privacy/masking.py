"""Personal data made unreadable for logs and errors."""

import re
from typing import Final

HIDDEN: Final = "•••"
_HIDDEN: Final = "•"
_SHOWN: Final = 2


def mask_phone(number: str) -> str:
    """Its first two characters and its last two: "+1•••••••••23"."""
    hidden = len(number) - 2 * _SHOWN
    if hidden <= 0:
        return _HIDDEN * len(number)
    return number[:_SHOWN] + _HIDDEN * hidden + number[-_SHOWN:]


def mask_email(address: str) -> str:
    """Its first letter and its top-level domain: "a•••@•••.com"."""
    local, _, domain = address.rpartition("@")
    _, dot, top = domain.rpartition(".")
    first = local[:1].strip(f"{_HIDDEN}@")  # masked again, it stays as it is
    return f"{first}•••@•••{dot}{top if dot else ''}"


def mask_name(name: str) -> str:
    """The initial of each part: "A••• L•••"."""
    return " ".join(f"{part[0]}•••" for part in name.split())


_HOST: Final = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
_PLACE: Final = re.compile(rf"(?:{_HOST}(?:,{_HOST})*)?(?:/.*)?", re.DOTALL)


def mask_url(url: str) -> str:
    """Its scheme, hosts and path: no user, no password, no options.

    Where it is not certain which part is the password, as when a "?" in it was not quoted, nothing
    but the scheme is shown.
    """
    scheme, mark, rest = url.partition("://")
    if not (mark and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme)):
        return HIDDEN
    head = re.split("[?#]", rest, maxsplit=1)[0]
    place = head.rpartition("@")[2]
    certain = _PLACE.fullmatch(place) and "@" not in rest[len(head) :] and place.isprintable()
    return f"{scheme}://{place if certain else HIDDEN}"


# Each run of characters that an address mostly has is read once, from its start, and the rarer
# ones that also part words only where they end it, 64 at most: linear time. Who enters by a URL
# comes first, and is hidden up to the last "@".
_EMAIL: Final = re.compile(
    r"""://(?P<entry>(?:(?!://)\S)*@)|(?<![^\s@<>()\[\]{},;:"'=&/|\\])[^\s@<>()\[\]{},;:"'=&/|\\]*[{}'=&/|]{0,64}"""
    r"""(?:@|%40)+[^\s@<>()\[\]{},;:"'=&/|\\]+"""
)

_OPTION: Final = re.compile(
    r"(?<=[?&])([\w.-]{0,40}(?:passw|secret|token|key|sig)[\w.-]{0,40}=)[^&\s]+", re.IGNORECASE
)
"""An option of a URL that holds a secret."""

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
"""Where PostgreSQL, asyncpg and SQLAlchemy quote a row, a key or a parameter, to the line's end."""

# What looks like a number but is none comes first, and is passed over.
_PHONE: Final = re.compile(
    r"""
    (?<![0-9A-Za-z])
    (?:
        (?P<other>
            [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}                # UUID
          | (?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9](?![0-9])                     # date
          | (?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])                             # IPv4 address
          | [0-9]+\.[0-9]+(?![0-9.])                                            # decimal
        )
      | (?:\+|%2[Bb])\ ?\(?[0-9](?:[ ().\-/]{0,3}[0-9]){6,14}                   # international
      | \(?0[0-9](?:[ ().\-/]{0,2}[0-9]){7,12}(?![0-9A-Za-z])                   # trunk prefix
      | (?:1[ .\-]?)?\(?[2-9][0-9]{2}(?:\)\ ?|[ .\-])?[0-9]{3}[ .\-]?[0-9]{4}(?![0-9A-Za-z])
      | [2-9][0-9]{10,12}(?![0-9A-Za-z])                                        # "+" left out
    )
    """,
    re.VERBOSE,
)


def mask_text(text: str) -> str:
    """`text` with the phone numbers and e-mail addresses in it masked, the passwords of URLs, and
    what PostgreSQL and its drivers quote of a row.

    A number without "+" is taken for a phone number when it is written as one within North America
    or begins with 0, or has 11 to 13 digits; identifiers, moments and decimals stay.
    """
    if "(" in text or "$" in text or "[" in text or '"' in text:
        text = _ROW.sub(rf"\1{HIDDEN}", text)
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(_masked_email, text)
    if "=" in text:
        text = _OPTION.sub(rf"\1{HIDDEN}", text)
    return _PHONE.sub(_masked_phone, text)


def _masked_email(match: re.Match[str]) -> str:
    if match["entry"]:
        return f"://{HIDDEN}@"
    return mask_email(match[0].replace("%40", "@"))


def _masked_phone(match: re.Match[str]) -> str:
    return match[0] if match["other"] else mask_phone(match[0])
