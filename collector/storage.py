"""Logs read straight from where Airflow keeps them: S3, Google Cloud Storage, Azure, or a folder.

The only file that speaks fsspec, and that only at the first read. Owns which objects make up a log, how much of a big
one is read, and the sentence for whatever a storage or its driver refuses. `Stored` puts it before a deployment's API,
which goes on serving what the storage has not. Writes nothing, lists one folder at a time, never leaves `log_base`.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from triage import log_path, parts, redact
from triage.errors import SourceError
from triage.model import TaskTry, Unread
from triage.watched import Trouble

_DRIVERS = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "abfs": ("adlfs", "azure")}
# Whose exceptions are words from outside and not bugs of ours.
_FOREIGN = {"botocore", "aiobotocore", "aiohttp", "s3fs", "google", "gcsfs", "azure", "adlfs", "fsspec", "asyncio"}
# Airflow's triggerer writes its part beside the task's: TriggererJobRunner's add_triggerer_suffix.
_TRIGGER = re.compile(r"\.trigger(?:\.\d+)?(?:\.log)?\Z")
_AWAY, _LONGEST_AWAY = 60.0, 600.0  # seconds that a storage in trouble is left alone, doubled each time it still is
_PATIENCE = 15.0  # seconds at most for a driver's next bytes: it asks twice, and a pass waits for it
_UNTIL_THEN = "Until then the api-server serves the logs."


@dataclass(frozen=True)
class Place:
    """Where a deployment's logs lie, and how its storage is spoken to. `options` may hold secrets and is never shown."""

    base: str
    template: str = log_path.DEFAULT
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """A log as the storage has it. `tells_end`: it holds a line with which a failed try ends."""

    parts: tuple[parts.Part, ...]
    size: int
    unread: int
    tells_end: bool

    def stream(self) -> Iterator[bytes | Unread]:
        """Yield the log as a deployment's API would."""
        return parts.stream(self.parts)


class Skipped(SourceError):
    """One log cannot be taken from the storage; the storage itself is well."""


class _Changed(Exception):
    """An object is no longer what the listing said."""


