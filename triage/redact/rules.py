"""The rules: one kind of secret each, with a name, the hints that a text must hold, and an example before and after.

Owns the shapes of tokens and the places where secrets stand. A rule finds spans; masking, allowing and the order are the
package's. Shapes of tokens follow their issuers' documentation, as gitleaks and detect-secrets write them down too.
"""

from __future__ import annotations

import base64
import math
import re
import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from triage.redact import fields
from triage.redact.fields import MASK, Spans

Check = Callable[[re.Match[str]], bool]
May = Callable[[bytes], object]


def _run(length: int, others: str = "", *, between: str = "", letters: str = string.ascii_letters) -> May:
    """Tell texts with so many letters and digits in a row, `others` among them, `between` not counted.

    Twenty times as fast as a pattern.
    """
    inside = frozenset(letters + string.digits + others)
    table = bytes(97 if chr(byte) in inside else 32 for byte in range(256))
    run, uncounted = b"a" * length, between.encode()
    return lambda data: run in data.translate(table, uncounted)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret. `find` yields where it stands in a text.

    `hints` are lower-case pieces of which a text must hold one for the rule to be tried, or one of `names` with what
    `behind` matches behind it; for a rule without either, `may` says so of a text in UTF-8. `is_token`: the secret stands
    in one long word. `is_block`: it may go over several lines.
    """

    name: str
    hints: tuple[str, ...]
    find: Callable[[str], Spans]
    before: str
    after: str
    is_token: bool = False
    is_block: bool = False
    may: May | None = None
    names: tuple[str, ...] = ()
    behind: re.Pattern[str] | None = None


def _finder(pattern: re.Pattern[str], check: Check | None) -> Callable[[str], Spans]:
    group = "s" if "s" in pattern.groupindex else 0

    def find(text: str) -> Spans:
        for match in pattern.finditer(text):
            if check is None or check(match):
                yield match.span(group)

    return find


def _rule(
    name: str,
    hints: str,
    pattern: str,
    before: str,
    after: str,
    check: Check | None = None,
    may: May | None = None,
    names: tuple[str, ...] = (),
    behind: str = "",
) -> Rule:
    """A rule from a pattern; the secret is its group `s`, or all of it. In a hint, `·` stands for a space."""
    told = tuple(hint.replace("·", " ") for hint in hints.split())
    return Rule(
        name, told, _finder(re.compile(pattern, re.I | re.S), check), before, after, may=may, names=names,
        behind=re.compile(behind) if names else None,
    )  # fmt: skip


# A token begins where no word goes on, or behind an escape ("\n") or a quoted character ("%3D").
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"


def _token(
    name: str,
    hints: str,
    pattern: str,
    example: str,
    check: Check | None = None,
    may: May | None = None,
    behind: str = "",
    begin: str = _BEGIN,
) -> Rule:
    """A rule for a token that tells itself by its shape, in its own case; `begin` is what stands before."""
    find = _finder(re.compile(begin + "(?P<s>" + pattern + ")"), check)
    told = tuple(hints.split())
    return Rule(
        name, () if behind else told, find, f"with {example} in it", f"with {MASK} in it", is_token=True, may=may,
        names=told if behind else (), behind=re.compile(behind) if behind else None,
    )  # fmt: skip


def _named(match: re.Match[str]) -> bool:
    return fields.is_name(match["name"]) and fields.is_secret(match["s"])


def _hook(match: re.Match[str]) -> bool:
    return fields.is_secret(match["s"].rstrip("/").rpartition("/")[2])


def _header(match: re.Match[str]) -> bool:
    return match["name"].lower() in ("authorization", "cookie", "set-cookie") or _named(match)


def _field(match: re.Match[str]) -> bool:
    return fields.is_query_name(match["name"]) and fields.is_secret(match["s"])


def _unsigned(match: re.Match[str]) -> bool:
    """Only a name that no sentence has, in capitals or of several words, needs no sign."""
    name = match["name"]
    return _named(match) and (name.isupper() or "_" in name) and len(name) > 4


def _cell(match: re.Match[str]) -> bool:
    return _named(match) and not match["s"].replace("_", "").replace("-", "").isalpha()


def _login(match: re.Match[str]) -> bool:
    """Tell base64 of `user:password`, as registries write it under "auth"; another "auth" is a word."""
    try:
        told = base64.b64decode(match["s"] + "=" * (-len(match["s"]) % 4))
    except ValueError:
        return False
    return b":" in told or match["name"].startswith("_")


def _card(match: re.Match[str]) -> bool:
    """Check the last digit after Luhn (ISO/IEC 7812)."""
    digits = [int(char) for char in match[0] if char.isdigit()]
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _random(match: re.Match[str]) -> bool:
    """Tell random characters from paths and names: spread over the alphabet, and changing their kind all the time.

    Of 100,000 random AWS secrets the least spread has 4.15 bits a character and the least changing 12 changes.
    """
    text = match["s"]
    if not (any(c.islower() for c in text) and any(c.isupper() for c in text) and any(c.isdigit() for c in text)):
        return False
    kinds = ["a" if c.islower() else "A" if c.isupper() else "0" if c.isdigit() else "+" for c in text]
    changes = sum(one != other for one, other in pairwise(kinds))
    size = len(text)
    spread = -sum(n / size * math.log2(n / size) for n in Counter(text).values())
    return changes * 40 >= 12 * size and spread >= 4.15


_KEY_MARK = re.compile(r"----(?:-| )(?:BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?(?:-| )----")
_KEY_TEXT = re.compile(r"(?:\\[nr]|[A-Za-z0-9+/= ]){0,20000}")
_KEY_ROW = re.compile(r"[ \t]*(?:[A-Za-z0-9+/=]{1,80}|[A-Z][\w\-]{1,30}: [^\n]{0,200})?[ \t]*")


def _private_keys(text: str) -> Spans:
    """Find what stands between the marks; with one mark missing, the lines beside the other that look like a key's."""
    free = 0
    marks = list(_KEY_MARK.finditer(text))
    for number, mark in enumerate(marks):
        if mark.start() < free:
            continue
        following = marks[number + 1] if number + 1 < len(marks) else None
        if "BEGIN" in mark[0] and following and "END" in following[0] and following.start() - mark.end() <= 20_000:
            yield mark.end(), following.start()
            free = following.end()
        elif "BEGIN" in mark[0]:
            line = _KEY_TEXT.match(text, mark.end())
            stop = line.end() if line else mark.end()
            while text[stop : stop + 1] == "\n" and (row := _row(text, stop + 1)) is not None:
                stop = row
            yield mark.end(), stop
            free = stop
        else:
            start = mark.start()
            while (begin := _row_before(text, start, free)) is not None:
                start = begin
            if start < mark.start():
                yield start, mark.start() - (text[mark.start() - 1] in " \n")
            free = mark.end()


