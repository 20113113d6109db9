"""Secrets masked to `***` in whatever leaves: kept lines, evidence, titles, GitLab, alerts, our own log.

Owns the rules and their cheap prefilter. Airflow masks what it knows to be secret; this masks what looks like one.
Idempotent and linear: every pattern is bounded or cannot overlap itself. Ordinary words stay ("token expired").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from triage.model import LogLine, Raised

MASK = "***"

_NAME = (
    r"(?:(?:password|passwd|passphrase|passwrd|pwd|secret|credential|api[_-]?key|apikey|access[_-]?key"
    r"|account[_-]?key|private[_-]?key|signing[_-]?key|encryption[_-]?key|fernet[_-]?key|sharedaccesskey|auth[_-]?token"
    r"|(?<![a-z])token|(?<![a-z])sas(?![a-z])|client[_-]?secret|connection[_-]?string|conn[_-]?str|dsn|session[_-]?id"
    r"|webhook[_-]?url|(?<![a-z])pat)(?:s|_value|_id|[_-]?\d{1,3})?)"
)
# A value that is a word of the language rather than a secret: what a sentence puts after "token:" or "password=".
_WORDS = frozenset(
    [
        "none",
        "null",
        "true",
        "false",
        "empty",
        "missing",
        "required",
        "invalid",
        "expired",
        "unset",
        "undefined",
        "not",
        "is",
        "was",
        "has",
        "expected",
        "unknown",
        "wrong",
        "incorrect",
        "nil",
        "string",
        "str",
        "int",
        "bytes",
        "optional",
        "set",
        "the",
        "a",
        "an",
        "and",
        "or",
        "in",
        "for",
        "of",
        "no",
        "yes",
    ]
)
# "invalid token: unexpected end of input": a sentence goes on after the colon.
_SENTENCE = re.compile(r"(?:token|key|pat|sas|session)s?: $", re.I)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret. `hint` is a lower-case piece that a text must hold for `pattern` to be tried at all."""

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    into: str | Callable[[re.Match[str]], str]
    before: str
    after: str


def _assigned(match: re.Match[str]) -> str:
    value = match["value"]
    if (
        _SENTENCE.search(match["lead"])
        and value.isalpha()
        and value.islower()
        and match.string[match.end() :][:1] == " "
    ):
        return match[0]
    if value.strip("\"'").lower() in _WORDS or value.startswith(MASK) or not value.strip("\"'\\,;)}] "):
        return match[0]
    return f"{match['lead']}{MASK}"


def _card(match: re.Match[str]) -> str:
    digits = [int(char) for char in match[0] if char.isdigit()]
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return MASK if len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else match[0]


def _rule(
    name: str, hints: str, pattern: str, into: str | Callable[[re.Match[str]], str], before: str, after: str
) -> Rule:
    return Rule(name, tuple(hints.split()), re.compile(pattern, re.I | re.S), into, before, after)


