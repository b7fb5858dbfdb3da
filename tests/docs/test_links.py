"""Relative links and anchors of the documentation resolve."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, headings, name_of, prose, text_of

LINK = re.compile(r"\]\(([^)\s]+)\)")
ABSOLUTE = re.compile(r"[a-z]+:")


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return words.replace(" ", "-")


def links(path: Path) -> list[str]:
    found = LINK.findall(prose(text_of(path)))
    return [link for link in found if not ABSOLUTE.match(link)]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_resolve(path: Path) -> None:
    broken = []
    for link in links(path):
        file, _, fragment = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        anchors = {anchor(one) for one in headings(target)} if target.suffix == ".md" else set()
        if not target.exists() or (fragment and fragment not in anchors):
            broken.append(link)
    assert not broken


def test_every_page_is_linked_from_an_index() -> None:
    linked = {
        (path.parent / link.partition("#")[0]).resolve() for path in PAGES for link in links(path)
    }
    assert not [name_of(path) for path in PAGES if path.name != "README.md" and path not in linked]
