"""`airtriage problem ID --compare`: wish for a comparison with the last good run, and stay until it is answered.

Answers itself where no pass runs in the deployment, under the same lease; a pass that is under way answers in its place.
"""

from __future__ import annotations

import time
from datetime import timedelta

from collector.broker import prepare
from collector.tasks import Collector, now
from triage import asking
from triage.errors import InputError, ProcessError
from triage.records import Comparison, ComparisonStatus
from triage.service import Service
from triage.settings import Settings

# The longest read of a log is six times the deployment's time-out, 3 min by default.
_PATIENCE = timedelta(minutes=5)


def compare(settings: Settings, service: Service, id: str, who: str) -> Comparison:
    """Return the comparison of the problem's newest readable try, asked anew. InputError where it cannot be asked."""
    name = service.problem(id, now()).row.deployments
    if unknown := [one for one in name if one not in settings.deployments]:
        raise InputError(f"{unknown[0]} is not among the deployments of the settings.", "Name it there first.")
    wish = asking.want(service, id, "", who, now())
    prepare(settings)
    collector = Collector(settings)
    deadline = now() + _PATIENCE
    while (found := asking.comparison(service, wish.key.id)) and found.status is ComparisonStatus.WANTED:
        if now() > deadline:
            raise ProcessError(
                f"No collector has answered within {_PATIENCE.total_seconds() / 60:.0f} min.",
                "See what airtriage processes run; the wish stays, and the problem's page shows the answer.",
            )
        if collector.serve(wish.key.deployment).skipped:
            time.sleep(0.5)
    return found or wish
