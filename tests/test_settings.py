"""Settings: where they come from, and the sentence for each mistake."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr

from triage.errors import SettingsError
from triage.policy import Threshold
from triage.settings import Settings, load
from triage.settings.sections import Deployment, Web
from triage.settings.values import revealed

LOGIN = {"URL": "http://a", "USERNAME": "svc", "PASSWORD": "sekret"}
OF_A_DEPLOYMENT = ("URL", "USERNAME", "PASSWORD", "TOKEN", "TOKEN_COMMAND", "HEADERS", "HEADERS_FILE")


def _whole(name: str) -> str:
    return f"DEPLOYMENTS__P__{name}" if name.split("__")[0] in OF_A_DEPLOYMENT else name


def test_the_defaults_are_embedded_and_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(environ={"AIRTRIAGE_DATA_DIR": str(tmp_path / "data")})
    assert settings.store_url == f"sqlite:///{tmp_path}/data/airtriage.db"
    assert settings.broker_url == f"filesystem://{tmp_path}/data/broker"
    assert settings.web.host == "127.0.0.1"


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "airtriage.toml"
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    file.write_text(
        f'store = "sqlite:///x.db"\n[deployments.prod]\nurl = "https://a.example/air/"\npassword_file = "{secret}"\nlookback = "2d"\n'
    )
    settings = load(
        str(file), {"AIRTRIAGE_DEPLOYMENTS__PROD__USERNAME": "svc", "AIRTRIAGE_DEPLOYMENTS__DEV__URL": "http://b"}
    )
    prod = settings.deployments["prod"]
    assert (prod.url, prod.username, prod.lookback) == ("https://a.example/air", "svc", timedelta(days=2))
    assert prod.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)
    assert settings.deployments["dev"].url == "http://b"
    assert settings.scopes == {"prod": "prod", "dev": "dev"}


def test_the_file_is_found_by_the_environment_and_where_you_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "airtriage.toml").write_text('store = "sqlite:///here.db"')
    (tmp_path / "other.toml").write_text('store = "sqlite:///other.db"')
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).store == "sqlite:///here.db"
    assert load(environ={"AIRTRIAGE_CONFIG": str(tmp_path / "other.toml")}).store == "sqlite:///other.db"


def test_the_secrets_of_gitlab_come_from_files_and_are_masked_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("made-up-token-of-gitlab\n")
    environ = {"AIRTRIAGE_GITLAB__URL": "https://g.example/", "AIRTRIAGE_GITLAB__TOKEN_FILE": str(tmp_path / "token")}
    settings = load(
        environ=environ
        | {"AIRTRIAGE_GITLAB__PROJECT": "data/airflow", "AIRTRIAGE_GITLAB__WEBHOOK_TOKEN": "made-up-word-of-the-hook"}
    )
    assert settings.gitlab.url == "https://g.example"
    said = settings.redactor.text("made-up-token-of-gitlab, made-up-word-of-the-hook")
    assert "made-up" not in said + repr(settings)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"STOER": "x"}, r"no setting stoer.*Did you mean 'store'"),
        (
            {"DEPLOYMENTS__P__URLL": "x", "DEPLOYMENTS__P__URL": "http://a"},
            r"no setting deployments\.p\.urll.*Did you mean 'url'",
        ),
        ({"DEPLOYMENTS__P__URLL": "x"}, r"no setting deployments\.p\.urll.*Did you mean 'url'"),
        ({"DEPLOYMENTS__P__USERNAME": "x"}, r"deployments\.p\.url is missing.*AIRTRIAGE_DEPLOYMENTS__P__URL"),
        ({"GITLAB__URL": "gitlab.example"}, r"gitlab\.url is wrong.*not an http"),
        ({"GITLAB__URL": "https://x:sekret@g.example"}, r"gitlab\.url is wrong.*belongs into token"),
        ({"GITLAB__TOKN": "sekret"}, r"no setting gitlab\.tokn.*Did you mean 'token'"),
        ({"GITLAB__TOKEN_FILE": "/nowhere"}, r"gitlab\.token_file = '/nowhere' cannot be read"),
        ({"DEPLOYMENTS__P__URL": "airflow:8080"}, r"deployments\.p\.url is wrong.*not an http"),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__POLL": "often"},
            r"deployments\.p\.poll is wrong.*time span",
        ),
        ({"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__POLL": "0"}, r"longer than nothing"),
        ({"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__POLL": "0.01s"}, r"poll.*between a second and a day"),
        ({"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__POLL": "2d"}, r"poll.*between a second and a day"),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__TIMEOUT": "36500d"},
            r"timeout.*not be longer than an hour",
        ),
        ({"DEPLOYMENTS__My Prod__URL": "http://a"}, r"no good name"),
        ({"WEB__PORT": "99999"}, r"web\.port is wrong"),
        ({"STORE": "somewhere"}, r"store is wrong.*not a URL"),
        ({"STORE": "sqlite://"}, r"store is wrong.*not a URL"),
        ({"STORE": "https://svc:sekret@h:9200"}, r"store is wrong.*belongs into elastic\.username"),
        ({"STORE": "https://h:9200,svc:sekret@h2:9200/a"}, r"store is wrong.*belongs into elastic\.username"),
        ({"STORE": "https://h:abc/sekret"}, r"store is wrong.*host or port cannot be read"),
        ({"STORE": "https://"}, r"store is wrong.*not a URL such as https://host:9200/airtriage"),
        ({"STORE": "https://h:9200?key=sekret"}, r"store is wrong.*not a URL such as"),
        ({"STORE": "https://h:9200/Sekret"}, r"store is wrong.*lower-case letters"),
        ({"ELASTIC__API_KEY": "sekret sekret"}, r"elastic\.api_key is wrong.*one word of plain ASCII"),
        (
            {"ELASTIC__API_KEY": "k", "ELASTIC__USERNAME": "u", "ELASTIC__PASSWORD": "sekret"},
            r"elastic is wrong.*exclude",
        ),
        ({"ELASTIC__USERNAME": "u"}, r"elastic is wrong.*has a username but no password"),
        ({"ELASTIC__USERNAME": "u:sekret", "ELASTIC__PASSWORD": "x"}, r"elastic\.username is wrong.*colon"),
        ({"ELASTIC__PASSWORD_FILE": "/nope"}, r"elastic\.password_file = '/nope' cannot be read"),
        ({"ELASTIC__CA_FILE": "/nope.pem"}, r"elastic\.ca_file is wrong.*no file '/nope\.pem'"),
        ({"ELASTIC__SHARDS": "0"}, r"elastic\.shards is wrong"),
        ({"ELASTIC__API_KEI": "x"}, r"Did you mean 'api_key'"),
        ({"BROKER": "filesystem://"}, r"broker is wrong.*not a URL"),
        ({"BROKER": "redis:sekret@host"}, r"broker is wrong.*not a URL"),
        ({"BROKER": "redis://host:abc/0"}, r"broker is wrong.*port"),
        ({"BROKER": "redsi://host:6379/0"}, r"broker is wrong.*did you mean redis://"),
        ({"BROKER": "redis:///0"}, r"broker is wrong.*names no host"),
        ({"BROKER": "redis://host:6379/first"}, r"broker is wrong.*number of a database"),
        ({"BROKER": "rediss://host?ssl_cert_reqs=none"}, r"broker is wrong.*broker_ca_file"),
        ({"BROKER_PASSWORD": "sekret"}, r"broker_password is set, but broker is no Redis"),
        ({"BROKER": "redis://:sekret@host", "BROKER_PASSWORD": "x"}, r"keep one of them"),
        ({"BROKER": "redis://host", "BROKER_CA_FILE": "/ca.pem"}, r"without TLS: use rediss"),
        ({"DATA_DIR": ""}, r"data_dir is wrong.*empty"),
        ({"DATA_DIR": "~nosuchuser/x"}, r"data_dir is wrong.*home folder"),
        ({"DEPLOYMENTS__P__URL": "http://x:abc"}, r"deployments\.p\.url is wrong.*port"),
        ({"DEPLOYMENTS__P__URL": "http://u:sekret@x"}, r"deployments\.p\.url is wrong.*username and password"),
        ({"DEPLOYMENTS__P__URL": "ftp://u:sekret@x"}, r"deployments\.p\.url is wrong.*not an http"),
        ({"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__POLL": "999999999w"}, r"longer than 100 years"),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__PASSWORD_FILE": "/nope"},
            r"password_file = '/nope' cannot be read",
        ),
        (LOGIN | {"TOKEN": "sekret"}, r"deployments\.p is wrong.*username and token are ways to log in that exclude"),
        (LOGIN | {"TOKEN_COMMAND": "print sekret"}, r"username and token_command are ways to log in"),
        (LOGIN | {"HEADERS": "Authorization: Basic sekret"}, r"username and headers\.Authorization are ways to log in"),
        ({"URL": "http://a", "TOKEN": "sekret", "TOKEN_COMMAND": "x"}, r"token and token_command are ways to log in"),
        ({"URL": "http://a", "USERNAME": "svc"}, r"deployments\.p is wrong.*has a username but no password"),
        ({"URL": "http://a", "PASSWORD": "sekret"}, r"has a password but no username"),
        ({"URL": "http://a", "TOKEN": "Bearer sekret"}, r"p\.token is wrong.*one word of plain ASCII"),
        ({"URL": "http://a", "TOKEN_COMMAND": "print 'sekret"}, r"token_command is wrong.*no closing quotation"),
        ({"URL": "http://a", "TOKEN_COMMAND": "''"}, r"token_command is wrong.*the program, is empty"),
        ({"URL": "http://a", "HEADERS": "X-Key sekret"}, r"headers is wrong.*line 1 is not written 'Name: value'"),
        ({"URL": "http://a", "HEADERS": "A: sekret\n\nA: b"}, r"line 2 names a header for the second time"),
        ({"URL": "http://a", "HEADERS__X KEY": "sekret"}, r"the name of header 1 holds what no name may"),
        ({"URL": "http://a", "HEADERS__X": "sekret\r\nHost: x"}, r"the value of x holds a line break"),
        ({"URL": "http://a", "HEADERS": "A: sekret\na: b"}, r"a is there twice"),
        ({"URL": "http://a", "HEADERS": "Accept: sekret"}, r"Accept is airtriage's own to set"),
        ({"URL": "http://a", "HEADERS_FILE": "/nope"}, r"headers_file = '/nope' cannot be read"),
        ({"STORE": "sqlite:///x", "STORE__X": "1"}, r"STORE__X sets a part of 'store'"),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__LOG_BASE": "ftp://u:sekret@b/x"},
            r"deployments\.p\.log_base is wrong.*starts with none of s3://",
        ),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__LOG_BASE": "s3://u:sekret@b/x"},
            r"deployments\.p\.log_base is wrong.*accounts belong into log_options",
        ),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__LOG_TEMPLATE": "{{ ti.hostname }}.log"},
            r"deployments\.p\.log_template is wrong.*unknown field 'ti.hostname'; known are dag_id",
        ),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__LOG_OPTIONS__SECRET_FILE": "/nope"},
            r"deployments\.p\.log_options\.secret_file = '/nope' cannot be read",
        ),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__LOG_OPTIONS": "secret=sekret"},
            r"deployments\.p\.log_options is wrong",
        ),
    ],
)
def test_a_mistake_gets_one_sentence_that_names_the_field(
    environ: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=says) as caught:
        load(environ={f"AIRTRIAGE_{_whole(name)}": value for name, value in environ.items()})
    assert "\n" not in str(caught.value)
    assert "sekret" not in str(caught.value)


def test_a_variable_wins_over_a_secret_s_file_and_lists_are_separated_by_commas(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file")
    file = tmp_path / "airtriage.toml"
    file.write_text(f'[deployments.p]\nurl = "http://a"\nusername = "svc"\npassword_file = "{tmp_path / "secret"}"\n')
    settings = load(
        str(file), {"AIRTRIAGE_DEPLOYMENTS__P__PASSWORD": "from a variable", "AIRTRIAGE_WEB__ALLOWED_HOSTS": "a, b"}
    )
    assert settings.deployments["p"].password.get_secret_value() == "from a variable"
    assert settings.web.allowed_hosts == ("a", "b")


def test_headers_and_a_command_come_as_a_table_and_a_list_or_as_texts(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("X-Key: k: 1\n\nX-Other:\n")
    file = tmp_path / "airtriage.toml"
    file.write_text(f"""
