"""The fixtures `elastic` and `elastic8`: a real Elasticsearch 9.4.3 and a real 8.19.8, each started once a session.

Each gives a URL; a test takes a store of its own in it (`fresh_elastic`, or `elastic_server.fresh`). Under pytest-xdist
every test marked `elastic` lands in one group, hence (with `--dist loadgroup`) on one worker: one server of each.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.elastic_server import ElasticServer, fresh, lack

FIXTURES = {"elastic": "9.4.3", "elastic8": "8.19.8"}


@pytest.fixture(scope="session")
def elastic() -> Iterator[str]:
    """The URL of Elasticsearch 9.4.3."""
    yield from _run("elastic")


@pytest.fixture(scope="session")
def elastic8() -> Iterator[str]:
    """The URL of Elasticsearch 8.19.8."""
    yield from _run("elastic8")


@pytest.fixture
def fresh_elastic() -> Iterator[Callable[[str], str]]:
    """Make the URL of a store nobody has used yet, in the server of a URL; its indices go with the test."""
    made = []

    def make(url: str) -> str:
        made.append(fresh(url))
        return made[-1]

    yield make
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url in made:
        parts = urlsplit(url)
        gone = f"{parts.scheme}://{parts.netloc}{parts.path}-*?ignore_unavailable=true"
        opener.open(urllib.request.Request(gone, method="DELETE"), timeout=60).close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whoever asks for a server, so that they can be chosen and share one worker."""
    for item in items:
        asks = any(name in getattr(item, "fixturenames", ()) for name in FIXTURES)
        if not asks and not item.get_closest_marker("elastic"):
            continue
        item.add_marker(pytest.mark.elastic)
        if not item.get_closest_marker("xdist_group"):  # more than one group would be a group of its own
            item.add_marker(pytest.mark.xdist_group("elastic"))
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))  # whoever asks first waits for the server, on a busy machine too


def _run(name: str) -> Iterator[str]:
    why = lack(FIXTURES[name])
    if why:
        pytest.skip(why)
    with ElasticServer(FIXTURES[name]) as server:
        yield server.url
