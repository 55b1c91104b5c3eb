"""What TCUP refuses in ways of its own, as children of the common errors.

    ApiError
    ├── PartlyRefused (207)            some of a call's items were stored, others not: details has each one's result
    └── NotFound
        └── DocumentRefused (404)      message routing: the document is invalid, or names what is not there

Every ``ApiError`` of TCUP has the effective ``status`` (SOS answers 200 to a refused write and says the truth inside),
the ``http_status``, and in ``details`` what the service says for a program. Contract: tcup sections 1.6, 13.7, 13.23.
"""

from __future__ import annotations

from asyncconn.errors import ApiError, NotFound

__all__ = ["DocumentRefused", "PartlyRefused"]


class PartlyRefused(ApiError):
    """Some items of one call were stored and others were not; ``details`` are the results, one for each."""

    advice = "see details: send only those again that were refused, once they are corrected"


class DocumentRefused(NotFound):
    """404 of message routing, which is its word for an invalid document as much as for something that is not there."""

    advice = "check the document, and that the rule or exchange it names is there"
