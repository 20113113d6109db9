"""The broker: a folder or a Redis, reached through Celery; how ticks get into it, and one sentence for whatever is wrong.

Owns the connection, the two lanes and their bound. What waits in a broker is never more than ticks that expire, so nothing
is acknowledged late and nothing is given out twice; a broker may be wiped, full or away, and costs its turn. Holds no task.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from celery import Celery, Task
from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError, OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from collector.ticks import Lane, Tick, bound
from triage.errors import SettingsError, SourceError, TriageError
from triage.settings import Settings
from triage.settings.values import split

# What a broker that is away, full or wiped raises; anything else is a bug of ours.
FAILURES = (OperationalError, KombuError, OSError, redis.RedisError)
_CONNECT, _ANSWER = 5, 30  # seconds; an answer may be that of BRPOP, which waits for ten at most
_log = logging.getLogger(__name__)


class _Said(Task):  # type: ignore[misc]
    """A task that ends with a sentence where the store, or what else an operator can mend, is away: the next tick finds
    what it left undone.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except TriageError as exc:
            _log.error("%s ended early: %s", self.name, exc)


def celery(settings: Settings) -> Celery:
    """Build the Celery app for these settings, without tasks; connects to nothing.

    Ticks are acknowledged before they run and kept by nobody: what a killed worker had is asked for again by the next
    tick. Kept back for late acknowledgement they would come again an hour later, twice where a pass takes long, and
    `unacked` in Redis would grow with every kill.
    """
    app = Celery("airtriage", broker_url=_url(settings), set_as_current=False, task_cls=_Said)
    app.conf.update(
        broker_transport_options=_transport(settings),
        broker_use_ssl=_tls(settings),
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # a Redis that is full refuses, and the worker stays
        worker_enable_prefetch_count_reduction=False,
        task_queues=[_queue(lane) for lane in Lane],
        task_default_queue=Lane.LIVE.value,
        task_create_missing_queues=False,
        task_acks_late=False,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        timezone="UTC",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
    )
    return app


def _queue(lane: Lane) -> Any:
    return Queue(lane.value, Exchange(lane.value), routing_key=lane.value)  # type: ignore[no-untyped-call]


class Broker:
    """The way into the broker of the settings for one process; safe in several threads. Connects at first use."""

    def __init__(self, settings: Settings, app: Celery | None = None) -> None:
        self._settings = settings
        self._app = app or celery(settings)
        self._bound = bound(settings)
        self._lock = threading.Lock()
        self._said = ""

    def send(self, tick: Tick) -> bool:
        """Hand over a tick, unless as many wait in its lane already as may; False where the broker did not take it.

        So a lane nobody works off holds a fixed number of messages, which expire; of two that send at once one may be
        over it. What goes wrong is logged once until it works again.
        """
        try:
            if self.waiting(tick.lane) < self._bound:
                self._app.send_task(
                    tick.task, tick.args, queue=tick.lane.value, expires=tick.every, retry=False, ignore_result=True
                )
        except FAILURES as exc:
            self._say(str(broken(self._settings, exc)))
            return False
        self._say("")
        return True

    def waiting(self, lane: Lane) -> int:
        """Return how many messages wait in a lane; raises what the broker does."""
        with self._channel() as channel:
            return int(channel.queue_declare(queue=lane.value).message_count)

    def trouble(self) -> TriageError | None:
        """Try the broker once, reading and writing, within seconds, and return what is wrong with it."""
        try:
            prepare(self._settings)
            if not is_embedded(self._settings):
                self._probe()
        except FAILURES as exc:
            return broken(self._settings, exc, _peek(self._settings))
        except SettingsError as exc:
            return exc
        return None

    def _probe(self) -> None:
        with self._app.connection_for_write() as its:
            tls = {"ssl": True, **(its.ssl or {})} if its.ssl else {}
            client = redis.Redis(
                its.hostname, its.port or 6379, int((its.virtual_host or "0").strip("/") or 0), username=its.userid,
                password=its.password, socket_timeout=_CONNECT, socket_connect_timeout=_CONNECT,
                retry=Retry(NoBackoff(), 0), **tls,
            )  # fmt: skip
            try:
                client.llen(Lane.LIVE.value)
                client.set("airtriage.doctor", 1, px=1)  # gone at once: is it full, or a read-only replica?
            finally:
                client.close()

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with self._app.pool.acquire(block=True, timeout=_CONNECT) as connection:
            yield connection.default_channel

    def _say(self, text: str) -> None:
        with self._lock:
            before, self._said = self._said, text
        if text and text != before:
            _log.error(text)
        elif before and not text:
            _log.warning("The broker takes ticks again.")


