"""Many workers in processes of their own on a real Elasticsearch and a real Redis, while some of them are killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.place import wait_for
from tests.worker_trial import trial


@pytest.mark.redis
def test_nothing_is_lost_or_doubled_on_elasticsearch_either(
    tmp_path: Path, elastic: str, fresh_elastic: Callable[[str], str]
) -> None:
    with trial(tmp_path, seed=8, workers=3, STORE=fresh_elastic(elastic)) as its:
        service = its.where.service()
        its.fail(10)
        wait_for(lambda: its.is_done(service), 90)
        for what in ("the beat is killed", "Redis is wiped", "a worker is killed"):
            its.fail(5)
            its.befall(what, service)
            its.recover(service, 90)
        wait_for(lambda: its.is_done(service), 90)
        service.store.close()
