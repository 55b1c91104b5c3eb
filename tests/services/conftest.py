from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("panoply_writer")

from panoply_sandbox import let_settings_be_read  # noqa: E402 - the imports above must come first

if TYPE_CHECKING:
    from blockbuster import BlockBuster


@pytest.fixture(scope="session", autouse=True)
def _settings(blocking: BlockBuster) -> None:
    let_settings_be_read(blocking)