def _row_before(text: str, stop: int, free: int) -> int | None:
    """Return where the row of a key begins that ends, with a new line, a space or an escape, at `stop`; else None."""
    between = next((one for one in ("\n", " ", "\\n") if text.endswith(one, free, stop)), None)
    if between is None:
        return None
    end = stop - len(between)
    found = text.rfind(between, max(free, end - 250), end)
    begin = found + len(between) if found >= 0 else free
    is_row = 0 < end - begin < 250 and _KEY_ROW.fullmatch(text, begin, end) and text[begin:end].strip()
    # A short word before a space is a word; a short line may be the last of a key.
    return begin if is_row and (between == "\n" or end - begin > 16) else None


def _row(text: str, at: int) -> int | None:
    """Return where the line at `at` ends if it looks like one of a key, else None."""
    stop = text.find("\n", at)
    stop = stop if stop >= 0 else len(text)
    return stop if stop > at and _KEY_ROW.fullmatch(text, at, stop) else None


_ROW = r"^(?:[\[\]\w:.,|+ \t\-]{0,60}[\s\]])?(?<![:=] )(?P<s>[A-Za-z0-9+/]{64,76}={0,2})[ \t]*$"

BLOCKS: tuple[Rule, ...] = (
    Rule(
        "private key", ("-----begin", "-----end", "---- begin", "---- end"), _private_keys,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\n***\n-----END RSA PRIVATE KEY-----", is_block=True,
    ),
    Rule(
        "YAML block", (": |", ": >", ":|", ":>", "value:"), fields.blocks,
        "password: |\n  hunter2\nport: 1", "password: |\n  ***\nport: 1", is_block=True,
    ),
)  # fmt: skip

