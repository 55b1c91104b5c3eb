"""What docstrings give as their source stands in docs/contracts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "docs" / "contracts"

_SOURCE = re.compile(r"Contract: (\w+) sections? ((?:[\d.]+|[,\s]|and|to|\([^)]*\))+)")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_HEADING = re.compile(r"#+ (\d+(?:\.\d+)*)\b")
_ITEM = re.compile(r"(\d+)\. ")
_SETTLED = re.compile(r"\* \*\*(\d+\.\d+)\*\* ")


def sources() -> list[tuple[str, str, str]]:
    """Module, contract and section of each pointer."""
    found = []
    for path in sorted((ROOT / "asyncconn").rglob("*.py")):
        for name, sections in _SOURCE.findall(path.read_text(encoding="utf-8")):
            numbers = _NUMBER.findall(re.sub(r"\([^)]*\)", "", sections))
            found += [(str(path.relative_to(ROOT)), name, number) for number in numbers]
    return found


def sections(page: Path) -> set[str]:
    """The numbers of all headings, of the items of a numbered list below one, and of settled readings."""
    found, last = set[str](), ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            last = heading[1]
            found.add(last)
        elif item := _ITEM.match(line):
            found.add(f"{last}.{item[1]}")
        elif settled := _SETTLED.match(line):
            found.add(settled[1])
    return found


def test_every_source_is_a_section_of_a_contract() -> None:
    known = {page.stem: sections(page) for page in CONTRACTS.glob("*.md")}
    pointers = sources()

    assert len(pointers) > 80
    assert [one for one in pointers if one[2] not in known.get(one[1], ())] == []


@pytest.mark.parametrize("name", ["panoply", "datorama", "limits", "tcup"])
def test_a_contract_names_only_samples_that_are_there(name: str) -> None:
    text = (CONTRACTS / f"{name}.md").read_text(encoding="utf-8")

    assert [data for data in re.findall(r"tests/data/[\w.]+", text) if not (ROOT / data).is_file()] == []
