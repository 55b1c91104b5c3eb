from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from panoply_sandbox import let_settings_be_read

if TYPE_CHECKING:
    from blockbuster import BlockBuster


@pytest.fixture(scope="session", autouse=True)
def _settings(blocking: BlockBuster) -> None:
    let_settings_be_read(blocking)
