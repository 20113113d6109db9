"""What settings add to redaction: patterns, exceptions, e-mail addresses, our own secrets, and what is refused."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from collector.tasks import access
from triage import logs
from triage.errors import SettingsError
from triage.model import Circumstance, CircumstanceKind, Occurrence, TaskTry
from triage.records import Change, Problem, TriageState
from triage.redact import MASK, Learned, Redactor, added, facts
from triage.service import Service
from triage.settings import Settings, load
from triage.signature import sign
from triage.store import open_store
from triage.watched import DeploymentHealth, ImportFailure, Trouble

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PROD = {"AIRTRIAGE_DEPLOYMENTS__PROD__URL": "https://a.example"}
REFUSED = {
    "(": "no regular expression",
    "a*": "can match an empty text",
    "x?": "can match an empty text",
    r"\b": "can match an empty text",
    "(a+)+$": "very long on a hostile log",
    "(?:a|a)*b": "very long on a hostile log",
    r".*secret": "very long on a hostile log",
    r"\w+@\w+": "very long on a hostile log",
    r"\w{1,900}-\w{1,900}x": "very long on a hostile log",
    r"\w++!": "very long on a hostile log",
    r"(?>\w*)!": "very long on a hostile log",
    "(?:a{1,3}){1,50}b": "very long on a hostile log",
}
ACCEPTED = [
    "acme_[a-z0-9]+",
    r"ACME-\d{6}",
    r"\d{1,3}\.\d{1,3}",
    r"(?:ab){3}",
    r"token of (\w{1,40})",
    "(?i)klartext: .{1,80}",
    r"(?<=id )\w+",
]


def settings(**more: str) -> Settings:
    return load(environ=PROD | {f"AIRTRIAGE_REDACT__{name.upper()}": value for name, value in more.items()})


def test_an_additional_pattern_is_masked_and_its_group_alone_where_it_has_one() -> None:
    redactor = settings(patterns="acme-[0-9]{4}\ntoken of (\\w{1,20})").redactor
    assert redactor.text("acme-1234 is the token of bob here") == f"{MASK} is the token of {MASK} here"


def test_what_is_allowed_stays_and_only_where_all_of_it_is_allowed() -> None:
    redactor = settings(allow="changeme\nAKIAIOSFODNN7EXAMPLE").redactor
    text = "password=changeme and AKIAIOSFODNN7EXAMPLE"
    assert redactor.text(text) == text
    assert redactor.text("password=changeme2") == f"password={MASK}"


def test_e_mail_addresses_are_masked_by_setting_alone() -> None:
    text = "mail to bob.smith+x@mail.example.co.uk failed"
    assert settings().redactor.text(text) == text
    assert settings(emails="true").redactor.text(text) == f"mail to {MASK} failed"


@pytest.mark.parametrize(("pattern", "why"), REFUSED.items())
def test_a_bad_pattern_is_refused_in_one_sentence_that_names_it(pattern: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(patterns=pattern)
    assert "redact.patterns" in str(caught.value)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ACCEPTED)
def test_a_pattern_that_takes_linear_time_is_accepted(pattern: str) -> None:
    assert added.pattern(pattern).pattern == pattern


@pytest.mark.parametrize("pattern", ["(?s).+", ".{1,200}"])
def test_an_exception_that_would_allow_everything_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match="nothing would be masked"):
        settings(allow=pattern)


def own_secrets() -> Settings:
    return load(
        environ=PROD
        | {
            "AIRTRIAGE_BROKER": "redis://:brokerpass@cache:6379/0",
            "AIRTRIAGE_DEPLOYMENTS__PROD__USERNAME": "svc",
            "AIRTRIAGE_DEPLOYMENTS__PROD__PASSWORD": "correct horse",
            "AIRTRIAGE_DEPLOYMENTS__PROD__PROXY": "http://u:proxy%40pass@proxy:3128",
            "AIRTRIAGE_DEPLOYMENTS__PROD__HEADERS": "X-Gate: gate keeper word",
            "AIRTRIAGE_DEPLOYMENTS__PROD__LOG_OPTIONS__SECRET": "bucketword",
        }
    )


@pytest.mark.parametrize("secret", ["brokerpass", "correct horse", "proxy@pass", "gate keeper word", "bucketword"])
def test_the_secrets_of_our_settings_are_masked_wherever_they_stand_in_every_form(secret: str) -> None:
    redactor = own_secrets().redactor
    for form in (secret, quote(secret, safe=""), base64.b64encode(f"x{secret}y".encode()).decode()):
        assert secret not in redactor.text(f"so it says {form} here")
        assert MASK in redactor.text(f"so it says {form} here")
    assert secret not in repr(redactor)


def test_a_secret_of_ours_that_is_a_short_word_is_not_masked_everywhere() -> None:
    assert Redactor(known=("a", "up")).text("a cat looked up") == "a cat looked up"


def test_a_token_that_was_made_on_the_way_is_masked_from_then_on() -> None:
    made = own_secrets()
    redactor = made.redactor
    assert redactor is made.redactor
    access(made.deployments["prod"], redactor.learned).learn("opaque-word-of-a-program")
    assert redactor.text("said opaque-word-of-a-program") == f"said {MASK}"


def test_what_was_learned_once_is_kept_once() -> None:
    learned = Learned()
    learned.add("opaque-word")
    before = learned.forms
    learned.add("opaque-word")
    assert learned.forms is before


def test_what_threads_learn_at_once_is_all_kept_and_of_much_the_newest() -> None:
    learned = Learned()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(learned.add, [f"opaque-word-{n}" for n in range(48)]))
    assert all(f"opaque-word-{n}" in learned.forms for n in range(48))
    for n in range(1000):
        learned.add(f"made-later-{n}")
    redactor = Redactor(learned=learned)
    assert redactor.text("with made-later-999") == f"with {MASK}"
    assert len(learned.forms) < 1000, "each is looked for in every text"


def test_a_secret_of_several_lines_leaves_every_other_line_where_it_was() -> None:
    redactor = Redactor(known=("first line\nsecond line\nlast line",))
    told = ["key: first line", "second line", "last line # end", "line 4", "line 5"]
    assert redactor.texts(told) == [f"key: {MASK}", MASK, f"{MASK} # end", "line 4", "line 5"]
    assert redactor.text("\n".join(told)) == f"key: {MASK}\n{MASK}\n{MASK} # end\nline 4\nline 5"


def test_a_kept_log_and_its_signature_are_masked_by_the_settings() -> None:
    redactor = Redactor(known=("correct horse",), patterns=(re.compile("acme-[0-9]{4}"),), emails=True)
    detail = '[{"exc_type": "ValueError", "exc_value": "acme-1234 of bob@example.com"}]'
    log = f'{{"event": "Task failed with exception", "level": "error", "error_detail": {detail}}}\n{{"event": "correct horse"}}'
    kept = logs.keep(logs.read([log.encode()], redactor), redactor=redactor)
    signed = sign(kept.lines, task="a.b", redactor=redactor)
    told = f"{kept} {signed}"
    assert signed.exception == "ValueError"
    assert not any(secret in told for secret in ("acme-1234", "bob@", "correct horse"))


def test_a_secret_is_not_cut_in_two_before_a_pattern_of_the_settings_sees_it() -> None:
    redactor = Redactor(patterns=(re.compile("acme-[0-9]{4000}"),))
    event = "begin " + "acme-" + "1" * 4000 + " " + "x " * 10_000
    kept = logs.keep(logs.read([f'{{"event": "{event}"}}'.encode()], redactor), redactor=redactor)
    assert "1111" not in kept.lines[0].text


FACT = Occurrence(
    TaskTry("prod", "etl", "r", "t"), NOW, NOW, map_label="correct horse", bundle_url="https://u:pw1234@git.example/x",
    circumstance=Circumstance(CircumstanceKind.MARKED, "marked: correct horse", by="bob"),
)  # fmt: skip


def test_everything_that_is_recorded_and_decided_goes_through_the_redactor() -> None:
    service = Service(open_store("sqlite://"), redactor=Redactor(known=("correct horse",)))
    service.record([FACT])
    fact = service.store.occurrence(FACT.key.id)
    assert fact is not None
    assert "correct horse" not in str(fact)
    assert "pw1234" not in str(fact)


def test_the_texts_of_every_record_are_masked_and_a_record_without_any_is_returned_as_it_is() -> None:
    redactor = Redactor(known=("correct horse",))
    problem = Problem("p", "s", "1:a", "correct horse", "c", TriageState.NEW, NOW, NOW, reason="of the correct horse")
    change = Change("p", NOW, "bob", "muted", "correct horse")
    health = DeploymentHealth(
        "prod", "https://a", NOW, troubles=(Trouble("correct horse", "ask correct horse"),),
        imports=(ImportFailure("a.py", "b", "ValueError: correct horse"),),
    )  # fmt: skip
    for one in (problem, change, health):
        masked = facts.record(redactor, one)
        assert "correct horse" not in str(masked)
        assert MASK in str(masked)
        assert facts.record(redactor, masked) is masked
