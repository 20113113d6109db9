"""The fixture `gitlab`: a double of GitLab with a project `data/dags` and a bot that may do all that airtriage asks for.

At its end the test fails if either side violated the contract, even where the client swallowed the answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gitlab_double import FakeGitLab
from tests.gitlab_state import DEVELOPER, MAINTAINER


@pytest.fixture
def gitlab() -> Iterator[FakeGitLab]:
    """A double that runs, with the project `data/dags`: `bot` is its Maintainer, `anna` a Developer."""
    with FakeGitLab() as fake:
        fake.user("bot", bot=True)
        fake.project("data/dags", {"bot": MAINTAINER, "anna": DEVELOPER})
        yield fake
