"""Serve the FastAPI service so that its exit status tells whether every record that it accepted has arrived.

uvicorn by itself ends by the signal that it was sent, whatever became of the records. Run it as ``python
fastapi_serve.py`` with the variables of ``fastapi_service`` set; ``PORT`` is 8000 by default, 0 takes a free one.
"""

from __future__ import annotations

import os
import signal
import sys

import uvicorn
from fastapi_service import app


def main() -> int:
    """0 when it ended in order and delivered everything, 1 when it did not; the log says what is missing."""
    server = uvicorn.Server(uvicorn.Config(app, port=int(os.environ.get("PORT", "8000")), timeout_graceful_shutdown=5))
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn hears it first, and raises it once more when it has ended
    server.run()
    return 0 if server.started and not getattr(server.lifespan, "shutdown_failed", True) else 1


if __name__ == "__main__":
    sys.exit(main())
