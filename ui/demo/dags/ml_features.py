"""Feature building: killed for its memory, killed by its own code, and a disk that is full."""

from __future__ import annotations

import os
import random
import signal
import sys
from datetime import timedelta

from airflow.sdk import dag, task

SOON = timedelta(seconds=1)


@dag(schedule=None, tags=["ml"], default_args={"owner": "ml-team", "retry_delay": SOON})
def embeddings_build():
    """Build the product embeddings."""

    @task(retries=1)
    def build_embeddings():
        print(f"allocating {random.randint(30, 60)} GB for {random.randint(10**6, 10**7)} products")
        # What the kernel's out-of-memory killer does to a process, without asking for the memory.
        os.kill(os.getpid(), signal.SIGKILL)

    build_embeddings()


@dag(schedule=None, tags=["legacy"], default_args={"owner": "platform-team"})
def inventory_sync():
    """Run the old synchronisation, which ends the process itself."""

    @task
    def sync_inventory():
        print(f"inventory server said 0x{random.randrange(16**4):04x}, giving up")
        sys.exit(3)

    sync_inventory()


@dag(schedule=None, tags=["ml"], default_args={"owner": "ml-team"})
def feature_snapshot():
    """Write a snapshot of the feature table."""

    @task
    def write_snapshot():
        print(f"writing {random.randint(10**8, 10**9)} bytes")
        # Linux's device on which every write ends as on a full disk.
        with open("/dev/full", "w") as snapshot:
            snapshot.write("x" * 4096)

    write_snapshot()


embeddings_build()
inventory_sync()
feature_snapshot()
