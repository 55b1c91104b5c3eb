"""An Atoti session and a Limits server: connect them, learn why it did not work, and evaluate a limit.

Both servers are the sandbox's. With your own, leave the sandbox out and set ``ATOTI_BASE_URL``, ``ATOTI_LIMITS_URL``,
``ASYNCCONN_ATOTI_LIMITS_USER`` and ``ASYNCCONN_ATOTI_LIMITS_PASSWORD``: ``AtotiLimits.from_env(hub=hub)``.
"""

from __future__ import annotations

import asyncio

from asyncconn import AtotiLimits, Hub
from asyncconn.atoti_limits import ConnectionTimedOut, Limit, SlicingHierarchyMissing, Structure
from asyncconn.sandbox import LimitsWorld, Sandbox

DAY = "2026-01-31"

PRICE = Structure(
    structure_id="price",
    name="Price",
    server_name="atoti",
    cube_name="Cars_Cube",
    measure_name="Price.SUM",
    kpi_type="Greater Than",
    polling_frequency="EOD",
    scope_keys=["CarName"],
    warning_threshold=80.0,
)


def limit(name: str, value: float) -> Limit:
    """The most that the cars of one name may cost together."""
    return Limit(
        structure_id="price",
        limit_id=name.lower(),
        limit_name="Price",
        scope=f"CarName={name}",
        limit_value=value,
        start_date="2026-01-01",
    )


async def main() -> None:
    """Three attempts to connect, two of them in vain; then what one wants a connection for."""
    async with Sandbox(LimitsWorld(), seed=1) as sandbox, Hub() as hub:
        world = sandbox.atoti_limits
        world.limits.utilizations.update(fiat=120.5, lada=95.0, saab=50.0)  # percent: there is no real cube behind it
        limits = AtotiLimits(world.url, limits_url=world.limits.url, auth=("admin", "admin"), hub=hub)

        world.session.slicing = "missing"
        try:
            await limits.wait_connected()
        except SlicingHierarchyMissing as error:
            print("not even asked:", error.checks[0].message)
        world.session.slicing = "ok"

        world.session.wrong_jwt_key = True
        try:
            await limits.wait_connected(timeout=0.6)
        except ConnectionTimedOut as error:
            print("in vain, after", error.polls, "polls. Not excluded:")
            for cause in error.causes:
                print("  -", cause)
        world.session.wrong_jwt_key = False

        done = await limits.wait_connected(timeout=15)
        print("connected:", await limits.connected(), "within a poll or two:", done.polls < 4)

        await limits.structures.save(PRICE)
        await limits.limits.save([limit("Fiat", 20_000), limit("Lada", 10_000), limit("Saab", 90_000)])
        for row in (await limits.evaluate.all(DAY)).rows():
            print(f"{row['Incident Type']:8} {row['Limit ID']:5} {row['Measure Value']:>8,.0f}")
        print("ready:", await limits.ready())


if __name__ == "__main__":
    asyncio.run(main())