RULES: tuple[Rule, ...] = (
    _rule(
        "private key", "-----begin",
        r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----).*?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        r"\1***\2",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
    ),
    _rule(
        "URL password", "://",
        r"(\b[a-z][a-z0-9+.\-]{0,30}://[^\s:/?#@\"'<>]{0,200}:)(?!\*\*\*@)[^\s/\"'<>]{1,300}(?=@[\w\[.%*-])", r"\1***",
        "postgresql://app:hunter2@db:5432/x", "postgresql://app:***@db:5432/x",
    ),
    _rule(
        "URL password with reserved characters", "://",
        r"(\b[a-z][a-z0-9+.\-]{0,30}://[^\s:/?#@\"'<>]{0,200}:)(?!\*\*\*@)[^\s\"'<>@]{1,200}(?=@[\w.-]{1,200}[:/])", r"\1***",
        "mysql://root:a/b#c@db:3306/x", "mysql://root:***@db:3306/x",
    ),
    _rule(
        "address password",
        "@",
        r"(\b[\w.\-]{1,60}:)(?!\*\*\*@)[^\s:@/\"']{1,200}(?=@[\w.\-]{1,200}:\d{2,5}\b)",
        r"\1***",
        "connect app:hunter2@db:5432",
        "connect app:***@db:5432",
    ),
    _rule(
        "URL token", "://", r"(\bhttps?://)(?!\*\*\*@)(?=[^\s/@:]{0,300}\d)[\w.~%\-]{16,300}(?=@)", r"\1***",
        "https://x0ken1234567890abcdef@git.example.com/a", "https://***@git.example.com/a",
    ),
    _rule(
        "authorization header", "authorization cookie x-api-key x-auth-token private-token",
        r"((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-token|private-token)"
        r"([\"']?[ \t]{0,4}[:=][ \t]{0,4}(?:b?[\"'])?)(?!(?:[\w\-]{1,20} {1,4})?\*\*\*)((?:basic|bearer|digest|token|negotiate|apikey|aws4-hmac-sha256)[ ]{1,4})?"
        r"[^\s\"'\r\n,}][^\"'\r\n}]{0,4000}", r"\1\2\3***",
        "Authorization: Bearer abc.def", "Authorization: Bearer ***",
    ),
    _rule(
        "bearer token", "bearer basic", r"\b(bearer|basic)([ ]{1,4})(?!\*\*\*)(?=[\w.~+/\-]{0,400}[\d+/=])[\w.~+/\-]{12,4000}={0,2}",
        r"\1\2***", "sent bearer abcdef1234567890 to it", "sent bearer *** to it",
    ),
    _rule("JWT", "eyj", r"\beyJ[\w\-]{6,4000}\.[\w\-]{2,4000}(?:\.[\w\-]{0,4000}){0,3}", MASK, "got eyJhbGciOi.eyJzdWIiOi.sig", "got ***"),
    _rule(
        "AWS key id", "akia asia agpa aroa", r"(?-i:\b(?:AKIA|ASIA|AGPA|AROA|AIDA|ANPA)[A-Z0-9]{16}\b)", MASK,
        "key AKIAIOSFODNN7EXAMPLE used", "key *** used",
    ),
    _rule("Google key", "aiza ya29 gocspx", r"\b(?:AIza[\w\-]{30,60}|ya29\.[\w\-.]{20,2000}|GOCSPX-[\w\-]{20,60})", MASK,
          "AIzaSyA1234567890abcdefghijklmnopqrstuv", "***"),
    _rule("GitLab token", "gl", r"\bgl(?:pat|ptt|rt|dt|soat|cbt|imt|ft|agent|oas|feat)-[\w\-]{16,100}", MASK, "glpat-abcDEF123456_7890xyz", "***"),
    _rule("GitHub token", "gh github_pat_", r"\b(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255})", MASK,
          "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "***"),
    _rule("Slack token", "xox xapp hooks.slack", r"\b(?:xox[a-z]-[\w\-]{10,200}|xapp-\d-[\w\-]{10,200})|(?<=hooks\.slack\.com/)(?:services|workflows)/(?!\*)[\w/]{10,200}",
          MASK, "xoxb-123456789012-abcdef", "***"),
    _rule(
        "vendor token",
        "sk- k_live k_test npm_ pypi- hf_ dapi dop_v1 sg. shpat_ sq0atp sq0csp key- ntn_ lin_api hvs. dckr_pat glc_ secret_",
        r"\b(?:sk-(?:ant-|proj-)?[\w\-]{20,300}|[sr]k_(?:live|test)_\w{10,200}|npm_\w{30,60}|pypi-[\w\-]{30,300}|hf_\w{30,60}"
        r"|dapi[0-9a-f]{32}(?:-\d)?|dop_v1_[0-9a-f]{60,70}|SG\.[\w\-]{16,40}\.[\w\-]{30,60}|shpat_[0-9a-f]{30,40}"
        r"|sq0(?:atp|csp)-[\w\-]{20,60}|key-[0-9a-f]{32}|ntn_\w{30,60}|lin_api_\w{30,60}|hvs\.[\w\-]{20,300}"
        r"|dckr_pat_[\w\-]{20,60}|glc_[\w+/=]{30,300}|secret_[A-Za-z0-9]{40,50})",
        MASK, "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "***",
    ),
    _rule(
        "query secret", "? & sig=",
        r"([?&](?:[\w\-]{0,40}(?:key|token|secret|password|passwd|pwd|signature|credential|auth)|sig|code|jwt|sas)=)"
        r"(?!\*\*\*)[^\s&\"'<>#]{1,4000}", r"\1***",
        "GET /v1?apikey=s3cr3t&page=2", "GET /v1?apikey=***&page=2",
    ),
    _rule(
        "option", " -",
        r"(?P<lead>(?<!\S)--?(?:[a-z][a-z\-]{0,40}-)?(?:password|passwd|passphrase|pwd|secret|token|api-?key|access-?key|secret-?key)"
        r"(?:[ ]{1,3}|=))(?P<value>\"[^\"\n]{1,400}\"|'[^'\n]{1,400}'|[^\s\"',;\-][^\s\"',;]{0,400})", _assigned,
        "mysql --password hunter2 -h db", "mysql --password *** -h db",
    ),
    _rule("user:password option", "curl", r"(curl\b[^\n]{0,400}?\s-(?:u|-user)[ =]?[\"']?[^\s:\"']{1,100}:)(?!\*\*\*)[^\s\"']{1,200}", r"\1***",
          "curl -u bob:pw1 https://x", "curl -u bob:*** https://x"),
    _rule("short option", "mysql mariadb sshpass mongo", r"(\b(?:mysql|mysqldump|mariadb|sshpass|mongo|mongosh)\b[^\n]{0,200}?\s-p ?)(?!\*\*\*)[^\s\-][^\s]{2,100}", r"\1***",
          "mysql -u root -phunter2 db", "mysql -u root -p*** db"),
    _rule(
        "assignment", "password passwd passphrase passwrd pwd secret credential _key -key apikey accesskey accountkey privatekey signingkey token sas: sas= sas\" sas' _sas connectionstring connection_ connection- conn_ conn- connstr dsn sessionid session_ session- webhook pat= pat: pat\" pat' _pat pat_",
        rf"(?P<lead>{_NAME}(?:\\?[\"'])?\s{{0,3}}(?:=>|[:=])\s{{0,3}})"
        r"(?P<value>\\\"[^\"\\\n]{1,4000}\\\"|\\'[^'\\\n]{1,4000}\\'|b?\"(?:[^\"\\\n]|\\.){1,4000}\"|b?'(?:[^'\\\n]|\\.){1,4000}'|[^\s\"'&,;)}\]\\]{1,4000})",
        lambda match: _quoted(match), "DB_PASSWORD=hunter2 and {'api_key': 'abc'}", "DB_PASSWORD=*** and {'api_key': '***'}",
    ),
    _rule("key material", "==", r"(?<![\w+/=])(?=[\w+/]*[A-Z])(?=[\w+/]*[a-z])(?=[\w+/]*\d)[A-Za-z0-9+/]{86}==(?![\w=])", MASK,
          "AccountKey " + "Ab1/" * 21 + "Ab==", "AccountKey ***"),
)  # fmt: skip
CARD = _rule(
    "card number", "", r"(?<![\w.\-])(?:[3-6]\d{3}[ \-]?\d{4}[ \-]?\d{4}[ \-]?\d{1,7})(?![\w\-]|\.\d)", _card,
    "paid with 4111 1111 1111 1111", "paid with ***",
)  # fmt: skip

