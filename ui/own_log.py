"""What this process itself writes: its log and its crash reports, masked before anything prints them.

Owns the hooks of the process: how a log record is made, and what prints an exception that nobody caught. A filter on the
root's handlers would miss the handlers that Celery and the web server bring along, so records are masked where they are
made. Only entry points call `guard`.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from functools import partial
from types import TracebackType
from typing import Any

from triage.redact import PLAIN, Redactor

_guarding: list[Redactor] = [PLAIN]


def guard(redactor: Redactor) -> None:
    """Mask every log record and every crash report of this process from now on; the last call counts."""
    _guarding[:] = [redactor]
    logging.setLogRecordFactory(partial(_record, redactor))
    sys.excepthook = partial(_crashed, redactor)
    threading.excepthook = partial(_thread_crashed, redactor)


def masked(text: str) -> str:
    """Mask a sentence that this process is about to print."""
    return _guarding[0].text(text)


def _record(redactor: Redactor, *args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    try:
        said = record.getMessage()
    except Exception:  # wrong arguments: logging itself reports them, and shows them, when it formats the record
        record.msg, record.args = redactor.text(str(record.msg)), _arguments(redactor, record.args)
        return record
    told = redactor.text(said)
    if told != said:
        # Some formatters take the arguments apart (that of the web server's access log), so they stay where that serves.
        record.args = _arguments(redactor, record.args)
        if record.getMessage() != told:
            record.msg, record.args = told, ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = redactor.text("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    if record.stack_info:
        record.stack_info = redactor.text(record.stack_info)
    return record


def _arguments(redactor: Redactor, args: Any) -> Any:
    if isinstance(args, tuple):
        return tuple(redactor.text(arg) if isinstance(arg, str) else arg for arg in args)
    return args


def _crashed(redactor: Redactor, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redactor.text("".join(traceback.format_exception(kind, error, trace))))


def _thread_crashed(redactor: Redactor, args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    sys.stderr.write(f"In thread {args.thread.name if args.thread else 'unknown'}:\n")
    _crashed(redactor, args.exc_type, args.exc_value, args.exc_traceback)
