"""One Airflow deployment as the collector sees it: failed tries, their logs, and Airflow's own health.

The one door to Airflow. `session` speaks `airflow_client` (log in, time-outs), `words` says what went wrong, `rows`
turns JSON into our nouns, `v2` asks the questions of Airflow 3.2 and newer. Other versions come beside `v2` with the
same verbs.
"""

from __future__ import annotations

from collector.airflow.session import Access
from collector.airflow.v2 import Airflow

__all__ = ["Access", "Airflow"]
