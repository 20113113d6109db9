"""How redaction grows with the length of hostile text, and what it takes of an ordinary log.

For every rule, texts made to keep it busy (its example and its hints, whole and cut, over and over) are doubled in
length: twice the text may take twice the time. Beside it, redaction of the corpus' logs a second, next to the least that
looking at every character can cost (lower-casing and searching each hint once). Run it as `python -m tests.bench redact`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from tests.bench.bench_signatures import SHARED, own, shared
from tests.bench.table import Figure, interleaved, ratio, say, show
from triage import logs
from triage.model import LogLine
from triage.redact import RULES, Redactor
from triage.redact.rules import EMAIL, Rule

SIZES = (15_000, 30_000, 60_000)
# Twice the length may take this much longer; the rest is noise of the machine.
GOAL = 2.6
# Seconds for the longest text below which growth is not judged: that is noise.
LEAST = 0.02
ROUNDS = 5

PIECES = (
    "a", " ", "\n", "'", '"', "\\", "{", "[", "(", "}", "=", ":", "|", "%", "%25", "-", "/", ".", "@", "&a=", "0", "A", "Aa1+", "***",
    "password", "password:", "password: {", "password={'", "password='", 'password="\\', "{'password': [", "--password ", "a_token=",
    "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n", "MIIEow==\n",
    "password: |\n ", "name: password\n", "'name': 'password', ", "('password', '", "<password>", "<password ", "auth=('a", "://a:", "a://a:b",
    "curl -u ", "curl -u aaaaaaaa", "mysql -p", "Authorization: ", "Authorization: Digest ", "Cookie: a=b; ", "bearer ", "eyJabcdef.", "eyJ",
    "cGFzc3dvcmQ9aHVudGVyMg", "cGFzc3dvcmQ9aHVudGVyMg ", "password%3D", "4111 1111 1111 111", "a@b.", "sqlplus a/", "12345678:AA", "AKIA", "SK",
)  # fmt: skip


def main(rounds: int = ROUNDS, sizes: Sequence[int] = SIZES) -> int:
    """Measure and print both tables; 1 where a text grew by more than the goal."""
    return show(f"Redaction of hostile text of {sizes[0]:,} to {sizes[-1]:,} characters", growth(sizes)) | show(
        f"Redaction of ordinary logs on one core, {rounds} rounds", [speed(rounds)]
    )


def growth(sizes: Sequence[int]) -> list[Figure]:
    """Return the slowest and the fastest growing of all hostile texts, and the worst of each kind."""
    whole = Redactor(emails=True)
    rows = [("all rules", piece, measure(whole.text, piece, sizes)) for piece in PIECES]
    for rule in (*RULES, EMAIL):
        for piece in hostile(rule):
            rows.append((rule.name, piece, measure(lambda text, rule=rule: exhaust(rule, text), piece, sizes)))  # type: ignore[misc]
        rows += [(rule.name, piece, measure(whole.text, piece, sizes)) for piece in (rule.before, rule.before + "\n")]
    say(f"  {len(rows)} hostile texts, each of {len(sizes)} lengths")
    judged = [row for row in rows if row[2][-1] >= LEAST]
    steepest = sorted(judged, key=lambda row: step(row[2]), reverse=True)[:5]
    slowest = sorted(rows, key=lambda row: row[2][-1], reverse=True)[:5]
    return [
        Figure(
            f"{what}: {name}, {piece[:30]!r}",
            f"{times[-1] * 1000:.0f} ms",
            f"{times[-2] * 1000:.0f} ms at half",
            f"{step(times):.2f}",
            f"at most {GOAL}",
            step(times) <= GOAL if times[-1] >= LEAST else None,
        )
        for what, several in (("steepest", steepest), ("slowest", slowest))
        for name, piece, times in several
    ]


def step(times: Sequence[float]) -> float:
    """Return how much longer twice the text took, on average over the doublings."""
    return float((times[-1] / times[0]) ** (1 / (len(times) - 1)))


def measure(run: Callable[[str], object], piece: str, sizes: Sequence[int]) -> list[float]:
    """Return the best of three times for each length."""
    return [min(timed(run, (piece * (size // len(piece) + 1))[:size]) for _ in range(3)) for size in sizes]


def timed(run: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    run(text)
    return time.process_time() - began


def hostile(rule: Rule) -> Iterator[str]:
    """Yield what keeps a rule busy: its example cut at every eighth, and its hints."""
    for part in range(1, 8):
        yield rule.before[: max(1, len(rule.before) * part // 8)]
    yield from (*rule.hints, *rule.names)


def exhaust(rule: Rule, text: str) -> int:
    return sum(1 for _ in rule.find(text))


def speed(rounds: int) -> Figure:
    """Measure redaction alone, on the lines that a pass keeps."""
    texts = shared() if SHARED.exists() else own()
    several = [unmasked(text) for text in texts]
    times = interleaved(
        {
            "floor": lambda: [floor(lines) for lines in several],
            "ours": lambda: redacted(several),
        },
        rounds,
        clock=time.process_time,
    )
    mine, under = (statistics.median(times[name]) for name in ("ours", "floor"))
    return Figure(
        f"{len(several)} logs of {sum(map(len, texts)) / len(texts) / 1000:.1f} kB",
        f"{len(several) / mine:,.0f} logs/s",
        f"{len(several) / under:,.0f} logs/s",
        f"{ratio(times['ours'], times['floor']):.2f}",
    )


def redacted(several: Sequence[Sequence[LogLine]]) -> int:
    """Redact logs by a redactor that remembers none of them; returns how many lines came out otherwise."""
    redactor = Redactor()
    return sum(new is not old for lines in several for old, new in zip(lines, redactor.lines(lines), strict=True))


def unmasked(text: bytes) -> list[LogLine]:
    """Return the lines of a log as they are before redaction."""
    return list(logs.read([text]))


def floor(lines: Sequence[LogLine]) -> int:
    """Look at every character once for each hint, and do nothing about it."""
    low = "\n".join(line.text for line in lines).lower()
    return sum(hint in low for rule in RULES for hint in (*rule.hints, *rule.names))


if __name__ == "__main__":
    sys.exit(main())