class Storage:
    """The logs of one deployment; usable from several threads, connects at the first read.

    Every verb may be repeated. SourceError: the storage cannot be read now; Skipped: one log cannot.
    """

    def __init__(self, deployment: str, place: Place) -> None:
        self.deployment = deployment
        self.base = place.base
        self._place = place
        self._kind = log_path.kind(place.base)
        self._path = log_path.parse(place.template)
        self._lock = threading.Lock()
        self._connected: tuple[Any, str] | None = None

    def read(self, key: TaskTry) -> Found | None:
        """Read a try's log, of a big one the two ends; None where the storage has none, or cannot know of it."""
        try:
            path = self._path.of(key)
        except ValueError as exc:
            raise Skipped(
                f"{self.deployment}: The log of {key.task} was not looked for in the storage: {exc}.",
                "No try of Airflow's own lies there; the api-server was asked for it.",
            ) from exc
        if path is None:
            return None
        for _ in range(2):
            try:
                with self._words():
                    return self._read(path)
            except _Changed:
                continue
        raise Skipped(
            f"{self.deployment}: {self.base}/{path} changed each time it was read.", "The api-server was asked for it."
        )

    def check(self) -> None:
        """List the base; SourceError says why that cannot be done."""
        with self._words():
            self._list("airtriage-doctor")

    def where(self, key: TaskTry) -> str:
        """Name the place of a try's log, for people."""
        return f"{self.base}/{self._path.of(key)}"

    def _read(self, path: str) -> Found | None:
        objects = self._list(path)
        if not objects or not objects[0][1]:
            return None
        found = tuple(self._part(path, name, size) for name, size in objects if size)
        return Found(
            found,
            sum(size for _, size in objects),
            sum(part.unread for part in found),
            any(parts.tells_end(data) for part in found for data in (part.tail, part.head)),
        )

    def _list(self, path: str) -> list[tuple[str, int]]:
        """Return the objects of a log with their sizes, the task's own first, then the trigger's; [] where there is none."""
        fs, root = self._connect()
        folder, _, name = f"{root}/{path}".rpartition("/")
        if self._kind != "file":
            infos = list(self._ask("find", folder, prefix=name, detail=True).values())
            if (
                not infos and self._kind == "abfs" and not self._ask("exists", root.partition("/")[0])
            ):  # the others raise
                raise FileNotFoundError(f"there is no container {root.partition('/')[0]}")
        elif fs.isdir(folder):
            infos = fs.ls(folder, detail=True)
        elif fs.isdir(root):
            infos = []
        else:
            raise FileNotFoundError(f"there is no folder {root}")
        own = f"{folder}/{name}"
        sizes = {str(info["name"]): int(info["size"] or 0) for info in infos if info["type"] == "file"}
        more = sorted(full for full in sizes if full.startswith(own) and _TRIGGER.match(full, len(own)))
        return [(full, sizes[full]) for full in (own, *more)] if own in sizes else []

    def _part(self, path: str, name: str, size: int) -> parts.Part:
        _, root = self._connect()
        url = self.base + name.removeprefix(root)
        if self._kind == "file" and not Path(name).resolve().is_relative_to(Path(root).resolve()):
            raise Skipped(
                f"{self.deployment}: {url} leads out of log_base by a link.",
                "Set log_base to the folder itself; the api-server was asked for it.",
            )

        def read(start: int, end: int) -> bytes:
            try:
                data = bytes(self._ask("cat_file", name, start=start, end=end))
            except PermissionError as exc:
                raise Skipped(
                    f"{self.deployment}: {url} may be listed, but not read: {self._said(exc)}.",
                    "Let the account read what it lists; the api-server was asked for it.",
                ) from exc
            except Exception as exc:
                if dict(self._list(path)).get(name) != size:
                    raise _Changed from exc
                raise
            if len(data) != end - start:
                raise _Changed
            return data

        head = read(0, size if size <= parts.WHOLE else parts.HEAD)
        if parts.is_packed(head):
            raise Skipped(
                f"{self.deployment}: {url} is packed by gzip, and only plain text can be read at its two ends.",
                "The api-server was asked for it; let Airflow upload its logs as they are.",
            )
        if size <= parts.WHOLE:
            return parts.Part(url, head)
        tail = read(size - parts.TAIL, size)
        while not parts.tells_end(tail) and len(tail) < min(parts.LONGEST_TAIL, size - parts.HEAD):
            start = max(size - 4 * len(tail), parts.HEAD)
            tail = read(start, size - len(tail)) + tail
        if dict(self._list(path)).get(name) != size:
            raise _Changed
        return parts.Part.cut(url, head, tail, size - len(head) - len(tail))

    def _ask(self, verb: str, path: str, **more: Any) -> Any:
        """Ask the driver, and wait no longer than a pass can: Azure's own retries of a dead server take minutes."""
        fs, _ = self._connect()
        if not fs.async_impl:
            return getattr(fs, verb)(path, **more)
        from fsspec.asyn import sync

        return sync(fs.loop, getattr(fs, f"_{verb}"), path, timeout=2 * _PATIENCE, **more)

    def _connect(self) -> tuple[Any, str]:
        """Return the filesystem and the base in its words."""
        with self._lock:
            if self._connected is None:
                from fsspec import get_filesystem_class

                kind = get_filesystem_class(self.base.partition("://")[0])
                found = kind._get_kwargs_from_urls(self.base) | _options(self._kind, self._place)
                # Listings are asked for to learn what is there now.
                fs = kind(**found, skip_instance_cache=True, use_listings_cache=False)
                if self._kind == "s3":
                    fs.retries = 2
                self._connected = fs, str(kind._strip_protocol(self.base)).rstrip("/")
            return self._connected

    @contextmanager
    def _words(self) -> Iterator[None]:
        """Put what a storage or its driver refuses into words; bugs pass."""
        try:
            yield
        except (_Changed, SourceError):
            raise
        except ImportError as exc:
            driver, extra = _DRIVERS.get(self._kind, ("fsspec", ""))
            if exc.name and exc.name.partition(".")[0] not in (driver, *_FOREIGN):
                raise
            raise SourceError(
                f"{self.deployment}: log_base {self.base} needs the driver {driver}, which is not installed.",
                f"Install airtriage[{extra}]. {_UNTIL_THEN}",
            ) from exc
        except Exception as exc:
            if (words := self._told(exc)) is None:
                raise
            raise SourceError(words[0], f"{words[1]} {_UNTIL_THEN}") from exc

    def _told(self, exc: Exception) -> tuple[str, str] | None:
        name, module = type(exc).__name__, type(exc).__module__.partition(".")[0]
        said = self._said(exc)
        if isinstance(exc, FileNotFoundError):
            return f"{self.deployment}: The storage {self.base} is not there: {said}.", "Correct log_base."
        if isinstance(exc, PermissionError) or re.search(
            "credential|authenticat|forbidden|unauthori", name + said, re.I
        ):
            return (
                f"{self.deployment}: The storage {self.base} does not let us in: {said}.",
                "Check the account in log_options or in the environment; it must be allowed to list and to read.",
            )
        if isinstance(exc, TypeError) and "unexpected keyword" in said:
            return (
                f"{self.deployment}: log_options holds what its driver does not know: {said}.",
                "Correct log_options.",
            )
        if isinstance(exc, ValueError) or name == "ParamValidationError":
            return (
                f"{self.deployment}: The storage {self.base} cannot be used: {said}.",
                "Correct log_base and log_options.",
            )
        if isinstance(exc, OSError | TimeoutError) or module in _FOREIGN:
            return (
                f"{self.deployment}: The storage {self.base} does not answer as it should: {said}.",
                "Check endpoint_url and region in log_options, and that this machine may reach it.",
            )
        return None

    def _said(self, exc: Exception) -> str:
        silent = f"no answer within {2 * _PATIENCE:.0f} s" if isinstance(exc, TimeoutError) else type(exc).__name__
        text = " ".join(str(exc).split()) or silent
        for value in _texts(self._place.options):
            text = text.replace(value, redact.MASK) if len(value) > 3 else text
        return redact.redact(text)[:200].rstrip(". ")


