"""Values that only their name tells to be secret: `password=x`, JSON, dicts, YAML, options, pairs, tables.

Owns what names a secret, where such a value begins and ends, and the words that stand in its place in sentences. Finds
spans, masks nothing. Every search is bounded or moves on past what it read, so time grows with the length alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

Spans = Iterator[tuple[int, int]]

MASK = "***"
_LONGEST = 4000  # characters of one value
_NEAR = 80  # characters of a name that are looked at

# What a name of a secret ends in: SNAKE_CASE, kebab-case, camelCase, or two words ("fernet key").
_NAME = re.compile(
    r"(?:password|passwd|passphrase|passwrd|passcode|passwort|kennwort|contrase[nñ]a|pwd|client[_-]?secret"
    r"|(?:api|app|application|access|account|private|signing|encryption|decryption|fernet|secret|shared[_-]?access|storage"
    r"|master|admin|service|license|deploy|subscription|auth|client|consumer|hmac|jwt|ssh|aes|rsa|crypto|integration|routing"
    r"|ingest|write|functions)[_ -]?key|secret|credential|creds|(?<![a-z])n?token|(?-i:(?<=[a-z])Token)"
    r"|(?:access|session|auth|refresh|csrf|bearer|bot|api)token|(?<![a-z])sas|connection[_-]?string|conn[_-]?str|dsn"
    r"|session[_-]?id|webhook[_-]?url|(?<![a-z])pat)(?:s|_value|_id|[_-]?\d{1,3})?\Z",
    re.I,
)
# "pass" and "pw" are words and counts as well ("PASS=3"), so a bare number behind them stays.
_PASS = re.compile(r"(?:(?:_|(?<![a-z]))(?:pass|pw)\d{0,2}|(?-i:(?<=[a-z])(?:Pass|Pw)))\Z", re.I)
_HARMLESS = re.compile(
    r"(?:page|next|continuation|continue|sync|start)[_-]?token\Z|(?:un|no|max|num)[_-]?\w{0,20}tokens\Z", re.I
)
_QUERY = re.compile(r"(?:key|signature|credential|auth)s?\Z|\A(?:sig|code|jwt|sas)\Z", re.I)

# What a sentence puts after "token:" or "password=": words of the language rather than secrets.
WORDS = frozenset(
    [
        "none",
        "null",
        "true",
        "false",
        "empty",
        "missing",
        "required",
        "requires",
        "require",
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
        "must",
        "may",
        "cannot",
        "can",
        "given",
        "authentication",
        "provided",
        "default",
        "basic",
        "bearer",
        "redacted",
        "filtered",
        "masked",
        "hidden",
    ]
)
# "${VAR}", "{{ var.value.x }}", "<password>", "%(password)s": the place of a secret, not the secret.
_PLACE = re.compile(
    r"\$\{[\w.:\-]+\}|\$[A-Z_]{3,}|\{\{.{0,200}\}\}|<[\w \-]{1,40}>|%\(\w+\)s|%s|\{\w{0,40}\}|\.{3}|…|[|>][+\-\d]{0,2}"
)
_MASKED = re.compile(r"(?:[\s\"'\\,;.)}\]&]*\*{3})+[\s\"'\\,;.)}\]&]*")
# A name, the quote that closes it, and the sign between it and its value.
_LEAD = re.compile(
    r"(?<![\w\-])(?P<name>[\w\-]++(?: (?:key|token|string|id|code)s?\b)?)(?:\\{0,7}[\"'])?\]?"
    r"(?:\s{0,3}:\s?(?:str|bytes|SecretStr)(?: \| None)?\s?(?==))?(?P<sign>\s{0,3}(?:=>|->|:=|==?|:)\s{0,3})",
    re.I,
)
_QUOTE = re.compile(r"(?:[bruf]{1,2})?(?P<q>\\{0,7}(?:\"\"\"|'''|[\"']))", re.I)
_ENDING = re.compile(r"\\*+[\"']|\n")
_CALL = re.compile(r"(?P<callee>[A-Za-z_][\w.]{0,60})?(?=[\[({])")
_LOOKUP = re.compile(r"(?:^|[._])(?:get\w*|environ|pop|read\w*|var|params|conf\w*|kwargs|getpass)\Z", re.I)
_ATTRIBUTE = re.compile(r"(?:self|cls|conn|connection|config|conf|settings|hook|args|context|params)(?:\.\w+)+\Z")
_BARE = re.compile(r"(?:[^\s\"'&,;)}\]\\]|&(?![\w\-]{1,40}=)){1,4000}")
_TO_SPACE = re.compile(r"[^\s\"'\\]{1,4000}")
_TO_SEMICOLON = re.compile(r"[^;\n\"']{1,4000}")
_TO_AMPERSAND = re.compile(r"[^&\s\"'<>#]{1,4000}")
_INSIDE = re.compile(r"(?:[bruf]{1,2})?\\{0,7}[\"']|[\[{(]|[\]})]|[^\s,:=\[\]{}()\"'\\]+", re.I)
_IS_NAMED = re.compile(r"\s{0,40}[:=]")
_SPOKEN = re.compile(r"(?: key|(?<![_\w])(?:pass|pw)\d{0,2})\Z", re.I)
_SENTENCE = re.compile(r"(?:token|key|pat|sas|session)s?\Z", re.I)


@lru_cache(4096)
def is_name(name: str) -> bool:
    """Say whether a name tells that its value is secret."""
    name = name[-_NEAR:]
    return (_NAME.search(name) or _PASS.search(name)) is not None and _HARMLESS.search(name) is None


@lru_cache(4096)
def is_query_name(name: str) -> bool:
    """Say the same of a field of a query string, where `sig` and any `key` are secret too."""
    return is_name(name) or _QUERY.search(name[-_NEAR:]) is not None


def is_masked(value: str) -> bool:
    """Say whether a text is a mask already, or several."""
    return MASK in value and _MASKED.fullmatch(value) is not None


def is_secret(value: str) -> bool:
    """Say whether a value behind such a name is more than a word of the language, a place holder or a mask."""
    bare = value.strip("\"'\\,;)}] \n")
    return bool(bare) and bare.lower() not in WORDS and not _PLACE.fullmatch(bare) and not is_masked(value)


def assigned(text: str) -> Spans:
    """Find what is assigned to a name of a secret, in quotes of any depth, in brackets, or bare."""
    at = 0
    while lead := _LEAD.search(text, at):
        at = lead.end()
        name = lead["name"]
        escaped = text[lead.start() - 1 : lead.start()] == "\\" and name[:1] in "nrt"
        if is_name(name) or (escaped and is_name(name[1:])):
            spans, at = _value(text, lead)
            for start, stop in spans:
                if is_secret(text[start:stop]):
                    yield start, stop


def _value(text: str, lead: re.Match[str]) -> tuple[list[tuple[int, int]], int]:
    """Return the parts of a value that may be secret, and where to go on."""
    at = lead.end()
    if quote := _QUOTE.match(text, at):
        stop = _closing(text, quote)
        return [(quote.end(), stop)], stop
    if call := _CALL.match(text, at):
        if call["callee"] and _LOOKUP.search(call["callee"]):
            return [], call.end()
        return _nested(text, call.end())
    return _bare(text, lead)


def _closing(text: str, quote: re.Match[str]) -> int:
    """Return where a quoted value ends: at its quote with no more backslashes than the opening one, else with the line."""
    opening = quote["q"]
    kind, depth = opening[-1], opening.count("\\")
    limit = min(len(text), quote.end() + _LONGEST)
    if opening[-3:] in ('"""', "'''"):
        found = text.find(opening[-3:], quote.end(), limit)
        return found if found >= 0 else limit
    for ending in _ENDING.finditer(text, quote.end(), limit):
        slashes = len(ending[0]) - 1
        if ending[0] == "\n":
            return ending.start()
        if ending[0][-1] == kind and (slashes <= depth if depth else slashes % 2 == 0):
            return ending.end() - 1 - min(slashes, depth)
    return limit