_LONG_OPTION = " ".join(f"--{letter}" for letter in string.ascii_lowercase)
# What the names of secrets end in, as `fields` knows them.
_NAMES = (
    "password", "passwd", "passphrase", "passwrd", "passcode", "passwort", "kennwort", "pwd", "pass", "pw", "key", "secret",
    "credential", "creds", "token", "sas", "dsn", "pat",
)  # fmt: skip
_PLURAL = r"(?:s|_value|_id|[_\-]?\d{1,3})?"
_NAMES_OF_WORDS = (
    "contrase", "connection string", "connection_string", "connection-string", "connectionstring", "conn_str", "conn-str",
    "connstr", "session_id", "session-id", "sessionid", "webhook_url", "webhook-url", "webhookurl",
)  # fmt: skip
_HOST = r"[\w\[.%*-]"
PLACES: tuple[Rule, ...] = (
    _rule(
        "URL password", "@",
        rf"\b[a-z][a-z0-9+.\-]{{0,30}}://[^\s:/?#@\"'<>]{{0,200}}:(?P<s>[^\s/\"'<>]{{1,300}})(?=@{_HOST})",
        "postgresql://app:hunter2@db:5432/x", "postgresql://app:***@db:5432/x",
    ),
    _rule(
        "URL password with reserved characters", "@",
        r"\b[a-z][a-z0-9+.\-]{0,30}://[^\s:/?#@\"'<>]{0,200}:(?P<s>[^\s\"'<>@]{1,200})(?=@[\w.-]{1,200}[:/])",
        "mysql://root:a/b#c@db:3306/x", "mysql://root:***@db:3306/x",
    ),
    _rule(
        "address password", "@", r"\b[\w.\-]{1,60}:(?P<s>[^\s:@/\"']{1,200})(?=@[\w.\-]{1,200}:\d{2,5}\b)",
        "connect app:hunter2@db:5432", "connect app:***@db:5432",
    ),
    _rule(
        "URL token", "@", r"\bhttps?://(?=[^\s/@:]{0,300}\d)(?P<s>[\w.~%\-]{16,300})(?=@)",
        "https://x0ken1234567890abcdef@git.example.com/a", "https://***@git.example.com/a",
    ),
    _rule(
        "authorization header with fields", "authorization",
        r"authorization\\{0,7}[\"']?[ \t]{0,4}[:=][ \t]{0,4}(?:b?\\{0,7}[\"'])?(?:digest|oauth|hawk|snowflake|aws4-hmac-sha256) (?P<s>[^\r\n]{1,4000})",
        'Authorization: Snowflake Token="ver:1-hint:2-abc"', "Authorization: Snowflake ***",
    ),
    _rule(
        "authorization header", "authorization cookie x-api x-auth private-token",
        r"(?:authorization|cookie|x-api-key|x-auth-token|private-token)"
        r"\\{0,7}[\"']?[ \t]{0,4}[:=][ \t]{0,4}(?:b?\\{0,7}[\"'])?(?:(?:basic|bearer|digest|token|negotiate|apikey|ssws|snowflake)[ ]{1,4})?"
        r"(?P<s>[^\s\"'\r\n,}\\][^\"'\r\n}\\]{0,4000})",
        "Authorization: Bearer abc.def", "Authorization: Bearer ***",
    ),
    _rule(
        "bearer token", "bearer basic", r"\b(?:bearer|basic)[ ]{1,4}(?=[\w.~+/\-]{0,400}[\d+/=])(?P<s>[\w.~+/\-]{12,4000}={0,2})",
        "sent bearer abcdef1234567890 to it", "sent bearer *** to it",
    ),
    _rule("Okta token", "ssws", r"\bssws (?P<s>[\w\-=]{40,46})", "sent SSWS 00" + "Ab1-" * 10, "sent SSWS ***"),
    _rule(
        "webhook", "hooks.slack hooks.zapier webhook.office webhook.site /webhook/ /api/webhooks/",
        r"(?:hooks\.slack(?:-gov)?\.com|hooks\.zapier\.com/hooks|webhook\.office\.com|outlook\.office(?:365)?\.com/webhook|webhook\.site"
        r"|/api/webhooks/\d{5,25})/(?P<s>[^\s\"'<>?#\\]{10,500})",
        "https://discord.com/api/webhooks/123456/abcDEF_ghi-J", "https://discord.com/api/webhooks/123456/***", _hook,
    ),
    _rule(
        "Mattermost webhook", "/hooks/", r"(?<=/hooks/)(?=[a-z]{0,25}\d)(?P<s>[a-z0-9]{26})\b",
        "https://chat.example.com/hooks/" + "ab1cd2ef3" * 2 + "gh4ij5kl", "https://chat.example.com/hooks/***",
    ),
    _rule(
        "Telegram token", "/bot :aa", r"(?:(?<=/bot)\d{5,12}:|\b\d{8,10}:(?=AA))(?P<s>[\w\-]{20,60})",
        "https://api.telegram.org/bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5/sendMessage", "https://api.telegram.org/bot123456:***/sendMessage",
    ),
    _rule(
        "Oracle password", "jdbc:oracle: sqlplus expdp impdp sqlldr",
        r"(?:jdbc:oracle:\w{1,10}:|\b(?:sqlplus|expdp|impdp|sqlldr)(?:\s+-\w{1,20}){0,4}\s{1,3}[\"']?)[^\s/:@\"']{1,100}/(?P<s>[^\s\"'<>]{1,200})(?=@)",
        "jdbc:oracle:thin:scott/tiger@db:1521/x", "jdbc:oracle:thin:scott/***@db:1521/x",
    ),
    _rule(
        "query secret", "? &", r"[?&](?P<name>[\w\-.]{1,60}+)=(?P<s>[^\s&\"'<>#]{1,4000})",
        "GET /v1?apikey=s3cr3t&page=2", "GET /v1?apikey=***&page=2", _field,
    ),
    _rule(
        "option", _LONG_OPTION + " ·-p",
        r"(?<!\S)--?(?P<name>[a-z][\w\-]{0,60}+)(?:[ ]{1,3}|=)(?P<s>\"[^\"\n]{1,400}\"|'[^'\n]{1,400}'|[^\s\"'\-][^\s\"']{0,400}(?<![,;)]))",
        "mysql --password hunter2 -h db", "mysql --password *** -h db", _named,
    ),
    _rule(
        "option in a list", _LONG_OPTION, r"[\"']--?(?P<name>[a-z][\w\-]{0,60}+)[\"'],\s{0,3}[\"'](?P<s>[^\"'\n]{1,400})[\"']",
        "['tool', '--api-key', 'k1']", "['tool', '--api-key', '***']", _named,
    ),
    _rule(
        "user:password option", "curl wget ·-a·", r"\b(?:curl|wget|https?)\b[^\n]{0,400}?\s-(?:u|-user|a|-proxy-user|U)[ =]?[\"']?[^\s:/\"']{1,100}:(?P<s>[^\s\"']{1,200})",
        "curl -u bob:pw1 https://x", "curl -u bob:*** https://x",
    ),
    _rule(
        "short option", "·-p", r"\b(?:mysql|mysqldump|mariadb|sshpass|mongo|mongosh)\b[^\n]{0,200}?\s-p ?(?P<s>[^\s\-][^\s]{2,100})",
        "mysql -u root -phunter2 db", "mysql -u root -p*** db",
    ),
    _rule(
        "short option of other tools", "·-p ·-a· ·-w·",
        r"\b(?:(?:docker|podman|helm registry|az|oc|skopeo|crane) login|sqlcmd|bcp|redis-cli|ldap\w{1,10})\b[^\n]{0,200}?\s-(?:p|P|a|w)[ ]{1,2}(?P<s>[^\s\-][^\s]{2,100})",
        "docker login -u bob -p hunter2 r.example.com", "docker login -u bob -p *** r.example.com",
    ),
    Rule(
        "assignment",
        _NAMES_OF_WORDS,
        fields.assigned, "DB_PASSWORD=hunter2 and {'api_key': ['abc']}", "DB_PASSWORD=*** and {'api_key': ['***']}",
        names=_NAMES,
        behind=re.compile(_PLURAL + r"(?: (?:key|token|string|id|code)s?)?(?:\\{0,7}[\"'])?\]?\s{0,3}[:=\-]"),
    ),
    _rule(
        "name and value", "value' value\" value: value= value\\",
        r"(?:name|key)\\{0,7}[\"']?\s{0,3}[:=]\s{0,3}\\{0,7}[\"'](?P<name>[\w.\-]{1,80}+)\\{0,7}[\"'](?:,|\s)\s{0,40}\\{0,7}[\"']?value\\{0,7}[\"']?\s{0,3}[:=]\s{0,3}"
        r"(?P<q>\\{0,7}[\"'])(?P<s>(?:(?!(?P=q))(?:[^\\\n]|\\.)){1,4000})(?P=q)",
        "[{'name': 'DB_PASSWORD', 'value': 'hunter2'}]", "[{'name': 'DB_PASSWORD', 'value': '***'}]", _named,
    ),
    _rule(
        "pair", "(' (\" (b' (b\"",
        r"(?<!Error: )\(b?[\"'](?P<name>[\w\-]{1,80}+)[\"'],\s{0,3}b?(?P<q>[\"'])(?P<s>(?:(?!(?P=q))[^\\\n]|\\.){1,4000})(?P=q)(?=\s{0,3},?\))",
        "[('password', 'hunter2'), ('user', 'x')]", "[('password', '***'), ('user', 'x')]", _header,
    ),
    _rule(
        "element", "</", r"<(?P<name>[\w:.\-]{1,80}+)(?:\s[^<>]{0,200})?>(?P<s>[^<>]{1,4000})(?=</)",
        "<db-password>hunter2</db-password>", "<db-password>***</db-password>", _named,
    ),
    _rule(
        "table", "", r"(?<![\w\-])(?P<name>[\w\-]++(?: key| token)?)[ ]{0,40}[|│┃][ ]{0,40}(?=(?P<s>[^\s|│┃]{1,400})[ ]{0,40}(?:[|│┃]|$))",
        "| password | hunter2 |", "| password | *** |", _cell,
        names=(*_NAMES, *_NAMES_OF_WORDS), behind=_PLURAL + "(?: key| token)?[ ]{0,40}[|│┃]",
    ),
    _rule(
        "login", "auth( auth= auth·=",
        r"\b(?:auth[ ]?=[ ]?|\w{0,40}Auth)\(\s{0,3}(?:username=)?(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'),\s{0,3}(?:password=)?(?P<q>[\"'])(?P<s>(?:(?!(?P=q))[^\n]){1,400})(?P=q)",
        "get(url, auth=('bob', 'hunter2'))", "get(url, auth=('bob', '***'))",
    ),
    _rule(
        "registry login", "", r"(?<![a-z])(?P<name>_?auth)(?:\\{0,7}[\"'])?\s{0,3}[:=]\s{0,3}(?:\\{0,7}[\"'])?(?P<s>[A-Za-z0-9+/]{8,2000}={0,2})",
        '{"auths": {"r.example.com": {"auth": "Ym9iOmh1bnRlcjI="}}}', '{"auths": {"r.example.com": {"auth": "***"}}}', _login,
        names=("auth",), behind=r"(?:\\{0,7}[\"'])?\s{0,3}[:=]",
    ),
    _rule(
        "spoken password", "",
        r"\b(?:password|passphrase|passcode|pwd|passwd)(?: (?:is|was):?|:?)[ \t]{1,40}[\"']?(?!(?:md5|sha|scram|bcrypt|argon|pbkdf|base64|utf|v\d))"
        r"(?=[^\s\"',;]{0,99}\d)(?=[^\s\"',;]{0,99}[a-z])(?P<s>[^\s\"',;]{6,100})",
        "logging in with password hunter2", "logging in with password ***",
        names=("password", "passphrase", "passcode", "pwd", "passwd"), behind=r"(?: (?:is|was))?:?[ \t]",
    ),
    _rule(
        "spoken key", "key·is token·is secret·is key·was token·was secret·was", r"\b(?:key|token|secret) (?:is|was):? [\"']?(?=[^\s\"',;]{0,99}\d)(?P<s>[^\s\"',;]{12,400})",
        "The api key is 0123456789abcdef", "The api key is ***",
    ),
    _rule(
        "name without a sign", "password· secret· token· _key·", r"(?<![\w\-])(?P<name>[\w\-]++)[ \t]{1,40}[\"']?(?=[^\s\"',;]{0,99}\d)(?=[^\s\"',;]{0,99}[a-z])(?P<s>[^\s\"',;:=()]{8,400})(?![\w:=(])",
        "using client_secret hunter22x now", "using client_secret *** now", _unsigned,
    ),
    _rule(
        "SQL password", "identified·by password·' password·\"", r"\b(?:identified by(?: values)?|(?<!for )password) (?P<q>[\"'])(?P<s>[^\"'\n]{1,200})(?P=q)",
        "ALTER USER app WITH PASSWORD 'hunter2'", "ALTER USER app WITH PASSWORD '***'", lambda match: fields.is_secret(match["s"]),
    ),
    _rule(
        "password file", ":543 :6432: :*:", r"\b[a-z][\w.\-]{0,200}:(?:5432|5433|5439|6432|\*):[\w*\-]{1,63}:[\w*\-]{1,63}:(?P<s>[^\s\"']{1,200})",
        "db.example.com:5432:shop:app:hunter2", "db.example.com:5432:shop:app:***",
    ),
)  # fmt: skip