# A card number has no words around it to go by.
_DIGITS = re.compile(r"\d{4}[ -]?\d{4}")
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(r"(?<![\w+/=])[A-Za-z0-9+/]{64}={0,2}(?![\w+/=])")


def _quoted(match: re.Match[str]) -> str:
    """Mask an assigned value within its quotes, so that JSON and dicts stay readable."""
    value = match["value"]
    quoted = re.fullmatch(r"(b?\\?[\"'])(.*?)(\\?[\"'])", value, re.S)
    if quoted is None:
        return _assigned(match)
    if quoted[2].startswith(MASK) or quoted[2].strip().lower() in _WORDS or not quoted[2].strip():
        return match[0]
    return f"{match['lead']}{quoted[1]}{MASK}{quoted[3]}"


def redact(text: str, extra: Sequence[str] = ()) -> str:
    """Mask every secret in `text`; `extra` are values known to be secret, masked wherever they stand."""
    for value in extra:
        if value and value != MASK and value in text:
            text = text.replace(value, MASK)
    return _masked(text, RULES)


def _masked(text: str, rules: Sequence[Rule]) -> str:
    low = text.lower()
    for rule in rules:
        for hint in rule.hints:
            if hint in low:
                text = rule.pattern.sub(rule.into, text)
                break
    if _DIGITS.search(text):
        text = CARD.pattern.sub(CARD.into, text)
    return text


