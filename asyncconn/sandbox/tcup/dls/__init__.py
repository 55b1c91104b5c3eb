"""The embedded data lake."""

from __future__ import annotations

from asyncconn.sandbox.tcup.dls.service import Dls

__all__ = ["Dls"]
