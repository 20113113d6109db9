"""Secrets never leave; ordinary words do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.model import Frame, LogLine, Raised
from triage.redact import MASK, PLAIN, RULES, Learned, Redactor, redact
from triage.redact.ahead import Ahead
from triage.redact.clean import Clean
from triage.redact.rules import EMAIL, Rule

# (where it stands, the secret itself): the text is the first with the secret put in.
PLANTED = [
    ("postgresql://app:{}@db:5432/x", "hunter2"),
    ("mysql+pymysql://root:{}@10.0.0.1/x?charset=utf8", "p%40ss%21w"),
    ("redis://:{}@cache:6379/0", "s3cr3t"),
    ("amqp://guest:{}@mq:5672//", "a/b#c"),
    ("Authorization: Bearer {}", "abc.def.ghi"),
    ("{{'Authorization': 'Basic {}', 'Accept': '*/*'}}", "dXNlcjpwYXNz"),
    ("Cookie: session={}; theme=dark", "31d4d96e407aad42"),
    ("using key {}", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY={}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("key={} for maps", "AIzaSyA1234567890abcdefghijklmnopqrstuv"),
    ("pushed with {}", "glpat-abcDEF123456_7890xyz"),
    ("remote https://oauth2:{}@gitlab.example.com/a.git", "glpat-abcDEF123456_7890xyz"),
    ("token {}", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("token {}", "gho_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("token {}", "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz"),
    ("slack said no to {}", "xoxb-123456789012-1234567890123-AbCdEf"),
    ("POST https://hooks.slack.com/{}", "services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"),
    ("jwt {}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"),
    ("GET /v1/rows?apikey={}&page=2", "abcd1234"),
    ("GET https://a.example/x?access_token={}", "tok-77"),
    ("https://acc.blob.example/c?sv=2022&sig={}&se=2026", "aB%2Bc%3D"),
    ("tool --password {} --host db", "hunter2"),
    ("tool --api-key={} run", "k-123"),
    ("mysql -u root -p{} shop", "hunter2"),
    ("curl -u bob:{} https://x.example", "pw1"),
    ("DB_PASSWORD={}", "hunter2"),
    ("export SLACK_TOKEN='{}'", "abc def"),
    ('{{"client_secret": "{}", "id": 7}}', 's3\\"cret'),
    ("{{'password': '{}', 'user': 'bob'}}", "hunter2"),
    ('payload {{\\"api_key\\": \\"{}\\"}}', "abcd"),
    ("paid with {} today", "4111 1111 1111 1111"),
    ("card 5500-0000-0000-0004 and {}", "378282246310005"),
    ("sk {}", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
    ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=x", "Ab1/" * 21 + "Ab=="),
    ("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"),
    ("SECRET_KEY={}", "hunter22x"),
    ("smtp user=bob pass={}", "hunter22x"),
    ("environ({{'DB_PASS': '{}'}})", "hunter22x"),
    ("dbPass: {}", "hunter22x"),
    ("SessionToken: {}", "FwoGZXIvYXdzEJr//////////wEa"),
    ("Kennwort: {}", "hunter22x"),
    ("passcode={}", "987654"),
    ("[('password', '{}'), ('user', 'x')]", "hunter22"),
    ("[(b'authorization', b'{}')]", "hunter22"),
    ("<password>{}</password>", "hunter22"),
    ("Conn(password=SecretStr('{}'))", "hunter22"),
    ("password={} x", "ab&cdhunter22"),
    ("password = r'{}'", "hunter22"),
    ('"password": ["{}"]', "hunter22"),
    ('password="""{}"""', "hunter22"),
    ("AWS secret key {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"),
    ("client_secret={}&grant_type=x", "abc~Def123"),
    ("the password is {}", "hunter22"),
    ("fernet key: {}", "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE="),
    ("requests.get(url, auth=('bob', '{}'))", "hunter22x"),
    ("HTTPBasicAuth('bob', '{}')", "hunter22x"),
    ('{{"auths": {{"reg.example": {{"auth": "{}"}}}}}}', "dXNlcjpwYXNzd29yZA=="),
    ("//npm.example/:_auth={}", "dXNlcjpwYXNzd29yZA=="),
    ("jdbc:oracle:thin:scott/{}@//db:1521/x", "tigerpw9"),
    ("sqlplus -s scott/{}@db", "tigerpw9"),
    ("creds AKIAIOSFODNN7EXAMPLE {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"),
    ("https://api.telegram.org/bot123456789:{}/sendMessage", "AAHdqTcvCH1vGWJxfSeofSAs0K5" + "PALDsaw8"),
    ("https://discord.com/api/webhooks/123456789012345678/{}", "abcDEF_ghi-JKLmnop" + "qrstuvwxyz0123"),
    ("https://x.webhook.office.com/webhookb2/{}/33", "a1b2@2222/IncomingWebhook/" + "0123456789abcdef" * 2),
    ("POST https://hooks.slack-gov.com/{}", "services/T0000/B0000/" + "XXXXXXXXabcd1234"),
    ("using client_secret {} now", "hunter22x"),
    ("AWS_SECRET_ACCESS_KEY {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"),
    (
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n{}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
        "P2/56wAAAi4AAABqFMXvHYhJ4lUA0r",
    ),
    ("twilio {}", "SK" + "0123456789abcdef" * 2),
]
INNOCENT = [
    "token expired",
    "KeyError: 'token'",
    "KeyError: 'api_key'",
    "invalid token: unexpected end of input",
    'password authentication failed for user "svc"',
    "the password is wrong",
    "missing 1 required positional argument: 'password'",
    'duplicate key value violates unique constraint "orders_pkey"',
    "Key (id)=(5) already exists.",
    "primary key: id",
    "token=None",
    "password: ***",
    "reading /data/token/in.csv",
    "https://example.com/a/b?page=2&limit=10",
    "2026-11-22T08:12:47.407502Z 1234567890123456 rows",
    "SELECT secret_id FROM t WHERE x = 1",
    "basic authentication is off",
    "InvalidToken: Signature did not match digest",
    "jose.InvalidToken: Signature",
    "secret key not found",
    "password is required",
    "the password was not set",
    "api key: rejected",
    "Done. PASS=3 WARN=0 ERROR=1",
    "pass: 3 fail: 2",
    "test pass: ok",
    "max_tokens=4096",
    "KeyError: ('password', 'user')",
    "auth=basic",
    'unsupported "auth": "kerberos5"',
    "author=Johnsmith12",
    "primary key: id",
    "partition key: 2026-01-01",
    "POST https://api.example.com/webhooks/orders/12",
    "Asia/Tokyo 3f600b3a1c2d3f600b3a1c2d3f600b3a1c2d3f60",
    "sha256:" + "a1" * 32 + " of Image",
    "password=SecretStr('***')",
    "rotating access_token soon",
    "no secret_key in version 1.2.3-rc1",
    "column api_token of table2 is missing",
]


@pytest.mark.parametrize("rule", [*RULES, EMAIL], ids=lambda rule: rule.name)
def test_every_rule_does_what_its_example_says(rule: Rule) -> None:
    assert Redactor(emails=rule is EMAIL).text(rule.before) == rule.after


@pytest.mark.parametrize(("text", "secret"), PLANTED)
def test_no_planted_secret_comes_through(text: str, secret: str) -> None:
    masked = redact(text.format(secret))
    assert secret not in masked
    assert MASK in masked
    assert redact(masked) == masked


@pytest.mark.parametrize("text", INNOCENT)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text


@given(st.sampled_from(PLANTED), st.text(max_size=30), st.text(max_size=30))
def test_no_planted_secret_comes_through_whatever_stands_around_it(
    planted: tuple[str, str], before: str, after: str
) -> None:
    text, secret = planted
    lines = f"{before}\n{text.format(secret)}\n{after}"
    if secret not in f"{before}{after}":
        assert secret not in redact(lines)


_PIECES = st.sampled_from(
    ["password", "=", ": ", "'", '"', "token", "\\", "://", "@", "a", " ", "\n", "***", "Bearer ", "Authorization", "?key=",
     "pass", "auth", "('", "', '", "<", "</", ">", " key", "&a=", "SecretStr(", "AKIA", "jdbc:oracle:thin:", "/bot", "12345678:AA",
     "hooks.slack.com/", "x" * 26, " is ", "b2",
     "eyJabcdef", ".", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "4111111111111111", "--secret ", ",", "}"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=14).map("".join) | st.text(max_size=80))
def test_redaction_is_idempotent(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


def test_values_known_to_be_secret_are_masked_wherever_they_stand() -> None:
    assert Redactor(known=("horse", "")).text("the horse is correct") == "the *** is correct"


def test_a_line_is_masked_in_its_text_its_exceptions_their_notes_and_parts() -> None:
    inner = Raised("ValueError", "token=abc123", notes=("pwd=xyz",))
    line = LogLine(1, "DB_PASSWORD=hunter2", raised=(Raised("ExceptionGroup", "api_key=k1", parts=((inner,),)),))
    masked = PLAIN.line(line)
    assert masked.text == "DB_PASSWORD=***"
    assert masked.raised[0].value == "api_key=***"
    assert masked.raised[0].parts[0][0].value == "token=***"
    assert masked.raised[0].parts[0][0].notes == ("pwd=***",)


def test_a_line_without_secrets_is_returned_as_it_is() -> None:
    line = LogLine(1, "nothing to see")
    assert PLAIN.line(line) is line


def test_a_private_key_written_line_by_line_is_masked() -> None:
    body = ["MIIEowIBAAKCAQEA0Z3VS5JJcds3xfnQXABCDEFGHIJKLMNOPQRSTUVWXYZ01234", "abcd1234=="]
    texts = ["go", "-----BEGIN RSA PRIVATE KEY-----", *body, "-----END RSA PRIVATE KEY-----", "done"]
    masked = [line.text for line in PLAIN.lines(LogLine(i, text) for i, text in enumerate(texts))]
    assert not any(part in text for part in body for text in masked)
    assert masked[0] == "go"
    assert masked[-1] == "done"


def test_what_was_clean_by_itself_is_masked_where_it_belongs_to_a_secret() -> None:
    key = ["-----BEGIN RSA PRIVATE KEY-----", "abcd1234==", "-----END RSA PRIVATE KEY-----"]
    block = ["password: |", "  horse", "port: 1"]
    for texts, secret in ((key, key[1]), (block, "horse")):
        assert redact(texts[1]) == texts[1]
        assert not any(secret in text for text in PLAIN.texts(texts))
    several = Redactor(known=("first horse\nsecond horse",))
    assert several.text("second horse") == "second horse"
    assert several.texts(("first horse", "second horse")) == [MASK, MASK]


def test_an_empty_line_seen_before_is_still_part_of_a_known_value_of_several_lines() -> None:
    secret = "first horse\n\nsecond horse"
    texts = ["go", *secret.split("\n"), "done"]
    learned = Learned()
    learned.add(secret)
    for redactor in (Redactor(known=(secret,)), Redactor(learned=learned)):
        redactor.texts(("", "a word"))
        assert redactor.texts(texts) == ["go", MASK, "", MASK, "done"]
        assert redactor.may_span(texts)


def test_what_was_clean_before_a_value_was_learned_is_masked_after_it() -> None:
    learned = Learned()
    redactor = Redactor(learned=learned)
    assert redactor.text("they gave us horse!") == "they gave us horse!"
    learned.add("horse!")
    assert redactor.text("they gave us horse!") == "they gave us ***"


def test_what_is_remembered_of_clean_texts_is_bounded_and_no_secret() -> None:
    clean = Clean((), ())
    for number in range(60_000):
        clean.add(f"row {number}")
        clean.add(f"row {number} " + "x" * 400)
    clean.add("x" * 10_000)
    assert clean.texts
    assert sum(map(len, clean.texts)) < 5 << 20
    assert len(clean.texts) < 50_000
    assert max(map(len, clean.texts)) < 10_000
    redactor = Redactor()
    redactor.texts(("password=hunter2", "a word"))
    assert redactor._clean.texts == {"a word"}


def test_lines_masked_when_they_are_read_are_as_if_all_had_been_masked_together() -> None:
    key = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfnQ", "-----END RSA PRIVATE KEY-----"]
    rows = [f"row {number} of password=hunter{number}" for number in range(20)]
    for texts in (rows, [*rows[:7], *key, *rows[7:]]):
        lines = [LogLine(number, text) for number, text in enumerate(texts, 1)]
        ahead = Ahead(lines, PLAIN, lambda line, _: line)
        assert [ahead[at] for at in (9, 8, 22 % len(lines), 0)] == [
            PLAIN.lines(lines)[at] for at in (9, 8, 22 % len(lines), 0)
        ]
        assert [*ahead] == PLAIN.lines(lines)
        assert ahead.masked == {line.number: line for line in PLAIN.lines(lines) if line not in lines}


def test_a_line_that_is_not_read_is_not_masked() -> None:
    ahead = Ahead([LogLine(number, "password=hunter2") for number in range(1, 100)], PLAIN, lambda line, _: line)
    assert ahead[50].text == "password=***"
    assert len(ahead.masked) < 20


def test_a_known_value_of_several_lines_may_span_lines_and_one_of_one_line_does_not() -> None:
    redactor = Redactor(known=("first\nsecond", "horse!"))
    assert redactor.may_span(["the first", "second"])
    assert not redactor.may_span(["horse!", "first", "third"])


@pytest.mark.parametrize("length", [64, 70, 76])
def test_a_line_of_a_key_whose_beginning_was_not_kept_is_masked(length: int) -> None:
    row = ("MIIEowIBAAKCAQEA0Z3VS5JJcds3xfnQ/+" * 3)[:length]
    assert [line.text for line in PLAIN.lines([LogLine(1, f"INFO {row}")])] == ["INFO ***"]


def test_a_long_text_is_cut_in_its_middle_and_masked_at_both_ends() -> None:
    text = "password=first " + "x " * 50_000 + " password=last"
    cut = PLAIN.trimmed(text, 1000, 4000)
    assert len(cut) < 1200
    assert "characters cut" in cut
    assert "first" not in cut
    assert "last" not in cut


def test_what_stands_for_an_exceptions_name_and_its_place_is_masked_too() -> None:
    frame = Frame("https://bob:hunter2@git.example.com/a.py", 3, "f")
    line = LogLine(1, "", raised=(Raised("xoxb-123456789012-abcdef", frames=(frame,)), Raised("password", "hunter2")))
    one, named = PLAIN.line(line).raised
    assert named == Raised("password", MASK)
    assert one.type == MASK
    assert one.frames == (Frame("https://bob:***@git.example.com/a.py", 3, "f"),)


def test_a_block_right_behind_another_ones_name_is_masked_whatever_the_text_begins_with() -> None:
    begin = '  File "/dags/a.py", line 3, in f\npassword: |\npassword: |\n'
    assert redact(begin + "  hunter2 and more") == begin + "  ***"