[deployments.table]
url = "http://a"
token_command = ["print token", "a b"]
headers = {{ "X-Key" = "k" }}
[deployments.text]
url = "http://a"
token_command = "'print token' 'a b' $HOME"
headers_file = "{tmp_path / "secret"}"
""")
    settings = load(str(file), {"AIRTRIAGE_DEPLOYMENTS__TABLE__HEADERS__X-TWO": "2"})
    table, text = settings.deployments["table"], settings.deployments["text"]
    assert table.token_command == ("print token", "a b")
    assert text.token_command == ("print token", "a b", "$HOME")
    assert {name: value.get_secret_value() for name, value in table.headers.items()} == {"X-Key": "k", "x-two": "2"}
    assert {name: value.get_secret_value() for name, value in text.headers.items()} == {"X-Key": "k: 1", "X-Other": ""}
    assert "print token" not in repr(settings)


def test_the_options_of_a_storage_come_from_the_file_files_and_variables_and_hide_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    file = tmp_path / "airtriage.toml"
    file.write_text(
        '[deployments.p]\nurl = "http://a"\nlog_base = "s3://logs/prod/"\n[deployments.p.log_options]\n'
        f'key = "AKIAX"\nsecret_file = "{tmp_path / "secret"}"\nregion = "eu-central-1"\nclient_kwargs = {{ aws_session_token = "abc123" }}\n'
    )
    p = load(str(file), {"AIRTRIAGE_DEPLOYMENTS__P__LOG_OPTIONS__ANON": "False"}).deployments["p"]
    assert p.log_base == "s3://logs/prod"
    for secret in ("AKIAX", "hunter2", "abc123"):
        assert secret not in repr(p) + str(p.log_options)
    assert revealed(p.log_options) == {
        "key": "AKIAX", "secret": "hunter2", "region": "eu-central-1", "anon": False,
        "client_kwargs": {"aws_session_token": "abc123"},
    }  # fmt: skip


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load(str(tmp_path / "no.toml"), {})
    (tmp_path / "bad.toml").write_text("store = ")
    with pytest.raises(SettingsError, match=r"bad\.toml is not valid TOML"):
        load(str(tmp_path / "bad.toml"), {})


def test_every_setting_says_what_it_is() -> None:
    for section in (Settings, Deployment, Web):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


GITLAB = {"GITLAB__URL": "https://g.example", "GITLAB__TOKEN": "t0ken", "GITLAB__PROJECT": "data/airflow"}


def gitlab(**more: str) -> Settings:
    environ = GITLAB | {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__Q__URL": "http://b"} | more
    return load(environ={f"AIRTRIAGE_{name}": value for name, value in environ.items()})


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"GITLAB__URL": ""}, r"gitlab is wrong.*names no url"),
        ({"GITLAB__TOKEN": ""}, r"gitlab is wrong.*names no token"),
        ({"GITLAB__PROJECT": ""}, r"gitlab is wrong.*names no project"),
        ({"GITLAB__PROJECT": "airflow"}, r"gitlab\.project is wrong.*not the path of a project"),
        ({"GITLAB__OPEN_AFTER": "often"}, r"gitlab\.open_after is wrong.*'5 in 1h'"),
        ({"GITLAB__LABELS": "a,,b"}, r"gitlab\.labels is wrong.*no label"),
        (
            {"GITLAB__BODY": "a\n{{ titel }}"},
            r"gitlab\.body is wrong: it does not render in line 2: 'titel' is undefined",
        ),
        ({"GITLAB__TITLE": "{# #}"}, r"gitlab\.title is wrong: it renders to nothing"),
        ({"GITLAB__PROJECT": "", "GITLAB__ROUTES__CRM__DAG": "crm*"}, r"the route crm names no project"),
        ({"GITLAB__ROUTES__CRM__DAGS": "crm*"}, r"no setting gitlab\.routes\.crm\.dags.*Did you mean 'dag'"),
        ({"GITLAB__ROUTES__CRM__ASSIGNEE": "Anna S"}, r"assignee is wrong.*not the name of a GitLab user"),
        ({"DEPLOYMENTS__P__GITLAB__URL": "https://other.example"}, r"deployments\.p\.gitlab is wrong.*needs a token"),
        ({"DEPLOYMENTS__P__GITLAB__TOEKN": "x"}, r"no setting deployments\.p\.gitlab\.toekn.*Did you mean 'token'"),
    ],
)
def test_a_gitlab_that_cannot_be_is_refused_with_what_is_missing(environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as found:
        gitlab(**environ)
    assert re.search(says, str(found.value))


def test_without_a_section_gitlab_no_deployment_has_issues() -> None:
    assert load(environ={"AIRTRIAGE_DEPLOYMENTS__P__URL": "http://a"}).gitlabs == {}


def test_a_deployment_may_have_another_gitlab_and_the_rest_as_all() -> None:
    other = {"URL": "https://other.example", "TOKEN": "an0ther-token", "PROJECT": "ops/q", "OPEN_AFTER": "5 in 1h"}
    settings = gitlab(
        **{f"DEPLOYMENTS__Q__GITLAB__{name}": value for name, value in other.items()}, GITLAB__STORM_CAP="7"
    )
    p, q = settings.gitlabs["p"].rules, settings.gitlabs["q"].rules
    assert (p.gitlab, p.project, p.open_after, p.storm_cap) == ("https://g.example", "data/airflow", Threshold(), 7)
    assert (q.gitlab, q.project, q.open_after, q.storm_cap) == (
        "https://other.example",
        "ops/q",
        Threshold(5, timedelta(hours=1)),
        7,
    )
    assert "an0ther" not in settings.redactor.text("an0ther-token") + repr(settings)


def test_routes_keep_their_order() -> None:
    settings = Settings.model_validate({
        "gitlab": {
            "url": "https://g.example/api/v4/", "token": "t", "project": 7,
            "routes": {"z": {"dag": "a*", "project": "a/b"}, "a": {"owner": "crm", "labels": ["x"], "open": False}},
        },
    })  # fmt: skip
    rules = settings.gitlab.rules
    assert [route.name for route in rules.routes] == ["z", "a"]
    assert (rules.gitlab, rules.project) == ("https://g.example", "7")


def _secrets(model: type[BaseModel], where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the way to every secret: its section, `*` for a name, and the field."""
    for name, field in model.model_fields.items():
        inner = [one for one in _walk(field.annotation) if isinstance(one, type)]
        if SecretStr in inner:
            yield (*where, name)
        named = ("p",) if dict in inner else ()
        for one in inner:
            if issubclass(one, BaseModel):
                yield from _secrets(one, (*where, name, *named))


