"""The worker's peak memory and time on a big log that it reads straight from a storage, beside the same from an API.

The worker is the real one with its real store; the api-server it lists from stands in another process and serves a log
of 1 GiB too, so that reading through it is the peer. The storage is a folder, and moto's S3 server. That the error at the
log's end was found, and that the middle was not read, is checked in the store. Run it as `python -m tests.bench storage`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import boto3

from tests.airflow_stub import event
from tests.bench.bench_memory import GOAL, Reading, read_as_worker, serving
from tests.bench.big_logs import log
from tests.bench.table import Figure, say, show
from tests.processes import s3_server

RUN = event(1, "failed", "load")["run_id"]
PATH = f"dag_id=etl/run_id={RUN}/task_id=load/attempt=1.log"
# moto holds an object in memory and copies it for every range, so its log is a smaller one.
KINDS = {
    "folder": ("gigabyte", "a log of 1 GiB in a folder"),
    "s3": ("eighth", "a log of 128 MiB in S3 (moto's server)"),
}


def main(kinds: Sequence[str] = tuple(KINDS), peer: str = "gigabyte") -> int:
    """Measure and print the table; 0 where the goal is reached and every error was found."""
    with tempfile.TemporaryDirectory() as name, serving(peer) as url:
        by_api = read_as_worker(url, Path(name))
        say(f"  through the API: {by_api.peak:.0f} MiB, {by_api.seconds:.1f} s")
        figures = []
        for kind in kinds:
            made, what = KINDS[kind]
            with tempfile.TemporaryDirectory() as folder, laid(kind, made, Path(folder)) as settings:
                ours = read_as_worker(url, Path(folder), **settings)
            say(f"  {what}: {ours.peak:.0f} MiB, {ours.seconds:.1f} s")
            figures.append(_figure(what, ours, by_api))
    return show("Memory: the worker's peak (resident) on one log read from a storage", figures)


def _figure(what: str, ours: Reading, by_api: Reading) -> Figure:
    is_found = ours.is_found and ours.unread > 0.9 * ours.size
    found = "its error found" if is_found else "its ERROR NOT FOUND"
    return Figure(
        f"{what}, {found}, {(ours.size - ours.unread) / 1e6:.1f} of {ours.size / 1e6:.0f} MB read",
        f"{ours.peak:.0f} MiB, {ours.seconds:.1f} s",
        f"{by_api.peak:.0f} MiB, {by_api.seconds:.1f} s through the API",
        f"{ours.peak - by_api.peak:+.0f} MiB",
        f"at most {GOAL} MiB",
        is_found and ours.peak <= GOAL,
    )


@contextmanager
def laid(kind: str, made: str, folder: Path) -> Iterator[dict[str, str]]:
    """Lay the log into a storage of this kind; yields the settings that name it."""
    file = folder / "logs" / PATH
    file.parent.mkdir(parents=True)
    with file.open("wb") as out:
        out.writelines(islice(log(made), 1, None))  # without the header, which is the API's
    if kind == "folder":
        yield {"LOG_BASE": f"file://{folder / 'logs'}"}
        return
    with s3_server(folder) as url:
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )
        client.create_bucket(Bucket="logs")
        client.upload_file(str(file), "logs", PATH)
        options = {"ENDPOINT_URL": url, "KEY": "anyone", "SECRET": "anything", "REGION": "us-east-1"}
        yield {"LOG_BASE": "s3://logs"} | {f"LOG_OPTIONS__{name}": value for name, value in options.items()}


if __name__ == "__main__":
    sys.exit(main())
