"""The pages keep their word: programs run and print what they show, commands exist, links lead somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner
from warm import STRICT, python

import asyncconn
from asyncconn.cli.app import app
from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ABOUT = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]  # without programs

_FENCE = re.compile(r"(`{3,})(.*)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: ``line`` is its first line of text, counted from 1; ``output`` what it shows to be printed."""

    page: Path
    line: int
    language: str
    text: str
    output: str | None = None

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block. A ``text`` block is the output of the Python block before it."""
    found: list[Block] = []
    fence, language, start, lines = "", "", 0, list[str]()
    beside = False  # nothing but empty lines since the block before
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if fence and line == fence:
            text = "".join(f"{one}\n" for one in lines)
            if language == "text":
                if not (found and beside and found[-1].language == "python"):
                    raise ValueError(f"{page.name}:{start}: a text block shows the output of the program right above")
                before = found.pop()
                found.append(Block(page, before.line, "python", before.text, text))
            else:
                found.append(Block(page, start, language, text))
            fence, beside = "", True
        elif fence:
            lines.append(line)
        elif match := _FENCE.fullmatch(line):
            fence, language, start, lines = match[1], match[2].strip(), number + 1, []
        elif line.strip():
            beside = False
    if fence:
        raise ValueError(f"{page.name}:{start}: the block is not closed")
    return found


def of_all_pages(language: str) -> list[Any]:
    return [pytest.param(b, id=b.name) for page in [*PAGES, *ABOUT] for b in blocks(page) if b.language == language]


# -- programs ----------------------------------------------------------------------------------------------------------


def _run(block: Block, folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a block as a program of its own; a traceback names the page and its line."""
    program = folder / block.page.name
    program.write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCCONN_")}
    home = str(Path(asyncconn.__file__).parents[1])
    return subprocess.run(
        python(str(program), flags=STRICT),
        cwd=folder,
        env={**clean, **settings, "PYTHONPATH": home, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=18,
        check=False,
    )


@pytest.mark.usefixtures("warm_strict")
@pytest.mark.parametrize("block", of_all_pages("python"))
async def test_a_program_runs_and_prints_what_the_page_shows(block: Block, tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        done = await asyncio.to_thread(_run, block, tmp_path, sandbox.env)

    assert (done.returncode, done.stderr) == (0, "")
    if block.output is not None:
        assert done.stdout == block.output


def test_every_page_has_a_program() -> None:
    assert all(any(block.language == "python" for block in blocks(page)) for page in PAGES)


# -- commands ----------------------------------------------------------------------------------------------------------


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each line that begins with a prompt, without its comment."""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            yield shlex.split(line[2:], comments=True)


def check_command(words: list[str]) -> None:
    """Raise ``AssertionError`` for a subcommand, option or target that does not exist."""
    if words[0] == "make":
        targets = _TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
        for word in words[1:]:
            assert "=" in word or word in targets, f"the Makefile has no target {word!r}"
    if words[0] != "asyncconn":
        return
    command: Any = get_command(app)
    path: list[str] = []
    for word in words[1:]:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
            command = getattr(command, "itself", lambda found=command: found)()  # one that is imported when asked for
            path.append(word)
        elif word.startswith("-") and word != "-":
            known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
            assert word.partition("=")[0] in known, f"{' '.join(path)} has no option {word}"
        else:
            assert not hasattr(command, "commands"), f"asyncconn has no command {' '.join([*path, word])!r}"
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("block", of_all_pages("console"))
def test_a_command_exists_with_its_options(block: Block) -> None:
    found = list(commands(block))

    assert found, "a console block shows what to type after a '$ '"
    for words in found:
        check_command(words)


# -- links -------------------------------------------------------------------------------------------------------------


def prose(page: Path) -> list[str]:
    """The lines that are in no fenced block."""
    lines, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            lines.append(line)
    return lines


def anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked by, as GitHub makes it."""
    headings = [line.lstrip("#").strip() for line in prose(page) if re.match(r"#{1,6} ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead to no file or no heading."""
    broken = []
    for target in _LINK.findall("\n".join(prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", [*PAGES, *ABOUT], ids=lambda page: page.name)
def test_a_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


def test_the_readme_links_to_every_page() -> None:
    linked = set(_LINK.findall("\n".join(prose(ROOT / "README.md"))))

    assert {f"docs/{page.name}" for page in PAGES[1:]} <= linked


# -- the checks themselves ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("warm_strict")
def test_a_program_that_fails_or_warns_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# T\n\n```python\n1 / 0\n```\n\n```python\nimport warnings\nwarnings.warn('old')\n```\n")
    folder = tmp_path / "run"
    folder.mkdir()

    for block, line in zip(blocks(page), ("line 4", "line 9"), strict=True):
        done = _run(block, folder, {})

        assert done.returncode == 1
        assert line in done.stderr


def test_output_belongs_to_the_program_right_above(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```text\n1\n```\n")

    assert [(block.line, block.output) for block in blocks(page)] == [(2, "1\n")]

    page.write_text("```python\nprint(1)\n```\n\nSome words.\n\n```text\n1\n```\n")

    with pytest.raises(ValueError, match=r"page\.md:8"):
        blocks(page)


@pytest.mark.parametrize("line", ["asyncconn nothing", "asyncconn panoply read", "asyncconn demo --no", "make nothing"])
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(AssertionError, match="has no"):
        check_command(line.split())


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One, two\n\n[a](#one-two) [b](#two) [c](no.md) [d](page.md#one-two) [e](https://x.example)\n")

    assert broken_links(page) == ["#two", "no.md"]


_FACE = re.compile(r"asyncconn(\.(panoply|datorama|atoti_limits|tcup|errors|sandbox|testing|integrations(\.\w+)?))?")
_IMPORT = re.compile(r"^\s*(?:from (asyncconn[\w.]*) import|import (asyncconn[\w.]*))", re.MULTILINE)


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "examples").rglob("*.py"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_users_are_shown_faces_only(page: Path) -> None:
    imported = {first or second for first, second in _IMPORT.findall(page.read_text(encoding="utf-8"))}

    assert [name for name in imported if not _FACE.fullmatch(name)] == []