def _walk(annotation: object) -> Iterator[object]:
    yield get_origin(annotation) or annotation
    for part in get_args(annotation):
        yield from _walk(part)


SECRETS = [*_secrets(Settings), ("store",), ("broker",)]


def test_the_walk_finds_the_secrets() -> None:
    assert {("deployments", "p", "password"), ("gitlab", "webhook_token"), ("deployments", "p", "gitlab", "token")} < {
        *SECRETS
    }


@pytest.mark.parametrize("way", SECRETS, ids=".".join)
def test_every_secret_may_come_from_a_file(way: tuple[str, ...], tmp_path: Path) -> None:
    given = {
        "proxy": "http://u:s3cret-value@h:1", "headers": "X-Key: s3cret-value", "store": "sqlite:///s3cret-value",
        "broker": "redis://:s3cret-value@h/0",
    }  # fmt: skip
    (tmp_path / "secret").write_text(given.get(way[-1], "s3cret-value") + "\n")
    environ = {
        "AIRTRIAGE_DEPLOYMENTS__P__URL": "http://a",
        f"AIRTRIAGE_{'__'.join(way).upper()}_FILE": str(tmp_path / "secret"),
    }
    if way[-1] == "password":
        environ[f"AIRTRIAGE_{'__'.join(way[:-1]).upper()}__USERNAME"] = "svc"
    if way[:3] == ("deployments", "p", "gitlab"):
        environ |= {f"AIRTRIAGE_DEPLOYMENTS__P__GITLAB__{name}": value for name, value in _GITLAB.items()}
    if way[-1] == "broker_password":
        environ["AIRTRIAGE_BROKER"] = "redis://h:6379/0"
    environ |= {f"AIRTRIAGE_GITLAB__{name}": value for name, value in _GITLAB.items()} if way[0] == "gitlab" else {}
    if way[-1] != "token" and "gitlab" in way:
        environ["AIRTRIAGE_" + "__".join((*way[:-1], "token")).upper()] = "glpat-x"
    found: object = load(environ=environ)
    for step in way:
        found = found[step] if isinstance(found, dict) else getattr(found, step)
    text = found.get_secret_value() if isinstance(found, SecretStr) else str(found)
    if isinstance(found, dict):
        text = found["X-Key"].get_secret_value()
    assert "s3cret-value" in text


_GITLAB = {"URL": "https://g.example", "PROJECT": "data/dags"}


def test_the_login_of_an_elasticsearch_when_set_reaches_the_store_and_is_masked_everywhere() -> None:
    key = base64.b64encode(b"an-id:s3cret-half-of-the-key").decode()
    settings = load(environ={"AIRTRIAGE_STORE": "https://a:9200,b/tri", "AIRTRIAGE_ELASTIC__API_KEY": key})
    assert settings.store_access.api_key == key
    for secret in (key, "s3cret-half-of-the-key"):
        assert secret not in repr(settings)
        assert secret not in repr(settings.store_access)
        assert secret not in settings.redactor.text(f"it said {secret} here")
    login = {"AIRTRIAGE_ELASTIC__USERNAME": "svc", "AIRTRIAGE_ELASTIC__PASSWORD": "s3cret-word"}
    settings = load(environ=login)
    assert (settings.store_access.user, settings.store_access.password) == ("svc", "s3cret-word")
    assert "s3cret-word" not in settings.redactor.text("401 for s3cret-word") + repr(settings.store_access)
