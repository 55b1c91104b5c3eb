"""House rules that a program can check."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import asyncconn

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(asyncconn.__file__).parent
ROOT = Path(__file__).parents[2]
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 500


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _name(node: ast.expr) -> str:
    """``a.b.c`` of a chain of attributes."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@cache
def _calls(path: Path) -> list[tuple[int, str]]:
    return [(node.lineno, _name(node.func)) for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_below_knows_who_is_above() -> None:
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def _configuring(path: Path) -> Iterator[str]:
    banned = {"logging.basicConfig", "logging.config.dictConfig", "sys.exit", "os._exit", "input", "breakpoint"}
    suffixes = {".setLevel", ".set_event_loop_policy", ".install_signal_handlers"}
    folder = path.relative_to(PACKAGE).parts[0]
    if folder != "cli":
        banned.add("print")
    if folder in ("cli", "testing"):  # a program of ours; a check, which leaves the levels as they were
        suffixes.remove(".setLevel")
    for line, name in _calls(path):
        if name in banned or name.endswith(tuple(suffixes)):
            yield f"{path.relative_to(PACKAGE)}:{line}: {name}"


def test_a_library_configures_nothing() -> None:
    assert [wrong for path in FILES for wrong in _configuring(path)] == []


def test_one_idea_a_module() -> None:
    texts = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in FILES}

    assert [name for name, text in texts.items() if len(text.splitlines()) > LONGEST] == []
    assert [name for name, text in texts.items() if not ast.get_docstring(ast.parse(text))] == []


def test_only_one_module_knows_how_to_retry() -> None:
    assert [path.name for path in FILES if "tenacity" in _imports(path)] == ["retrying.py"]


def test_there_is_one_road_to_the_network() -> None:
    def those_who(*calls: str) -> set[str]:
        return {
            str(path.relative_to(PACKAGE))
            for path in FILES
            for _, name in _calls(path)
            if name.endswith(calls) and path.relative_to(PACKAGE).parts[0] != "sandbox"
        }

    assert those_who(".ClientSession") == {"http/session.py", "http/sqs.py"}
    assert those_who("session.request", "session.get", "session.post") == {"http/attempts/by_session.py"}
    assert those_who("connector.connect") == {"http/attempts/direct.py"}


def _modules(path: Path) -> set[str]:
    """What it imports, also for types: the module's whole name."""
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found.add(node.module or "")
    return found


def test_the_sandbox_knows_only_errors_the_clock_and_its_own_rules() -> None:
    # An allow-list: what a platform's wire module gets wrong must not be mirrored here.
    allowed = {"asyncconn.errors", "asyncconn.core.clock"}
    wrong = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in (PACKAGE / "sandbox").rglob("*.py")
        for name in _modules(path) - allowed
        if name.partition(".")[0] not in {"aiohttp", *sys.stdlib_module_names}
        and not f"{name}.".startswith("asyncconn.sandbox.")
    }
    ours = {
        name
        for module in allowed
        for name in _modules(PACKAGE.parent / f"{module.replace('.', '/')}.py")
        if name.startswith("asyncconn")
    }

    assert wrong == set()
    assert ours == {"asyncconn._answer", "asyncconn._portable"}


def test_nobody_waits_for_a_cancelled_task_by_swallowing_cancellation() -> None:
    wrong = [
        f"{path.name}:{node.lineno}"
        for path in FILES
        if "sandbox" not in path.parts
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and _name(node.func).endswith("suppress")
        and any("CancelledError" in _name(argument) for argument in node.args)
    ]

    assert wrong == []
