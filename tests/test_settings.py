"""Settings: where they come from, and the sentence for each mistake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from triage.errors import SettingsError
from triage.settings import Deployment, Settings, Web, load


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
        ({"DEPLOYMENTS__P__URL": "airflow:8080"}, r"deployments\.p\.url is wrong.*not an http"),
        (
            {"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__POLL": "often"},
            r"deployments\.p\.poll is wrong.*time span",
        ),
        ({"DEPLOYMENTS__P__URL": "http://a", "DEPLOYMENTS__P__POLL": "0"}, r"longer than nothing"),
        ({"DEPLOYMENTS__My Prod__URL": "http://a"}, r"no good name"),
        ({"WEB__PORT": "99999"}, r"web\.port is wrong"),
        ({"STORE": "somewhere"}, r"store is wrong.*not a URL"),
        ({"STORE": "sqlite://"}, r"store is wrong.*not a URL"),
        ({"BROKER": "filesystem://"}, r"broker is wrong.*not a URL"),
        ({"BROKER": "redis:sekret@host"}, r"broker is wrong.*not a URL"),
        ({"BROKER": "redis://host:abc/0"}, r"broker is wrong.*port"),
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
        ({"STORE": "sqlite:///x", "STORE__X": "1"}, r"STORE__X sets a part of 'store'"),
    ],
)
def test_a_mistake_gets_one_sentence_that_names_the_field(
    environ: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=says) as caught:
        load(environ={f"AIRTRIAGE_{name}": value for name, value in environ.items()})
    assert "\n" not in str(caught.value)
    assert "sekret" not in str(caught.value)


def test_a_variable_wins_over_a_secret_s_file_and_lists_are_separated_by_commas(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file")
    file = tmp_path / "airtriage.toml"
    file.write_text(f'[deployments.p]\nurl = "http://a"\npassword_file = "{tmp_path / "secret"}"\n')
    settings = load(
        str(file), {"AIRTRIAGE_DEPLOYMENTS__P__PASSWORD": "from a variable", "AIRTRIAGE_WEB__ALLOWED_HOSTS": "a, b"}
    )
    assert settings.deployments["p"].password.get_secret_value() == "from a variable"
    assert settings.web.allowed_hosts == ("a", "b")


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