def _nested(text: str, at: int) -> tuple[list[tuple[int, int]], int]:
    """Return the values within brackets, to the one that closes the first; keys stay."""
    open_: list[str] = []
    found: list[tuple[int, int]] = []
    limit = min(len(text), at + _LONGEST)
    while (token := _INSIDE.search(text, at, limit)) is not None:
        at = token.end()
        first = token[0]
        if first in "[{(":
            open_.append(first)
        elif first in "]})":
            open_.pop()
        elif first[-1] in "\"'" and (quote := _QUOTE.match(text, token.start())):
            stop = min(_closing(text, quote), limit)
            at = stop + len(quote["q"])
            if not _IS_NAMED.match(text, at):
                found.append((quote.end(), stop))
        elif not _IS_NAMED.match(text, at) and _looks_chosen(first, open_[-1:]):
            found.append(token.span())
        if not open_:
            return found, at
    return found, limit


def _looks_chosen(word: str, within: list[str]) -> bool:
    """Say whether an unquoted word in brackets may be a secret: numbers and plain words of a list are not."""
    if word.replace(".", "").replace("-", "").isdigit():
        return False
    return within == ["{"] or (any(c.isdigit() for c in word) and any(c.isalpha() for c in word))


def _bare(text: str, lead: re.Match[str]) -> tuple[list[tuple[int, int]], int]:
    name, sign, at = lead["name"], lead["sign"], lead.end()
    before = text[max(0, lead.start() - 1) : lead.start()]
    pattern = _BARE
    if "=" in sign and before in ("?", "&"):
        pattern = _TO_AMPERSAND
    elif "=" in sign and before == ";":
        pattern = _TO_SEMICOLON
    elif (sign == "=" and name.isupper() and before in ("", " ", "\n", "'", '"')) or (
        sign.startswith(":") and _begins_line(text, lead.start())
    ):
        pattern = _TO_SPACE
    value = pattern.match(text, at)
    if value is None:
        return [], at
    told = value[0].rstrip(",;") if pattern is _TO_SPACE else value[0]
    if _is_said(name, sign, told, text[value.end() : value.end() + 1]) or _ATTRIBUTE.match(told):
        return [], at
    return [(at, at + len(told))], at + len(told)


