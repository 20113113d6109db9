"""Secrets masked to `***` in whatever leaves: kept lines, evidence, titles, GitLab, alerts, our own log.

Owns the rules and their cheap prefilter. Airflow masks what it knows to be secret; this masks what looks like one.
Idempotent and linear: every pattern is bounded or cannot overlap itself. Ordinary words stay ("token expired").
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from triage.model import Frame, LogLine, Raised

MASK = "***"

# What a name of a secret ends in: SNAKE_CASE, kebab-case, camelCase, or two words ("fernet key").
_NAME = (
    r"(?:(?:password|passwd|passphrase|passwrd|passcode|passwort|kennwort|pwd|client[_-]?secret"
    r"|(?:api|access|account|private|signing|encryption|fernet|secret|shared[_-]?access)[_ -]?key|secret|credential"
    r"|auth[_-]?token|(?<![a-z])token|(?-i:(?<=[a-z])Token)|(?:access|session|auth|refresh|csrf|bearer|bot|api)token"
    r"|(?<![a-z])sas(?![a-z])|connection[_-]?string|conn[_-]?str|dsn|session[_-]?id|webhook[_-]?url"
    r"|(?<![a-z])pat)(?:s|_value|_id|[_-]?\d{1,3})?)"
)
# "pass" and "pw" are words and counts as well ("PASS=3"), so they have a rule of their own.
_PASS = r"(?:_|(?<![a-z]))(?:pass|pw)\d{0,2}|(?-i:(?<=[a-z])(?:Pass|Pw))"
_QUOTED = r"b?\"(?:[^\"\\\n]|\\.){1,4000}\"|b?'(?:[^'\\\n]|\\.){1,4000}'"
# What may stand between a name and its quoted value: `SecretStr(`, `[`, the prefix of a literal, two of three quotes.
_OPENER = r"(?:(?:[A-Za-z_][\w.]{0,60})?[\[(]{1,2}(?=[bruf]{0,2}[\"']))?(?:[bruf]{1,2}(?=[\"'])|\"\"(?=\")|''(?='))?"
# An "&" ends a value only where another `name=` follows: the next field of a form.
_VALUE = (
    r"(?P<value>\\\"[^\"\\\n]{1,4000}\\\"|\\'[^'\\\n]{1,4000}\\'|"
    + _QUOTED
    + r"|(?:[^\s\"'&,;)}\]\\]|&(?![\w\-]{1,40}=)){1,4000})"
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
        "ok",
        "failed",
        "done",
        "signature",
        "rejected",
        "revoked",
        "malformed",
    ]
)
# "invalid token: unexpected end of input": a sentence goes on after the colon.
_SENTENCE = re.compile(r"(?:token|key|pat|sas|session)s?: $", re.I)
# Names that sentences use too: what follows must look like a secret, not like a word ("api key: rejected").
_SPOKEN = re.compile(r"(?: key|(?<!_)(?:pass|pw))\d{0,2}\s{0,3}:", re.I)
_COUNTED = re.compile(r"(?:tokens|pass)\W", re.I)


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
        and (value.islower() or value.istitle())
        and match.string[match.end() :][:1] == " "
    ):
        return match[0]
    bare = value.strip("\"'")
    if (bare.isdigit() and _COUNTED.search(match["lead"])) or (bare.isalpha() and _SPOKEN.search(match["lead"])):
        return match[0]
    if bare.lower() in _WORDS or value.startswith(MASK) or not value.strip("\"'\\,;)}] "):
        return match[0]
    return f"{match['lead']}{MASK}"


def _login(match: re.Match[str]) -> str:
    """Mask base64 of `user:password`, as registries write it under "auth"; another "auth" is a word."""
    try:
        told = base64.b64decode(match["value"] + "=" * (-len(match["value"]) % 4))
    except ValueError:
        return match[0]
    return f"{match['lead']}{MASK}" if b":" in told or match[0].lower().startswith("_") else match[0]


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
        "AWS secret", "akia asia aws",
        r"(?-i:(?<![\w+/=.\-])(?=[a-z0-9+/]{0,39}[A-Z])(?=[A-Z0-9+/]{0,39}[a-z])(?=[A-Za-z+/]{0,39}\d)[A-Za-z0-9+/]{40}(?![\w+/=]))", MASK,
        "AKIA: " + "wJa1/" * 8, "AKIA: ***",
    ),
    _rule(
        "AWS key id", "akia asia agpa aroa", r"(?-i:\b(?:AKIA|ASIA|AGPA|AROA|AIDA|ANPA)[A-Z0-9]{16}\b)", MASK,
        "key AKIAIOSFODNN7EXAMPLE used", "key *** used",
    ),
    _rule("Google key", "aiza ya29 gocspx", r"\b(?:AIza[\w\-]{30,60}|ya29\.[\w\-.]{20,2000}|GOCSPX-[\w\-]{20,60})", MASK,
          "AIzaSyA1234567890abcdefghijklmnopqrstuv", "***"),
    _rule("GitLab token", "gl", r"\bgl(?:pat|ptt|rt|dt|soat|cbt|imt|ft|agent|oas|feat)-[\w\-]{16,100}", MASK, "glpat-abcDEF123456_7890xyz", "***"),
    _rule("GitHub token", "gh github_pat_", r"\b(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255})", MASK,
          "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "***"),
    _rule("Slack token", "xox xapp", r"\b(?:xox[a-z]-[\w\-]{10,200}|xapp-\d-[\w\-]{10,200})", MASK, "xoxb-123456789012-abcdef", "***"),
    _rule(
        "webhook", "hooks. hooks/ webhook",
        r"((?:hooks\.slack(?:-gov)?\.com|hooks\.zapier\.com/hooks|webhook\.office\.com|outlook\.office(?:365)?\.com/webhook|webhook\.site"
        r"|/api/webhooks/\d{5,25})/)(?!\*\*\*)[^\s\"'<>?#]{10,500}|(?<=/hooks/)(?=[a-z]{0,25}\d)[a-z0-9]{26}\b",
        lambda match: (match[1] or "") + MASK,
        "https://discord.com/api/webhooks/123456/abcDEF_ghi-J", "https://discord.com/api/webhooks/123456/***",
    ),
    _rule("Telegram token", "bot :aa", r"((?<=/bot)\d{5,12}:|\b\d{8,10}:(?=AA))[\w\-]{20,60}", r"\1***",
          "https://api.telegram.org/bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5/sendMessage", "https://api.telegram.org/bot123456:***/sendMessage"),
    _rule("Twilio key", "sk", r"(?-i:\bSK[0-9a-f]{32}\b)", MASK, "SK" + "0123456789abcdef" * 2, "***"),
    _rule(
        "Oracle password", "jdbc:oracle: sqlplus expdp impdp sqlldr",
        r"((?:jdbc:oracle:\w{1,10}:|\b(?:sqlplus|expdp|impdp|sqlldr)(?:\s+-\w{1,20}){0,4}\s{1,3}[\"']?)[^\s/:@\"']{1,100}/)(?!\*\*\*@)[^\s\"'<>]{1,200}(?=@)",
        r"\1***", "jdbc:oracle:thin:scott/tiger@db:1521/x", "jdbc:oracle:thin:scott/***@db:1521/x",
    ),
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
        "assignment", "password passwd passphrase passwrd pwd secret credential key token sas: sas= sas\" sas' _sas connectionstring connection_ connection- conn_ conn- connstr dsn sessionid session_ session- webhook pat= pat: pat\" pat' _pat pat_ passcode passwort kennwort",
        rf"(?P<lead>{_NAME}(?:\\?[\"'])?\s{{0,3}}(?:=>|[:=])\s{{0,3}}{_OPENER}){_VALUE}",
        lambda match: _quoted(match), "DB_PASSWORD=hunter2 and {'api_key': 'abc'}", "DB_PASSWORD=*** and {'api_key': '***'}",
    ),
    _rule(
        "pass", "pass pw", rf"(?P<lead>(?:{_PASS})(?:\\?[\"'])?\s{{0,3}}(?:=>|[:=])\s{{0,3}}){_VALUE}",
        lambda match: _quoted(match), "smtp user=bob pass=hunter2", "smtp user=bob pass=***",
    ),
    _rule(
        "pair", "password passwd pwd pass secret token key credential authorization cookie",
        rf"((?<!Error: )\(b?[\"'][\w\-]{{0,60}}?(?:{_NAME}|{_PASS}|authorization|cookie)[\"'],\s{{0,3}}b?)(?![\"']\*\*\*[\"'])"
        r"(?:(\")(?:[^\"\\\n]|\\.){1,4000}\"|(')(?:[^'\\\n]|\\.){1,4000}')(?=\s{0,3},?\))", r"\1\2\3***\2\3",
        "[('password', 'hunter2'), ('user', 'x')]", "[('password', '***'), ('user', 'x')]",
    ),
    _rule(
        "element", "</", rf"(<[\w:.\-]{{0,60}}?(?:{_NAME}|{_PASS})(?:\s[^<>]{{0,200}})?>)(?!\s{{0,20}}\*\*\*<)[^<>]{{1,4000}}(?=</)",
        r"\1***", "<db-password>hunter2</db-password>", "<db-password>***</db-password>",
    ),
    _rule(
        "login", "auth",
        r"(\b(?:auth[ ]?=[ ]?|\w{0,40}Auth)\(\s{0,3}(?:username=)?(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'),\s{0,3}(?:password=)?)"
        r"(?![\"']\*\*\*[\"'])(?:(\")[^\"\n]{1,400}\"|(')[^'\n]{1,400}')", r"\1\2\3***\2\3",
        "get(url, auth=('bob', 'hunter2'))", "get(url, auth=('bob', '***'))",
    ),
    _rule(
        "registry login", "auth", r"(?P<lead>(?<![a-z])_?auth(?:\\?[\"'])?\s{0,3}[:=]\s{0,3}(?:\\?[\"'])?)(?P<value>[A-Za-z0-9+/]{8,2000}={0,2})",
        _login, '{"auth": "Ym9iOmh1bnRlcjI="}', '{"auth": "***"}',
    ),
    _rule(
        "spoken password", "password passphrase passcode pwd",
        r"(\b(?:password|passphrase|passcode|pwd) (?:is|was):? [\"']?)(?!(?:md5|sha|scram|bcrypt|argon|pbkdf|base64|utf))"
        r"(?=[^\s\"',;]{0,99}\d)(?=[^\s\"',;]{0,99}[a-z])[^\s\"',;]{6,100}", r"\1***",
        "the password is hunter2", "the password is ***",
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
# A line of a private key (64 characters in PEM, 70 in OpenSSH, 76 in MIME): of both cases, which no digest in hex is.
_KEY_LINE = re.compile(
    r"(?<![\w+/=])(?=[a-z0-9+/]{0,75}[A-Z])(?=[A-Z0-9+/]{0,75}[a-z])[A-Za-z0-9+/]{64,76}={0,2}(?![\w+/=])"
)


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
    if len(text) >= 64:
        text = _KEY_LINE.sub(MASK, text)
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
        yield _line(one if text is one.text else replace(one, text=text), RULES if one.raised else plain)


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
        type=_masked(one.type, rules),
        value=_value(one, rules),
        frames=tuple(_frame(frame, rules) for frame in one.frames),
        notes=tuple(_masked(note, rules) for note in one.notes),
        parts=tuple(tuple(_raised(inner, rules) for inner in part) for part in one.parts),
    )


def _value(one: Raised, rules: Sequence[Rule]) -> str:
    """Mask a message beside its type: in a damaged traceback the name of a secret can stand where the type should."""
    said, lead = _masked(f"{one.type}: {one.value}", rules), f"{one.type}: "
    return said.removeprefix(lead) if said.startswith(lead) else _masked(one.value, rules)


def _frame(frame: Frame, rules: Sequence[Rule]) -> Frame:
    """A frame's file may be a URL or a path that names a secret; most are neither and stay untouched."""
    file = _masked(frame.file, rules) if "://" in frame.file or "=" in frame.file else frame.file
    function = _masked(frame.function, rules) if not frame.function.isidentifier() else frame.function
    return frame if file is frame.file and function is frame.function else replace(frame, file=file, function=function)