def line(line: LogLine) -> LogLine:
    """Mask the secrets of one line: its text, the values and notes of its exceptions."""
    return _line(line, RULES)


def _line(line: LogLine, rules: Sequence[Rule]) -> LogLine:
    text = _masked(line.text, rules)
    raised = tuple(_raised(one, rules) for one in line.raised) if line.raised else line.raised
    return line if text is line.text and raised == line.raised else replace(line, text=text, raised=raised)


def lines(lines: Iterable[LogLine]) -> Iterator[LogLine]:
    """Mask the secrets of consecutive lines, a private key that is written over several of them included.

    The lines of one log are taken together: most logs hold the hints of few rules, and only those are tried.
    """
    several = list(lines)
    low = "\n".join([one.text for one in several if not one.raised]).lower()
    plain = [rule for rule in RULES if any(hint in low for hint in rule.hints)]
    inside = False
    for one in several:
        text = one.text
        if inside:
            end = _END.search(text)
            if end is not None:
                inside, text = False, MASK + text[end.start() :]
            elif text.strip() and (" " not in text.strip() or ": " in text):
                text = MASK
            else:
                inside = False
        elif "-----BEGIN" in text and (begin := _BEGIN.search(text)) and not _END.search(text, begin.end()):
            inside = True
        if len(text) >= 64 and _KEY_LINE.search(text) and _mixed(text):
            text = _KEY_LINE.sub(MASK, text)
        yield _line(one if text is one.text else replace(one, text=text), RULES if one.raised else plain)


def _mixed(text: str) -> bool:
    """Whether a long run can be base64 rather than a hex digest."""
    return any(char.isupper() for char in text) and any(char.islower() for char in text)


def trimmed(text: str, limit: int, seen: int) -> str:
    """Cut the middle out of a long text, its ends masked first as far as `seen` characters go."""
    if len(text) <= limit:
        return text
    begin = redact(text[:seen].rpartition(" ")[0] or text[:seen]) if len(text) > seen else redact(text)
    end = redact(text[-seen:].partition(" ")[2] or text[-seen:]) if len(text) > seen else begin
    half = limit // 2
    return f"{begin[:half]} … [{max(0, len(text) - 2 * half)} characters cut] … {end[-half:]}"


def _raised(one: Raised, rules: Sequence[Rule]) -> Raised:
    return replace(
        one,
        value=_masked(one.value, rules),
        notes=tuple(_masked(note, rules) for note in one.notes),
        parts=tuple(tuple(_raised(inner, rules) for inner in part) for part in one.parts),
    )