def _begins_line(text: str, at: int) -> bool:
    """Say whether only indentation and a dash stand before, as before a key of YAML."""
    before = text[max(0, at - 60) : at]
    return (at <= 60 or "\n" in before) and not before.rpartition("\n")[2].strip(" -\t")


def _is_said(name: str, sign: str, value: str, after: str) -> bool:
    """Say whether this is a sentence or a count: "invalid token: unexpected end", "api key: rejected", "max_tokens=4096"."""
    bare = value.strip("\"'")
    if bare.isdigit() and (name.lower().endswith("tokens") or _PASS.search(name[-_NEAR:])):
        return True
    if not bare.isalpha() or ":" not in sign:
        return False
    spoken = _SPOKEN.search(name) is not None
    return spoken or (
        _SENTENCE.search(name) is not None and sign == ": " and (bare.islower() or bare.istitle()) and after == " "
    )


_BLOCK = re.compile(r"(?<![\w.\-])(?P<name>[\w.\-]{1,80}+)[\"']?:[ \t]*[|>][+\-\d]{0,2}[ \t]*$", re.M)
_NEXT_LINE = re.compile(
    r"^[ \t]*(?:- )?[ \t]*[\"']?name[\"']?:[ \t]*[\"']?(?P<name>[\w.\-]{1,80}+)[\"']?[ \t]*\n[ \t]*[\"']?value[\"']?:[ \t]*[\"']?"
    r"(?P<s>[^\s\"'][^\n\"']{0,4000})",
    re.M | re.I,
)


def blocks(text: str) -> Spans:
    """Find YAML's block values under a secret's name, line by line, and `name:` with `value:` on the next line."""
    for match in _NEXT_LINE.finditer(text):
        if is_name(match["name"]) and is_secret(match["s"]):
            yield match.span("s")
    at = 0
    for block in _BLOCK.finditer(text):
        if block.start() < at or not is_name(block["name"]):
            continue
        least = max(at, block.start() - 1000)
        begin = text.rfind("\n", least, block.start()) + 1 or least
        key = text[begin : block.start()]
        at, indent = block.end() + 1, len(key) - len(key.lstrip(" \t"))
        while at < len(text):
            stop = text.find("\n", at)
            line = text[at : stop if stop >= 0 else len(text)]
            told = line.strip()
            if told and len(line) - len(line.lstrip()) <= indent:
                break
            if told and is_secret(told):
                start = at + line.index(told)
                yield start, start + len(told)
            at += len(line) + 1