_AB = "Ab1" * 40
_01 = "01ab" * 40
_RANDOM = "wJa1/Kx9Zq" + "bP3+vR7mTu" + "Ld5Hc2Yf8N" + "gW0sQ4iXeB"
_LONG = _run(40, "+/")
TOKENS: tuple[Rule, ...] = (
    _token("JWT", "eyj", r"eyJ[\w\-]{6,4000}\.[\w\-]{2,4000}(?:\.[\w\-]{0,4000}){0,3}", "eyJhbGciOi.eyJzdWIiOi.sig"),
    _token("AWS key id", "akia asia abia acca agpa aroa aida anpa", r"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AROA|AIDA|ANPA)[A-Z0-9]{16}(?![A-Z0-9])", "AKIA" + "AB23" * 4),
    _token("AWS secret", "", r"[A-Za-z0-9+/]{40}(?![\w+/=\-])", _RANDOM, _random, _LONG, begin=r"(?<![\w+/.\-])"),
    _token("storage key", "==", r"(?<![\w+/=\-])[A-Za-z0-9+/]{86}==(?![\w=])", _RANDOM * 2 + _RANDOM[:6] + "==", _random),
    _token("Google key", "aiza ya29. gocspx-", r"(?:AIza[\w\-]{30,60}|ya29\.[\w\-.]{20,2000}|GOCSPX-[\w\-]{20,60})", "AIza" + _AB[:35]),
    _token("Azure client secret", "q~", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.\-]{31,34}", "Ab18Q~" + _AB[:31]),
    _token("GitLab token", "glpat- glptt- glrt- glrtr- gldt- glsoat- glcbt- glimt- glft- glffct- glagent- gloas- glfeat- glwt- gr1348941",
           r"(?:gl(?:pat|ptt|rt|rtr|dt|soat|cbt|imt|ft|ffct|agent|oas|feat|wt)-[\w\-]{16,1024}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?|GR1348941[\w\-]{20,50})", "glpat-" + _AB[:20]),
    _token("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255})", "ghp_" + _AB[:36]),
    _token("Slack token", "xox xapp-", r"(?:xox[a-z](?:\.xox[a-z])?-[\w\-]{10,300}|xapp-\d-[\w\-]{10,300})", "xoxb-1234567890-" + _AB[:20]),
    _token("Databricks token", "dapi", r"dapi[0-9a-f]{32}(?:-\d)?", "dapi" + _01[:32]),
    _token("npm token", "npm_", r"npm_\w{30,60}", "npm_" + _AB[:36]),
    _token("PyPI token", "pypi-ag", r"pypi-Ag[\w\-]{30,1000}", "pypi-Ag" + _AB[:60]),
    _token("Hugging Face token", "hf_ api_org_", r"(?:hf_[A-Za-z]\w{29,60}|api_org_\w{30,60})", "hf_" + _AB[:34]),
    _token("OpenAI or Anthropic key", "sk-", r"sk-[\w\-]{20,300}", "sk-proj-" + _AB[:40]),
    _token("Stripe key", "k_live_ k_test_ k_prod_ whsec_", r"(?:[sr]k_(?:live|test|prod)_\w{10,200}|whsec_[\w+/=]{24,100})", "sk_live_" + _AB[:24]),
    _token("Twilio key", "sk", r"SK[0-9a-f]{32}(?![0-9a-f])", "SK" + _01[:32], behind="[0-9a-f]{32}"),
    _token("SendGrid key", "sg.", r"SG\.[\w\-]{16,40}\.[\w\-]{30,60}", "SG." + _AB[:22] + "." + _AB[:43]),
    _token("Mailgun key", "key-", r"key-[0-9a-f]{32}(?![0-9a-f])", "key-" + _01[:32]),
    _token("Mailchimp key", "-us", r"[0-9a-f]{32}-us\d{1,2}(?!\w)", _01[:32] + "-us12"),
    _token("Brevo key", "xkeysib-", r"xkeysib-[0-9a-f]{64}-\w{16}", "xkeysib-" + _01[:64] + "-" + _AB[:16]),
    _token("Discord token", "", r"[MNO][A-Za-z0-9_\-]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,38}(?![\w\-])", "M" + _AB[:23] + ".Ab1Ab1." + _AB[:27], may=re.compile(rb"\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27}").search),
    _token("Vault token", "hvs. hvb. hvr.", r"hv[sbr]\.[\w\-]{20,300}", "hvs." + _AB[:95]),
    _token("Terraform token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w\-=]{60,70}", _AB[:14] + ".atlasv1." + _AB[:67]),
    _token("DigitalOcean token", "do_v1 dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{60,70}", "dop_v1_" + _01[:64]),
    _token("Shopify token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{30,40}", "shpat_" + _01[:32]),
    _token("Square token", "sq0atp- sq0csp- eaaa", r"(?:sq0(?:atp|csp)-[\w\-]{20,60}|EAAA[\w\-]{56,64}(?!\w))", "sq0atp-" + _AB[:22]),
    _token("Artifactory key", "akcp cmvmd", r"(?:AKCp[A-Za-z0-9]{60,80}|cmVmd[A-Za-z0-9]{59}(?!\w))", "AKCp" + _AB[:69]),
    _token("Grafana token", "glsa_ glc_", r"(?:glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[\w+/=]{30,400})", "glsa_" + _AB[:32] + "_" + _01[:8]),
    _token("New Relic key", "nrak- nrii- nrjs-", r"NR(?:AK|II|JS)-[\w\-]{19,40}", "NRAK-" + "AB1" * 9),
    _token("Dynatrace token", "dt0c01. dt0s", r"dt0(?:c01|s\d\d)\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}", "dt0c01." + _AB[:24] + "." + _AB[:64]),
    _token("Sentry token", "sntryu_ sntrys_", r"(?:sntryu_[0-9a-f]{64}|sntrys_[\w+/=]{40,500})", "sntryu_" + _01[:64]),
    _token("Atlassian token", "atatt3 atbb atctt3", r"(?:ATATT3|ATCTT3|ATBB)[\w\-=]{24,300}", "ATATT3" + _AB[:90]),
    _token("Airtable token", "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", "pat" + _AB[:14] + "." + _01[:64], behind=r"[a-z0-9]{14}\."),
    _token("Notion token", "ntn_ secret_", r"(?:ntn_\w{30,60}|secret_[A-Za-z0-9]{40,50}(?!\w))", "ntn_" + _AB[:46]),
    _token("Linear key", "lin_api_ lin_oauth_", r"lin_(?:api|oauth)_\w{30,70}", "lin_api_" + _AB[:40]),
    _token("Postman key", "pmak-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", "PMAK-" + _01[:24] + "-" + _01[:34]),
    _token("Pulumi token", "pul-", r"pul-[0-9a-f]{40}(?![0-9a-f])", "pul-" + _01[:40]),
    _token("Doppler token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[\w\-]{1,40}\.)?[A-Za-z0-9]{40,48}(?!\w)", "dp.pt." + _AB[:43]),
    _token("PlanetScale secret", "pscale_", r"pscale_(?:pw|tkn|oauth)_[\w=.\-]{32,64}", "pscale_pw_" + _AB[:43]),
    _token("Prefect key", "pnu_ pnb_", r"pn[ub]_[A-Za-z0-9]{36}(?!\w)", "pnu_" + _AB[:36]),
    _token("OpenShift token", "sha256~", r"sha256~[\w\-]{43}(?![\w\-])", "sha256~" + _AB[:43]),
    _token("RubyGems key", "rubygems_", r"rubygems_[0-9a-f]{48}", "rubygems_" + _01[:48]),
    _token("age key", "age-secret-key-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}", "AGE-SECRET-KEY-1" + "QPZ9" * 14 + "QP"),
    _token("Docker token", "dckr_", r"dckr_(?:pat|oat)_[\w\-]{20,60}", "dckr_pat_" + _AB[:27]),
    _token("Perplexity or Groq key", "pplx- gsk_", r"(?:pplx-[A-Za-z0-9]{48}|gsk_[A-Za-z0-9]{50,60})", "pplx-" + _AB[:48]),
    _token("Cloudflare key", "v1.0-", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}", "v1.0-" + _01[:24] + "-" + (_01 * 2)[:146]),
)  # fmt: skip

LOOSE: tuple[Rule, ...] = (
    _rule("key row", "", _ROW.replace("^", "(?m:^)", 1).replace("$", "(?m:$)"), "INFO " + _RANDOM + _RANDOM[:24], "INFO ***", _random, _LONG),
    _rule("card number", "", r"(?<![\w.\-])(?:[3-6]\d{3}[ \-]?\d{4}[ \-]?\d{4}[ \-]?\d{1,7}|3\d{3}[ \-]\d{6}[ \-]\d{5})(?![\w\-]|\.\d)",
          "paid with 4111 1111 1111 1111", "paid with ***", _card, _run(13, between=" -", letters="")),
)  # fmt: skip
EMAIL = _rule("e-mail address", "@", r"(?<![\w.+\-@])[\w.+\-]{1,64}@[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63}){1,8}(?![\w@])(?!:)",
              "mail to bob@example.com failed", "mail to *** failed")  # fmt: skip
RULES: tuple[Rule, ...] = (*BLOCKS, *PLACES, *TOKENS, *LOOSE)
