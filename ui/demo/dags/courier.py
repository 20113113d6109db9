"""A trigger that waits for a parcel carrier's batch; the carrier rejects it, so the trigger raises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class BatchRejected(Exception):
    """The carrier refused a batch of parcels."""


class BatchTrigger(BaseTrigger):
    """Poll the carrier until a batch of parcels was accepted."""

    def __init__(self, batch: int) -> None:
        """Keep the number of the batch."""
        super().__init__()
        self.batch = batch

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how the triggerer makes this trigger again."""
        return "courier.BatchTrigger", {"batch": self.batch}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask after a while; here the carrier always says no."""
        await asyncio.sleep(4)
        if self.batch >= 0:
            parcels = random.randint(2, 90)
            raise BatchRejected(f"batch {self.batch} was rejected: {parcels} parcels without a customs code")
        yield TriggerEvent({"batch": self.batch})
