"""A FastAPI service that streams what it receives into Panoply: one hub for the application, closed with it.

Run it with ``ASYNCCONN_PANOPLY_API_KEY`` and ``ASYNCCONN_PANOPLY_API_SECRET`` set: ``uvicorn fastapi_service:app``. It
takes the extras ``fastapi`` and ``prometheus``. A shutdown that lost records is a failed one, and says so.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI

from asyncconn import Panoply
from asyncconn.integrations.fastapi import Provide, health_router, hub_lifespan

app = FastAPI(lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub)], on_undelivered="raise"))
app.include_router(health_router())

Writer = Annotated[Panoply, Provide(Panoply)]


@app.post("/events/{table}", status_code=202)
async def record(table: str, event: dict[str, Any], panoply: Writer) -> dict[str, str]:
    """Accepted means: on its way within two seconds, and delivered before the service ends."""
    await panoply.write(table, event)
    return {"status": "accepted"}


@app.get("/stats")
async def stats(panoply: Writer) -> dict[str, int]:
    """How many records were accepted, and how many have arrived."""
    return {"accepted": panoply.stats.accepted, "delivered": panoply.stats.delivered}
