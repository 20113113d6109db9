"""DAGs that fail in every way that makes an object of its own in a log storage: retried, mapped, deferred, big, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context, dag, task
from airflow.triggers.base import BaseTrigger, TriggerEvent

SOON = timedelta(seconds=1)


class Refused(Exception):
    """Whoever is asked says no."""


class AskingTrigger(BaseTrigger):
    """Ask once, and be refused."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "uploading.AskingTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        # Longer than a worker takes to notice that its task paused, or Airflow loses the try.
        await asyncio.sleep(8)
        raise Refused("the carrier refused the batch")
        yield TriggerEvent({})


class Ask(BaseOperator):
    """Hand the asking over to the triggerer."""

    def execute(self, context: Context):
        self.log.info("handing over")
        self.defer(trigger=AskingTrigger(), method_name="done")

    def done(self, context: Context, event: dict):
        return event


@dag(schedule=None, default_args={"retry_delay": SOON})
def uploading():
    @task(retries=1)
    def retried():
        raise KeyError("amount")

    @task
    def mapped(number: int):
        raise ValueError(f"region {number} has no prices")

    @task
    def big():
        # Each line becomes a record of about 120 bytes: more than is read whole.
        print("\n".join(f"row {number} of a long export" for number in range(45_000)))
        raise ConnectionError("the partner's server closed the connection")

    @task
    def killed():
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    @task.bash
    def shell() -> str:
        return "echo 'ls: cannot access /data/in.csv: No such file or directory' >&2; exit 2"

    @task.sensor(poke_interval=2, timeout=1, mode="reschedule")
    def never() -> bool:
        return False

    retried()
    mapped.expand(number=[1, 2, 3])
    big()
    killed()
    shell()
    never()
    Ask(task_id="asked", retries=1)


uploading()
