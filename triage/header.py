"""What Airflow writes before a log, or in its place: where the log was read from, or why there is none to read.

Owns the words of Airflow's log handlers and of its providers' (Amazon, Google, Azure, Elasticsearch, OpenSearch, HDFS,
OSS), from 2.4 to 3.3, taken from their sources; and what a record says beside its event. Knows single lines only, and
judges nothing but a log's absence.
"""

from __future__ import annotations

import re
from typing import Any

from triage.model import Absence, LogLine

GROUP = "::group::Log message source details"
_MARKS = (GROUP, "*** ")
# What a handler gives out in the log's place, as its only line: read errors of S3, OSS, HDFS and Azure Blob Storage,
# CloudWatch without a stream, Elasticsearch's reader that waits for an end, and a try that never ran.
_INSTEAD = re.compile(
    r"Could not read logs from \S|No log stream found in CloudWatch|Log stream stopped - End of log marker not found"
    r"|No logs available for this task|Task was skipped(?:,| —) no logs available|Error fetching the logs\. Try number"
)
_HOST = re.compile(r"[\w.-]+")
# Lines of a header, which has some for each place that was tried; what goes on for longer is a log that looks like one.
_LONGEST = 1000
# The supervisor's words when the server answers a heartbeat with 404, 409 or 410; the state stands in `detail`.
STOPPED = "Server indicated the task shouldn't be running anymore"
_STATE = re.compile(r"'current_state': '(\w{1,40})'")

# In order, the first that is found in the header decides: a storage that does not answer may still hold the log; a worker
# that says it has no such file says more than a storage that has none.
_WHY: tuple[tuple[Absence, re.Pattern[str]], ...] = tuple(
    (absence, re.compile(pattern))
    for absence, pattern in (
        # amazon s3_task_handler.s3_read, alibaba, hdfs; google gcs_task_handler; azure wasb_task_handler; botocore's own
        # words, which cloudwatch_task_handler.stream hands on
        (Absence.STORAGE, r"Could not read logs from \S|Unable to read remote (?:log|blob) |could not list blobs "
                          r"|Could not connect to the endpoint URL|Unable to locate credentials"
                          r"|An error occurred \((?!ResourceNotFoundException)\w+\) when calling the \w+ operation"),
        # file_task_handler._read_from_logs_server of a try without a host, in 3.2 and in 2.10 to 3.1; log_reader, read
        (Absence.NEVER_STARTED, r"Hostname not available for worker|Could not read served logs: Invalid URL 'https?://:"
                                r"|No logs available for this task|Task was skipped(?:,| —) no logs available"
                                r"|Error fetching the logs\. Try number"),
        (Absence.REFUSED, r"!!!! Please make sure that all your Airflow components"
                          r"|Could not read served logs: 403 |Failed to fetch log file from worker\. .{0,20}'403 "),
        (Absence.ROTATED, r"Log file not found on worker |Could not read served logs: (?:404|410) "
                          r"|Failed to fetch log file from worker\. .{0,20}'404 "),
        # 2.4 and older fell back to "Failed to fetch log file from worker"
        (Absence.WORKER, r"Could not read served logs: |Failed to fetch log file from worker\. |Unable to fetch logs from worker pod"),
        (Absence.ROTATED, r"\*\*\* Log .{1,1000} not found in (?:Elasticsearch|Opensearch)|No logs found (?:on|in) \w+(?:;| for) "
                          r"|No log stream found in CloudWatch|\(ResourceNotFoundException\) when calling"
                          r"|\*\*\* (?:Log file does not exist|Failed to load local log file): "),
    )
)  # fmt: skip


class Header:
    """Walks over the first lines of an answer; `is_open` turns False at the first line of the log itself.

    `absence` is why no log stands there, as far as the header says so; it means nothing where a log follows.
    """

    def __init__(self) -> None:
        self.is_open = True
        self._inside = False
        self._left = _LONGEST
        self._texts: list[str] = []

    def feed(self, line: LogLine, number: int) -> None:
        """Take the next line; `number` counts the raw lines up to its end."""
        self._left -= 1
        self.is_open = self._left >= 0 and self._is_header(line, number)
        if self.is_open:
            self._texts.append(line.text[:2000])

    @property
    def absence(self) -> Absence | None:
        return absence("\n".join(self._texts))

    def _is_header(self, line: LogLine, number: int) -> bool:
        text = line.text
        if self._inside:
            self._inside = "::endgroup::" not in text
            return True
        if text.startswith(_MARKS):
            self._inside = text.startswith(GROUP) and "::endgroup::" not in text
            return True
        if line.raised:
            return False
        if _INSTEAD.match(text):
            return True
        return line.level is None and (not text.strip() or (number == 1 and _HOST.fullmatch(text) is not None))


def absence(text: str) -> Absence | None:
    """Say why there is no log, from the words of a header; None where it does not say."""
    return next((why for why, pattern in _WHY if pattern.search(text)), None)


def told(event: str, record: dict[str, Any]) -> str:
    """Return what a record says beside its event and only there, to stand behind it in its text; "" as a rule.

    The sources of a log, which 3.0 to 3.2 put beside the header's first line; and the state that made Airflow stop a try.
    """
    if event.startswith(GROUP) and isinstance(found := record.get("sources"), list):
        return "".join(f"\n{one}" for one in found[:20] if isinstance(one, str))
    if event.startswith(STOPPED):
        detail = str(record.get("detail"))[:2000]
        if state := _STATE.search(detail):
            return f": its state is {state[1]}"
        return ": Task Instance not found" if "'not_found'" in detail else ""
    return ""