def prepare(settings: Settings) -> None:
    """Make the folders of the embedded parts; SettingsError names the one that cannot be made, or a file that is not there."""
    if settings.broker_ca_file and not Path(settings.broker_ca_file).is_file():
        raise SettingsError(
            f"broker_ca_file = {settings.broker_ca_file!r} is no file.", "Check the path and its rights."
        )
    folders = [settings.data_dir]
    if is_embedded(settings):
        folders += map(Path, _transport(settings).values())
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SettingsError(
                f"The folder {folder} cannot be made: {exc.strerror}.", "Set data_dir to a folder you may write."
            ) from exc


def bare(settings: Settings) -> str:
    """Return the broker's address without the account in it."""
    parts = split(settings.broker_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else settings.broker_url


# What a Redis, or what stands in its place, says -> what that means, what to do, and whether it is a setting that is
# wrong. The first that is found counts. The words are Redis' own (src/server.c, src/acl.c), redis-py's and OpenSSL's.
_MEANINGS: tuple[tuple[str, str, str, bool], ...] = (
    (r"^NO REDIS|Protocol Error|Invalid response|HTTP/1", "is no Redis: something else answers there", "Correct the host and port in broker.", True),
    (r"^PLAIN REDIS", "is a Redis without TLS", "Write redis:// instead of rediss:// in broker.", True),
    (r"^TLS REDIS", "speaks TLS", "Write rediss:// instead of redis:// in broker.", True),
    (r"OOM command not allowed|maxmemory", "is full", "Raise its maxmemory, or set maxmemory-policy to allkeys-lru: airtriage needs less than a megabyte.", False),
    (r"READONLY|read only replica|Link with MASTER is down", "is a read-only replica", "Set broker to the primary's address.", True),
    (r"MISCONF", "refuses writes because it cannot save its own to disk", "Free its disk, or set stop-writes-on-bgsave-error to no.", False),
    (r"loading the dataset|LOADING", "is not ready yet", "Wait until it is.", False),
    (r"max number of clients", "takes no more connections", "Raise its maxclients.", False),
    (r"NOAUTH|Authentication required|HELLO must be called|called without any password|without any password configured", "and broker_password disagree about whether there is a password", "Set broker_password where Redis has requirepass, and leave it out where it has not.", True),
    (r"WRONGPASS|invalid username-password|invalid password", "refuses the user or the password", "Correct broker_password, or the user in broker.", True),
    (r"NOPERM|no permissions", "does not let this user do all that is needed", "Allow it in Redis' ACL: +@all ~airtriage* ~_kombu*.", True),
    (r"DB index is out of range|invalid DB index", "has no database of that number", "Write a smaller one at the end of broker, mostly /0.", True),
    (r"MOVED \d|cluster mode|CROSSSLOT", "is a Redis Cluster, through which Celery cannot speak", "Set broker to a Redis that is none.", True),
    (r"CERTIFICATE_VERIFY_FAILED.*(?:mismatch|not valid for)", "has a certificate for another name", "Write the name of the certificate into broker.", True),
    (r"CERTIFICATE_VERIFY_FAILED", "has a certificate of an authority that is not known here", "Set broker_ca_file to that authority's certificate.", True),
    (r"WRONG_VERSION_NUMBER|wrong version number|RECORD_LAYER_FAILURE|record layer|UNEXPECTED_EOF|SSL: ", "breaks off as TLS begins", "See whether that port speaks TLS 1.2 or newer; without TLS broker begins with redis://.", True),
    (r"Connection closed by server|Connection reset|closed the connection|while reading from", "closes the connection", "See Redis' own log.", False),
    (r"Name or service not known|Error -2|nodename nor servname|No address associated|Error -5", "cannot be found: its host has no address", "Correct the host in broker.", True),
    (r"Temporary failure in name resolution|Error -3", "cannot be found now: the name service does not answer", "See whether this machine's DNS works.", False),
    (r"refused|Error 111", "does not answer: nothing listens there", "Start it, or correct host and port in broker.", False),
    (r"[Tt]imed? ?out", "does not answer in time", "See whether a firewall is in the way, or correct host and port in broker.", False),
)  # fmt: skip


def broken(settings: Settings, exc: BaseException, seen: str = "") -> TriageError:
    """Say in one sentence what is wrong with the broker: SettingsError where a setting is, else SourceError.

    `seen` is what stands at that port, by a look without any protocol.
    """
    said = " ".join((seen, *_chain(exc)))
    name = f"The broker {bare(settings)}"
    for pattern, what, fix, is_setting in _MEANINGS:
        if re.search(pattern, said):
            return (SettingsError if is_setting else SourceError)(f"{name} {what}.", fix)
    if is_embedded(settings):
        return SourceError(f"{name} cannot be written: {exc}.", "Free the disk, or set broker to another folder.")
    return SourceError(f"{name} does not answer: {said[:200]}.", "Start it, or correct the setting broker.")


def _peek(settings: Settings) -> str:
    """Look at what answers at the broker's port: a name of `_MEANINGS`, or nothing where that is as it should be."""
    parts = split(settings.broker_url)
    try:
        with socket.create_connection((parts.hostname, parts.port or 6379), _CONNECT) as plain:
            plain.settimeout(_CONNECT)
            plain.sendall(b"PING\r\n")
            answer = plain.recv(64)
    except OSError:
        answer = b""
    if not answer and parts.scheme == "redis" and _speaks_tls(parts.hostname or "", parts.port or 6379):
        return "TLS REDIS"  # a Redis with TLS hangs up on whoever has none
    if answer.startswith((b"+PONG", b"-NOAUTH", b"-LOADING", b"-ERR max", b"-DENIED", b"-MASTERDOWN")):
        return "PLAIN REDIS" if parts.scheme == "rediss" else ""
    if answer[:1] in (b"\x15", b"\x16"):  # an alert or a handshake of TLS (RFC 8446, 5.1)
        return "" if parts.scheme == "rediss" else "TLS REDIS"
    return "NO REDIS" if answer else ""


def _speaks_tls(host: str, port: int) -> bool:
    """Shake hands without looking at the certificate; nothing is sent afterwards."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), _CONNECT) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _chain(exc: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        if isinstance(exc, socket.gaierror):
            yield f"Error {exc.errno}"
        if isinstance(exc, TimeoutError):
            yield "timed out"
        yield str(exc)
        exc = exc.__cause__ or exc.__context__


def is_embedded(settings: Settings) -> bool:
    """Say whether the broker is a folder."""
    return settings.broker_url.startswith("filesystem:")


def _url(settings: Settings) -> str:
    if is_embedded(settings):
        return "filesystem://"
    parts, password = split(settings.broker_url), settings.broker_password.get_secret_value()
    if password:
        user, _, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user.rstrip(':')}:{quote(password, safe='')}@{host}")
    return parts.geturl()


def _tls(settings: Settings) -> dict[str, Any] | None:
    if not settings.broker_url.startswith("rediss:"):
        return None
    return {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
        "ssl_ca_certs": settings.broker_ca_file or None,
    }


def _transport(settings: Settings) -> dict[str, Any]:
    if not is_embedded(settings):
        return {
            "ack_emulation": False, "socket_connect_timeout": _CONNECT, "socket_timeout": _ANSWER,
            "socket_keepalive": True, "max_retries": 0,  # of a send: a beat goes on with what else it has to do
        }  # fmt: skip
    folder = Path(settings.broker_url.removeprefix("filesystem://"))
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
    }