def _options(kind: str, place: Place) -> dict[str, Any]:
    """Return what the driver is made with: the options of the settings, over patience that suits a pass."""
    options = {name: value for name, value in place.options.items() if not (kind == "s3" and name == "region")}
    if kind == "s3":
        patience = {
            "connect_timeout": 5,
            "read_timeout": min(place.timeout, _PATIENCE),
            "retries": {"total_max_attempts": 1},
        }
        options["config_kwargs"] = patience | dict(options.get("config_kwargs", {}))
        if region := place.options.get("region"):
            options["client_kwargs"] = {"region_name": region} | dict(options.get("client_kwargs", {}))
    return options


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if isinstance(one, Mapping) or re.search(
                "key|secret|token|password|credential|connection_string", name, re.I
            ):
                yield from _texts(one)
    elif isinstance(value, str):
        yield value


class Source(Protocol):
    """What of a deployment stands behind its storage."""

    def read_log(self, key: TaskTry) -> Iterator[bytes | Unread]:
        """Yield the log in chunks; LogGone where the server is sure that there is none."""


S = TypeVar("S", bound=Source)
T = TypeVar("T")


class Stored(Generic[S]):
    """A deployment whose logs come from its storage where that has them; all else, and every other log, is the source's."""

    def __init__(self, source: S, storage: Storage | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = source
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._away: SourceError | None = None
        self._alone_until = self._pause = 0.0
        self._skipped: dict[str, tuple[str, int]] = {}  # by what is done about it: the first one's words, and how many

    def __getattr__(self, name: str) -> Any:
        """Return what is the source's own."""
        return getattr(self.source, name)

    def read_log(self, key: TaskTry) -> Iterator[bytes | Unread]:
        """Yield the log from the storage, else from the source, which may raise.

        A log that does not tell the try's end was perhaps uploaded before it: then the longer of the two answers counts.
        One too long to be read whole is not asked for again.
        """
        found = self._find(key)
        if found is None:
            yield from self.source.read_log(key)
        elif found.tells_end or found.unread:
            yield from found.stream()
        else:
            yield from self._longer(key, found)

    def troubles(self) -> list[Trouble]:
        """Return what kept logs from being read from the storage since last asked; looks again if it was away."""
        if self._storage is not None and self._away is not None and self._clock() >= self._alone_until:
            self._try(self._storage.check)
        with self._lock:
            away, skipped, self._skipped = self._away, self._skipped, {}
        found = [Trouble(away.what, away.fix)] if away else []
        for fix, (what, count) in skipped.items():
            found.append(Trouble(f"{what} So it was with {count - 1} more." if count > 1 else what, fix))
        return found

    def _find(self, key: TaskTry) -> Found | None:
        storage = self._storage
        if storage is None or self._clock() < self._alone_until:
            return None
        return self._try(lambda: storage.read(key))

    def _longer(self, key: TaskTry, found: Found) -> Iterator[bytes | Unread]:
        held: list[bytes | Unread] = []
        size = 0
        served = self.source.read_log(key)
        try:
            for chunk in served:
                held.append(chunk)
                size += len(chunk) if isinstance(chunk, bytes) else chunk.size
                if size > found.size:
                    break
            else:
                held = []
        except SourceError:  # LogGone is one
            held = []
        if not held:
            yield from found.stream()
            return
        yield from held
        yield from served

    def _try(self, ask: Callable[[], T]) -> T | None:
        try:
            answer = ask()
        except Skipped as exc:
            with self._lock:
                what, count = self._skipped.get(exc.fix, (exc.what, 0))
                self._skipped[exc.fix] = what, count + 1
            return None
        except SourceError as exc:
            with self._lock:
                if self._away is None:
                    self._pause = _AWAY
                elif self._clock() >= self._alone_until:  # of several readers at once one counts
                    self._pause = min(2 * self._pause, _LONGEST_AWAY)
                self._away, self._alone_until = exc, self._clock() + self._pause
            return None
        with self._lock:
            self._away = None
        return answer
