"""The search language: what a person types, the tree it becomes, and what is refused, where and with which suggestion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import WrongQuery
from triage.query import EVERYTHING, FIELDS, KNOWN, Between, Both, Either, Field, Never, Query, Words, dates, parse
from triage.query.scan import quoted
from triage.query.tree import depth

NOW = datetime(2026, 11, 24, 12, 34, 56, 7, tzinfo=UTC)  # a Tuesday
MICRO = timedelta(microseconds=1)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def w(*tokens: str, prefix: bool = False, field: str = "text") -> Words:
    return Words(tokens, prefix, field)


A, B, C = w("aa"), w("bb"), w("cc")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EVERYTHING),
        (" * ", EVERYTHING),
        ("*:*", EVERYTHING),
        ("aa bb", Both((A, B))),
        ('"aa bb"', w("aa", "bb")),
        ("“aa bb”", w("aa", "bb")),
        ("„aa bb“ cc", Both((w("aa", "bb"), C))),
        ("aa OR bb", Either((A, B))),
        ("aa || bb", Either((A, B))),
        ("aa && bb", Both((A, B))),
        ("-aa", Never(A)),
        ("!aa", Never(A)),
        ("! aa", Never(A)),
        ("NOT aa", Never(A)),
        ("NOT NOT aa", Never(Never(A))),
        ("+aa -bb", Both((A, Never(B)))),
        ("and or not", Both((w("and"), w("or"), w("not")))),
        # Side by side binds least, a written AND before OR.
        ("aa OR bb cc", Both((Either((A, B)), C))),
        ("aa bb OR cc", Both((A, Either((B, C))))),
        ("aa AND bb OR cc", Either((Both((A, B)), C))),
        ("aa OR bb AND cc", Either((A, Both((B, C))))),
        ("aa OR (bb cc)", Either((A, Both((B, C))))),
        ("NOT aa OR bb", Either((Never(A), B))),
        ("NOT aa bb", Both((Never(A), B))),
        ("-(aa OR bb) cc", Both((Never(Either((A, B))), C))),
        ("aa\u3000bb\n\tcc", Both((A, B, C))),
        ("aa(bb)", Both((A, B))),
        # Words.
        (r"aa\:bb", w("aa", "bb")),
        (r"aa\ bb", w("aa", "bb")),
        ("aab*", w("aab", prefix=True)),
        (r"aab\*", w("aab")),
        ("snake_case.py", w("snake", "case", "py")),
        ("snake_ca*", w("snake", "ca", prefix=True)),
        ("snake_*", w("snake")),
        ("日本*", w("日", "本")),
        ("10:00", w("10", "00")),
        ("s3://bucket/key", w("s3", "bucket", "key")),
        ("/opt/airflow/x.py", w("opt", "airflow", "x", "py")),
        ("std::bad_alloc", w("std", "bad", "alloc")),
        ("foo[0]", w("foo", "0")),
        ("<module>", w("module")),
        ("xtry>=2 task=load", Both((w("xtry", "2"), w("task", "load")))),
        ('aa"bb', w("aa", "bb")),
        ("text:aa", A),
        ("title:aa", w("aa", field="title")),
        ('title:"aa bb"', w("aa", "bb", field="title")),
        ("title:(aa OR -bb)", Either((w("aa", field="title"), Never(w("bb", field="title"))))),
        # Names.
        ("dag_id:Orders", Field("dag", "orders")),
        ("dag: orders", Field("dag", "orders")),
        ("dag:Orders*", Field("dag", "orders", prefix=True)),
        ('dag:"x*"', Field("dag", "x*")),
        (r"dag:x\*", Field("dag", "x*")),
        ("dag:o[rd]*", Field("dag", "o[rd]", prefix=True)),
        ("owner:Ärzte", Field("owner", "arzte")),
        ("fingerprint:1:aa", Field("fingerprint", "1:aa")),
        ("run:scheduled__2026-11-24T00:00:00+00:00", Field("run", "scheduled__2026-11-24t00:00:00+00:00")),
        ("dag:(aa OR bb)", Either((Field("dag", "aa"), Field("dag", "bb")))),
        ("dag:(aa task:bb)", Both((Field("dag", "aa"), Field("task", "bb")))),
        ("owner:*", Never(Field("owner", ""))),
        ("owner:[* TO *]", Never(Field("owner", ""))),
        ("_exists_:owner", Never(Field("owner", ""))),
        ('owner:""', Field("owner", "")),
        ("map:*", Between("map", 0, None)),
        ("at:*", EVERYTHING),
        ("title:*", Never(Field("title", ""))),
        ("state:MUTED", Field("state", "muted")),
        ("is:needs", Field("is", "needs")),
        ("gitlab:*", Field("gitlab", "", prefix=True)),
        ("last_seen:*", Field("problem", "", prefix=True)),
        ("gitlab:data/dags#12", Field("gitlab", "data/dags#12")),
        # Numbers.
        ("try:2", Between("try", 2, 2)),
        ("map:-1", Between("map", -1, -1)),
        ("-map:-1", Never(Between("map", -1, -1))),
        ("map:[1 TO *]", Between("map", 1, None)),
        ("try:{1 TO 4}", Between("try", 2, 3)),
        ("try:[1 TO 4}", Between("try", 1, 3)),
        ("try:>1", Between("try", 2, None)),
        ("try:>=2", Between("try", 2, None)),
        ("try:<3", Between("try", None, 2)),
        ("try:<= 3", Between("try", None, 3)),
        ("occurrences:>=100", Between("occurrences", 100, None)),
        # Dates.
        ("at:[now-7d TO now]", Between("at", NOW - timedelta(days=7), NOW)),
        ("at:now-7d", Between("at", NOW - timedelta(days=7), None)),
        ("at:now/d", Between("at", day("2026-11-24"), day("2026-11-25") - MICRO)),
        ("at:now-1d/d", Between("at", day("2026-11-23"), day("2026-11-24") - MICRO)),
        ("at:now/w", Between("at", day("2026-11-23"), day("2026-11-30") - MICRO)),
        ("at:now-1M/M", Between("at", day("2026-10-01"), day("2026-11-01") - MICRO)),
        ("at:2026-11-24", Between("at", day("2026-11-24"), day("2026-11-25") - MICRO)),
        ("at:2026-11", Between("at", day("2026-11-01"), day("2026-12-01") - MICRO)),
        ("at:2026", Between("at", day("2026-01-01"), day("2027-01-01") - MICRO)),
        ("at:2026-11-24T10", Between("at", day("2026-11-24T10:00"), day("2026-11-24T11:00") - MICRO)),
        ("at:2026-11-24T10:05", Between("at", day("2026-11-24T10:05"), day("2026-11-24T10:06") - MICRO)),
        ("at:2026-11-24T10:05:06.5Z", Between("at", day("2026-11-24T10:05:06.5"), day("2026-11-24T10:05:06.6") - MICRO)),
        ("at:2026-11-24T10:00+02:00", Between("at", day("2026-11-24T08:00"), day("2026-11-24T08:01") - MICRO)),
        ('at:"2026-11-24 10:00"', Between("at", day("2026-11-24T10:00"), day("2026-11-24T10:01") - MICRO)),
        ("at:[2026-11-23 TO 2026-11-24]", Between("at", day("2026-11-23"), day("2026-11-25") - MICRO)),
        ("at:{2026-11-23 TO 2026-11-24}", Between("at", day("2026-11-24"), day("2026-11-24") - MICRO)),
        ("at:>2026-11-23", Between("at", day("2026-11-24"), None)),
        ("at:<2026-11-23", Between("at", None, day("2026-11-23") - MICRO)),
        ("at:<=2026-11-23", Between("at", None, day("2026-11-24") - MICRO)),
        ("at:>=now/d", Between("at", day("2026-11-24"), None)),
        ("at:2026-11-30||-1M/d", Between("at", day("2026-10-30"), day("2026-10-31") - MICRO)),
        ("at:9999-12-31", Between("at", day("9999-12-31"), datetime.max.replace(tzinfo=UTC))),
        ("first_seen:>=now-1h", Between("first_seen", NOW - timedelta(hours=1), None)),
    ],
)  # fmt: skip
def test_a_query_becomes_a_tree(text: str, tree: object) -> None:
    assert parse(text, NOW) == tree


@pytest.mark.parametrize(
    ("text", "place", "says", "better"),
    [
        ("dga:x", "dga:", "no field 'dga' to search. Did you mean dag:? Or \"dga:x\"?", "dag:x"),
        ("a1 Host: w7", "Host:", "Did you mean host:?", "a1 host: w7"),
        ("KeyError: 0", "KeyError:", 'Did you mean "KeyError: 0"?', '"KeyError: 0"'),
        ("dag:x (KeyError: 0) OR y1", "KeyError:", 'Did you mean "KeyError: 0"?', 'dag:x ("KeyError: 0") OR y1'),
        ("a.b.Error: x AND dag:y", "a.b.Error:", 'Did you mean "a.b.Error: x"?', '"a.b.Error: x" AND dag:y'),
        ("TypeError: load() has no arg", "TypeError:", "Did you mean", '"TypeError: load() has no arg"'),
        ("load() has no arg", "()", "nothing in the brackets", '"load() has no arg"'),
        ("[2024-01-01 10:00] boom", "[", "A range needs a field before it", '"[2024-01-01 10:00] boom"'),
        ('{"a": 1}', "{", "A range needs a field", r'"{\"a\": 1}"'),
        ("C:\\temp", "C:", "no field 'C'", '"C:\\\\temp"'),
        ("disk - full", "-", "The - stands alone", '"disk - full"'),
        ("run --conf x", "--conf", "no word behind -", '"run --conf x"'),
        ("... dag:x", "...", "no letter or digit", ""),
        ("(aa", "(", "The bracket is not closed. Did you mean (aa)?", "(aa)"),
        ("aa)", ")", "The bracket was never opened", '"aa)"'),
        ('"aa', '"', "The quote is not closed", '"aa"'),
        ("aa AND", "AND", "AND needs a term on both sides", ""),
        ("OR aa", "OR", "OR needs a term on both sides", ""),
        ("aa OR AND bb", "OR", "OR needs a term on both sides", ""),
        ("aa NOT", "NOT", "NOT needs a term behind it", ""),
        ("aa (NOT) bb", "NOT", "NOT needs a term behind it", ""),
        ("aa OR +bb", "+", "cannot be one of several", ""),
        ("try >= 2", "try >= ", "needs a colon right behind it. Did you mean try:>=?", "try:>=2"),
        ("aa at>now-1d", "at>", "Did you mean at:>?", "aa at:>now-1d"),
        ("dag : orders", "dag : ", "Did you mean dag:?", "dag:orders"),
        ("dag:", "dag:", "dag: has no value", ""),
        ("(dag: )", "dag:", "dag: has no value", ""),
        ("dag:-x", "dag:-x", "stands behind the field. Did you mean -dag:x?", "-dag:x"),
        ("at:[now, now]", "[now, now]", "Did you mean [now TO now]?", "at:[now TO now]"),
        ("at:[2026-01-01 to now]", "[2026-01-01 to now]", "Did you mean", "at:[2026-01-01 TO now]"),
        ("at:[now TO now-7d]", "at:[now TO now-7d]", "ends before it begins", "at:[now-7d TO now]"),
        ("try:{5 TO 2]", "try:{5 TO 2]", "ends before it begins", "try:[2 TO 5}"),
        ("at:yesterday", "yesterday", "Did you mean now-1d/d?", "at:now-1d/d"),
        ("at:2026-13", "2026-13", "not a date", ""),
        ("at:now-999999w", "now-999999w", "not a date", ""),
        ("try:two", "try:two", "not a whole number", ""),
        ("try:2*", "try:2*", "not a whole number", ""),
        ("try:99999999999999999999", "try:99999999999999999999", "not a whole number", ""),
        ("title:[a TO b]", "title:[a TO b]", "A range needs one of the fields", ""),
        ("dag:>b", "dag:>b", "A range needs one of the fields", ""),
        ("state:mutd", "state:mutd", "Did you mean state:muted?", "state:muted"),
        ("has:gitlb", "has:gitlb", "Did you mean has:gitlab?", "has:gitlab"),
        ("log:lost", "log:lost", "There is pending, missing, partial, whole", ""),
        # What would cost too much, or does nothing, each by its name.
        ("a*", "a*", "would find too many words", ""),
        ("aa_b*", "aa_b*", "The beginning b* would find too many", ""),
        ("*foo", "*", "A word cannot begin with *", "foo"),
        ("dag:*foo", "*", "A word cannot begin with *", "dag:foo"),
        ("foo*bar", "*", "A * stands only at the end", "foo*"),
        ("f?o", "?", "A ? does not stand for a letter", '"f?o"'),
        ("foo~2", "~2", "Fuzzy words (~)", "foo*"),
        ('"aa bb"~3', "~3", "Words near each other", '"aa bb"'),
        ("/fo.*o/", "/fo.*o/", "Regular expressions", '"/fo.*o/"'),
        ("foo^2", "^2", "A boost (^) does nothing", "foo"),
        ("(aa bb)^2", "^2", "A boost (^) does nothing", "(aa bb)"),
        ('"aa bb"*', "*", "A * behind quotes", '"aa bb"'),
        ("NOT " * 150 + "a", "N", "nested too deeply", ""),
        ("(" * 60 + "a" + ")" * 60, "(", "nested too deeply", ""),
        ("a " * 101, "a ", "has 101 terms. Use at most 100", ""),
        ("x" * 1001, "x", "has 1001 characters. Use at most 1000", ""),
    ],
)  # fmt: skip
def test_a_wrong_query_gets_one_sentence_its_place_and_a_suggestion(
    text: str, place: str, says: str, better: str
) -> None:
    with pytest.raises(WrongQuery) as caught:
        parse(text, NOW)
    wrong = caught.value
    assert says in str(wrong)
    assert wrong.text[wrong.start : wrong.end].startswith(place)
    assert wrong.better == better
    if better:
        parse(better, NOW)


@given(
    st.one_of(st.text(max_size=60), st.text(alphabet='ab12 ()[]{}:"*?-+!~^/\\<>=.|&日ANDORT', max_size=40)),
    st.booleans(),
)
def test_any_text_is_a_query_or_one_sentence_that_points_into_it(text: str, is_quoted: bool) -> None:
    try:
        tree = parse(quoted(text) if is_quoted else text, NOW)
    except WrongQuery as wrong:
        assert "\n" not in wrong.what
        assert 0 <= wrong.start <= wrong.end <= len(wrong.text)
        first, second = wrong.pointed.split("\n")
        assert second.strip(" ") == "^" * second.count("^") != ""
        assert first or not wrong.text
    else:
        assert depth(tree) <= 12


@given(st.text(max_size=60))
def test_a_text_in_quotes_is_its_words_and_nothing_else(text: str) -> None:
    try:
        tree: Query = parse(quoted(text), NOW)
    except WrongQuery as wrong:
        assert "letter or digit" in str(wrong)
    else:
        assert isinstance(tree, Words)


def test_a_place_is_shown_under_wide_letters_and_in_a_long_query() -> None:
    with pytest.raises(WrongQuery) as caught:
        parse("日本 dga:x", NOW)
    assert caught.value.pointed == "日本 dga:x\n     ^^^^"
    with pytest.raises(WrongQuery) as caught:
        parse("word " * 90 + "dga:x" + " word" * 9, NOW)
    first, second = caught.value.pointed.split("\n")
    assert first.startswith("… ")
    assert first.endswith(" …")
    assert first[second.index("^") : second.rindex("^") + 1] == "dga:"


def test_every_field_finds_what_has_a_value_and_is_refused_or_read_with_a_word() -> None:
    for name, short in FIELDS.items():
        parse(f"{name}:*", NOW)
        try:
            parse(f"{name}:xyz", NOW)
        except WrongQuery as wrong:
            assert KNOWN[short].kind in ("number", "time") or KNOWN[short].choices, wrong


def test_rounding_goes_with_the_steps_in_their_order() -> None:
    def found(text: str) -> tuple[datetime, datetime]:
        span = dates.span(text, NOW)
        assert span is not None
        return span.first, span.last

    assert found("now/d+12h") == (day("2026-11-24T12:00"), day("2026-11-25T12:00") - MICRO)
    assert found("now-1M-1d/d") == (day("2026-10-23"), day("2026-10-24") - MICRO)
    assert found("2026-03-31||-1M") == (day("2026-02-28"), day("2026-02-28T23:59:59.999999"))
    assert found("now-1y/y")[0] == day("2025-01-01")
    for wrong in ("now-", "now/x", "now 1d", "2026-11-24||now", "2026-00", "20261124", "2026-11-24T25:00", "nowhere"):
        assert dates.span(wrong, NOW) is None, wrong
