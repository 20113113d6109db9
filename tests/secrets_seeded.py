"""The attack set: 500 secrets, made at run time from a fixed seed, in the lines that really leak them.

Shapes come from the issuers' documentation and from the cases of other scanners, read as facts: gitleaks' rules
(config/gitleaks.toml, "gl" below), detect-secrets 1.5.0 (its plugins, "ds"), trufflehog's detectors ("th") and Airflow's
secrets masker (shared/secrets_masker and its tests, "am"). No value here is real: random characters of the documented
alphabet and length, so that nothing that looks like a key stands in this file.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

COUNT = 500
SEED = 20261125

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM = LOWER + UPPER + DIGITS
HEX = "0123456789abcdef"
BASE64 = ALNUM + "+/"
URLSAFE = ALNUM + "-_"


@dataclass(frozen=True, slots=True)
class Seeded:
    """One secret in the consecutive lines of a log; `parts` are the texts that may be nowhere afterwards."""

    kind: str
    context: str
    lines: tuple[str, ...]
    parts: tuple[str, ...]


Random = random.Random
Make = Callable[[Random], str]


def run(alphabet: str, length: int) -> Make:
    """Random characters, at least one digit and, where there are any, one letter of each case among them."""

    def make(rng: Random) -> str:
        while True:
            made = "".join(rng.choice(alphabet) for _ in range(length))
            wanted = [group for group in (LOWER, UPPER, DIGITS) if len(set(group) & set(alphabet)) > 5]
            if length < 8 or all(set(group) & set(made) for group in wanted):
                return made

    return make


def glued(*parts: str | Make) -> Make:
    return lambda rng: "".join(part if isinstance(part, str) else part(rng) for part in parts)


def jwt(rng: Random) -> str:
    """RFC 7519: three parts in base64url."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": run(HEX, 12)(rng), "exp": rng.randrange(10**9, 2 * 10**9), "aud": "warehouse"}
    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.{run(URLSAFE, 86)(rng)}"


def card(rng: Random) -> str:
    """ISO/IEC 7812: an issuer's first digits and a check digit after Luhn."""
    start, length = rng.choice([("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15), ("6011", 16)])
    digits = start + "".join(rng.choice(DIGITS) for _ in range(length - len(start) - 1))
    total = sum(int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(reversed(digits)))
    digits += str(-total % 10)
    apart = [digits[i : i + 4] for i in range(0, 16, 4)] if length == 16 else [digits[:4], digits[4:10], digits[10:]]
    return rng.choice(["", " ", "-"]).join(apart)


def password(rng: Random) -> str:
    """What people and generators make: 10 to 24 characters, with a digit, often with punctuation."""
    alphabet = rng.choice([ALNUM, ALNUM + "!#%*+-_.~^", ALNUM + "!$-_", LOWER + DIGITS])
    length = rng.randrange(10, 25)
    return rng.choice(ALNUM) + run(alphabet, length - 2)(rng) + rng.choice(ALNUM)


def hard_password(rng: Random) -> str:
    """One with the characters that URLs and shells use themselves."""
    return run(ALNUM, 5)(rng) + rng.choice(["@", "/", "#", "?", ":", "%", "&", "+"]) + run(ALNUM, 5)(rng)


# Tokens that tell themselves by their shape, wherever they stand.
TOKENS: dict[str, Make] = {
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html; gl aws-access-token, am aws_access_key
    "AWS key id": glued("AKIA", run(UPPER + "234567", 16)),
    "AWS temporary key id": glued("ASIA", run(UPPER + "234567", 16)),
    # https://cloud.google.com/docs/authentication/api-keys; gl gcp-api-key, am google_api_key
    "Google API key": glued("AIza", run(URLSAFE, 35)),
    # https://developers.google.com/identity/protocols/oauth2; th gcp
    "Google access token": glued("ya29.", run(URLSAFE, 120)),
    "Google client secret": glued("GOCSPX-", run(URLSAFE, 28)),
    # https://learn.microsoft.com/purview/sit-defn-client-secret-api-key; gl azure-ad-client-secret
    "Azure client secret": glued(run(ALNUM, 3), "8Q~", run(ALNUM + "_.~-", 31)),
    # https://docs.gitlab.com/security/tokens/#token-prefixes; gl gitlab-*, ds gitlab_token
    "GitLab personal token": glued("glpat-", run(URLSAFE, 20)),
    "GitLab routable token": glued("glpat-", run(URLSAFE, 27), ".01.", run(LOWER + DIGITS, 9)),
    "GitLab deploy token": glued("gldt-", run(URLSAFE, 20)),
    "GitLab runner token": glued("glrt-", run(URLSAFE, 20)),
    "GitLab job token": glued("glcbt-", run(HEX, 2), "_", run(URLSAFE, 20)),
    # https://github.blog/engineering/behind-githubs-new-authentication-token-formats/; gl github-*, ds github_token
    "GitHub token": glued("ghp_", run(ALNUM, 36)),
    "GitHub app token": glued("ghs_", run(ALNUM, 36)),
    "GitHub fine-grained token": glued("github_pat_", run(ALNUM, 22), "_", run(ALNUM, 59)),
    # https://api.slack.com/authentication/token-types; gl slack-*, ds slack
    "Slack bot token": glued("xoxb-", run(DIGITS, 12), "-", run(DIGITS, 13), "-", run(ALNUM, 24)),
    "Slack user token": glued("xoxp-", run(DIGITS, 12), "-", run(DIGITS, 12), "-", run(DIGITS, 13), "-", run(HEX, 32)),
    "Slack app token": glued("xapp-1-A", run(UPPER + DIGITS, 10), "-", run(DIGITS, 13), "-", run(HEX, 64)),
    "Slack webhook": glued("https://hooks.slack.com/services/T", run(UPPER + DIGITS, 9), "/B", run(UPPER + DIGITS, 9), "/", run(ALNUM, 24)),
    # https://docs.databricks.com/dev-tools/auth/pat.html; gl databricks-api-token
    "Databricks token": glued("dapi", run(HEX, 32), "-2"),
    "JWT": jwt,  # ds jwt, am jwt
    # https://docs.npmjs.com/about-access-tokens; gl npm-access-token
    "npm token": glued("npm_", run(ALNUM, 36)),
    # https://warehouse.pypa.io/development/token-scanning.html; gl pypi-upload-token, ds pypi_token
    "PyPI token": glued("pypi-AgEIcHlwaS5vcmc", run(URLSAFE, 150)),
    # https://huggingface.co/docs/hub/security-tokens; gl huggingface-access-token
    "Hugging Face token": glued("hf_", run(ALNUM, 34)),
    # https://platform.openai.com/docs/api-reference/authentication; gl openai-api-key, ds openai
    "OpenAI key": glued("sk-proj-", run(URLSAFE, 74), "T3BlbkFJ", run(URLSAFE, 74)),
    # https://docs.anthropic.com/en/api/getting-started; gl anthropic-api-key
    "Anthropic key": glued("sk-ant-api03-", run(URLSAFE, 93), "AA"),
    # https://docs.stripe.com/keys; gl stripe-access-token, ds stripe, am stripe_live_key
    "Stripe key": glued("sk_live_", run(ALNUM, 24)),
    "Stripe restricted key": glued("rk_live_", run(ALNUM, 99)),
    "Stripe webhook secret": glued("whsec_", run(ALNUM, 32)),
    # https://www.twilio.com/docs/iam/api-keys; gl twilio-api-key, ds twilio
    "Twilio key": glued("SK", run(HEX, 32)),
    # https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys; gl sendgrid-api-token, ds sendgrid
    "SendGrid key": glued("SG.", run(URLSAFE, 22), ".", run(URLSAFE, 43)),
    "card number": card,
    # https://core.telegram.org/bots/api#authorizing-your-bot; gl telegram-bot-api-token, ds telegram_token
    "Telegram token": glued(run("123456789", 10), ":AA", run(URLSAFE, 33)),
    # https://discord.com/developers/docs/reference#authentication; ds discord
    "Discord token": glued("M", run(ALNUM, 23), ".", run(URLSAFE, 6), ".", run(URLSAFE, 27)),
    "Discord webhook": glued("https://discord.com/api/webhooks/", run("123456789", 18), "/", run(URLSAFE, 68)),
    # https://developer.hashicorp.com/vault/docs/concepts/tokens; gl vault-*
    "Vault token": glued("hvs.", run(URLSAFE, 95)),
    "Terraform token": glued(run(ALNUM, 14), ".atlasv1.", run(ALNUM, 67)),  # gl hashicorp-tf-api-token
    # https://docs.digitalocean.com/reference/api/create-personal-access-token/; gl digitalocean-*
    "DigitalOcean token": glued("dop_v1_", run(HEX, 64)),
    "Mailgun key": glued("key-", run(HEX, 32)),  # gl mailgun-private-api-token
    "Mailchimp key": glued(run(HEX, 32), "-us12"),  # gl mailchimp-api-key, ds mailchimp
    "Shopify token": glued("shpat_", run(HEX, 32)),  # gl shopify-access-token
    "Square token": glued("sq0atp-", run(URLSAFE, 22)),  # gl square-access-token, ds square_oauth
    # https://jfrog.com/help/r/jfrog-platform-administration-documentation/introduction-to-api-keys; gl artifactory-api-key
    "Artifactory key": glued("AKCp", run(ALNUM, 69)),
    # https://grafana.com/docs/grafana/latest/administration/service-accounts/; gl grafana-*
    "Grafana token": glued("glsa_", run(ALNUM, 32), "_", run(HEX, 8)),
    "New Relic key": glued("NRAK-", run(UPPER + DIGITS, 27)),  # gl new-relic-user-api-key
    # https://docs.dynatrace.com/docs/dynatrace-api/basics/dynatrace-api-authentication; gl dynatrace-api-token
    "Dynatrace token": glued("dt0c01.", run(UPPER + "234567", 24), ".", run(UPPER + "234567", 64)),
    "Sentry token": glued("sntryu_", run(HEX, 64)),  # gl sentry-user-token
    "Atlassian token": glued("ATATT3", run(URLSAFE, 180), "=", run(UPPER + DIGITS, 8)),  # gl atlassian-api-token
    "Airtable token": glued("pat", run(ALNUM, 14), ".", run(HEX, 64)),  # gl airtable-personnal-access-token
    "Notion token": glued("ntn_", run(DIGITS, 11), run(ALNUM, 35)),  # gl notion-api-token
    "Linear key": glued("lin_api_", run(ALNUM, 40)),  # gl linear-api-key
    "Postman key": glued("PMAK-", run(HEX, 24), "-", run(HEX, 34)),  # gl postman-api-token
    "Pulumi token": glued("pul-", run(HEX, 40)),  # gl pulumi-api-token
    "Doppler token": glued("dp.pt.", run(ALNUM, 43)),  # gl doppler-api-token
    "PlanetScale password": glued("pscale_pw_", run(URLSAFE, 43)),  # gl planetscale-password
    "Prefect key": glued("pnu_", run(ALNUM, 36)),  # gl prefect-api-token
    "OpenShift token": glued("sha256~", run(URLSAFE, 43)),  # gl openshift-user-token
    "RubyGems key": glued("rubygems_", run(HEX, 48)),  # gl rubygems-api-token
    "age key": glued("AGE-SECRET-KEY-1", run("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),  # gl age-secret-key
}  # fmt: skip

# Values without a shape of their own: only what stands around them tells.
NAMED: dict[str, tuple[str, Make]] = {
    "password": ("DB_PASSWORD", password),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html; ds aws
    "AWS secret key": ("AWS_SECRET_ACCESS_KEY", run(BASE64, 40)),
    "AWS session token": ("AWS_SESSION_TOKEN", glued("IQoJb3JpZ2luX2Vj", run(BASE64, 340))),
    # https://learn.microsoft.com/azure/storage/common/storage-account-keys-manage; ds azure_storage_key
    "Azure storage key": ("AZURE_STORAGE_KEY", glued(run(BASE64, 86), "==")),
    # https://docs.datadoghq.com/account_management/api-app-keys/; gl datadog-access-token, th datadogtoken
    "Datadog API key": ("DD_API_KEY", run(HEX, 32)),
    "Datadog app key": ("DATADOG_APP_KEY", run(HEX, 40)),
    # https://docs.snowflake.com/developer-guide/sql-api/authenticating; th snowflake
    "Snowflake password": ("SNOWFLAKE_PASSWORD", password),
    # https://airflow.apache.org/docs/apache-airflow/stable/security/secrets/fernet.html
    "Fernet key": ("AIRFLOW__CORE__FERNET_KEY", glued(run(URLSAFE, 43), "=")),
    "Flask secret key": ("AIRFLOW__WEBSERVER__SECRET_KEY", run(HEX, 32)),
    "Twilio auth token": ("TWILIO_AUTH_TOKEN", run(HEX, 32)),
    "client secret": ("OAUTH_CLIENT_SECRET", run(URLSAFE, 40)),
    "generic API key": ("WEATHER_API_KEY", run(HEX, 32)),
    "PagerDuty token": ("PAGERDUTY_TOKEN", run(ALNUM + "+_-", 20)),
}

Context = Callable[[Random, str, str], Sequence[str]]


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _inner(name: str) -> str:
    return name.lower().rpartition("__")[2]


# Around a token of known shape (name, token): places where nothing names it, too.
AROUND_TOKENS: dict[str, Context] = {
    "bare in a sentence": lambda rng, name, it: [f"using {it} for the upload"],
    "alone on a line": lambda rng, name, it: ["the credential in use:", it, "done"],
    "end of a sentence": lambda rng, name, it: [f"could not log in with {it}."],
    "JSON": lambda rng, name, it: ['{"ok": false, "request": {"value": ' + json.dumps(it) + ', "n": 3}}'],
    "dict": lambda rng, name, it: [repr({"id": 7, "value": it, "list": [it]})],
    "env": lambda rng, name, it: [f"export MY_SETTING={it}"],
    "argument": lambda rng, name, it: [f"Running command: ['/usr/bin/env', 'tool', '{it}', '--all']"],
    "exception": lambda rng, name, it: [f"ValueError: the server refused '{it}' (attempt 3)"],
    "query": lambda rng, name, it: [f'"GET /v2/items?cursor=9&k={quote(it, safe="")}&page=2 HTTP/1.1" 401'],
    "base64": lambda rng, name, it: [f"payload: {_b64('value is ' + it)}"],
}


def _locals(rng: Random, name: str, it: str) -> list[str]:
    return [
        "Traceback (most recent call last):",
        '  File "/opt/airflow/dags/load.py", line 41, in load',
        "    connect(host, user, secret)",
        f"    {_inner(name)} = {it!r}",
        "    host = 'db.internal'",
        f"OperationalError: could not connect ({_inner(name)}={it})",
    ]


# Around a value that only its surroundings tell (name, value).
AROUND_NAMED: dict[str, Context] = {
    "env": lambda rng, name, it: ["HOME=/home/airflow", f"{name}={it}", "LANG=C.UTF-8"],
    "export": lambda rng, name, it: [f"+ export {name}='{it}'"],
    "env on one line": lambda rng, name, it: [f"{name}={it} python /opt/job.py --fast"],
    "JSON": lambda rng, name, it: [json.dumps({"host": "db", name.lower(): it, "port": 5432})],
    "escaped JSON": lambda rng, name, it: ["payload " + json.dumps(json.dumps({name.lower(): it, "x": 1}))],
    "twice escaped JSON": lambda rng, name, it: [json.dumps(json.dumps(json.dumps({name.lower(): it})))],
    "dict": lambda rng, name, it: [f"op_kwargs: {({'host': 'db', name.lower(): it})!r}"],
    "nested dict": lambda rng, name, it: [repr({"conn": {name.lower(): {"value": it, "rotated": True}, "port": 1}})],
    "list in a dict": lambda rng, name, it: [repr({name.lower(): ["first", it], "port": 1})],
    "nested JSON": lambda rng, name, it: [json.dumps({"auth": {name.lower(): {"data": {"current": it}}}})],
    "bytes in a dict": lambda rng, name, it: [repr({name.lower(): it.encode()})],
    "Kubernetes env": lambda rng, name, it: [repr({"name": name, "value": it, "value_from": None})],
    "ECS env": lambda rng, name, it: [json.dumps([{"name": name, "value": it}])],
    "YAML": lambda rng, name, it: ["database:", f"  {_inner(name)}: {it}", "  port: 5432"],
    "YAML block": lambda rng, name, it: ["database:", f"  {_inner(name)}: |", f"    {it}", "  port: 5432"],
    "YAML folded in one record": lambda rng, name, it: [f"{_inner(name)}: >-\n  {it}\nport: 1"],
    "INI": lambda rng, name, it: ["[database]", f"{_inner(name)} = {it}"],
    "properties": lambda rng, name, it: [f"spring.datasource.{_inner(name).replace('_', '-')}={it}"],
    "XML": lambda rng, name, it: [f"<{_inner(name)}>{it.replace('&', '')}</{_inner(name)}>"],
    "call": lambda rng, name, it: [f"connect(host='db', {_inner(name)}='{it}', port=1)"],
    "keyword repr": lambda rng, name, it: [f"Settings(user='etl', {_inner(name)}=SecretStr('{it}'))"],
    "option": lambda rng, name, it: [f"Running: tool --{_inner(name).replace('_', '-')} {it} --host db"],
    "option with a sign": lambda rng, name, it: [f"tool --{_inner(name).replace('_', '-')}={it} --host db"],
    "option in a list": lambda rng, name, it: [f"cmd: ['tool', '--{_inner(name).replace('_', '-')}', '{it}']"],
    "helm": lambda rng, name, it: [f"helm upgrade shop ./chart --set db.{_inner(name)}={it},db.port=1"],
    "docker": lambda rng, name, it: [f"docker run -e {name}={it} -v /a:/b image:1"],
    "header": lambda rng, name, it: [f"> X-{_inner(name).replace('_', '-').title()}: {it}"],
    "pair": lambda rng, name, it: [f"[('user', 'etl'), ('{_inner(name)}', '{it}')]"],
    "exception": lambda rng, name, it: [f"ValueError: bad settings: {_inner(name)}={it!r}, port=1"],
    "traceback with locals": _locals,
    "table": lambda rng, name, it: [f"| {_inner(name)} | {it} |"],
    "arrow": lambda rng, name, it: [f"{_inner(name)} => {it}"],
    "query": lambda rng, name, it: [f"POST https://api.example.com/v1?{_inner(name)}={quote(it, safe='')}&n=2"],
    "base64 of an env line": lambda rng, name, it: [f"echo {_b64(f'export {name}={it}')} | base64 -d"],
    "base64 of JSON": lambda rng, name, it: [f"config: {_b64(json.dumps({name.lower(): it}))}"],
    "URL-encoded form": lambda rng, name, it: [f"body: grant%3Dpassword%26{_inner(name)}%3D{quote(quote(it, safe=''), safe='')}"],
    "said": lambda rng, name, it: [f"The {_inner(name).replace('_', ' ')} is {it}"],
}  # fmt: skip


def _conn(rng: Random, it: str) -> str:
    scheme = rng.choice(
        ["postgresql+psycopg2", "mysql", "redis", "amqp", "mongodb+srv", "snowflake", "mssql+pyodbc", "sftp"]
    )
    return f"{scheme}://etl:{quote(it, safe='')}@db.internal:5432/shop"


# What only passwords stand in.
AROUND_PASSWORDS: dict[str, Context] = {
    "URI": lambda rng, name, it: [f"connecting to {_conn(rng, it)}?sslmode=require"],
    "URI without a user": lambda rng, name, it: [f"broker redis://:{quote(it, safe='')}@cache:6379/0 is away"],
    "AIRFLOW_CONN": lambda rng, name, it: [f"AIRFLOW_CONN_WAREHOUSE='{_conn(rng, it)}'"],
    "sql_alchemy_conn": lambda rng, name, it: [f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN={_conn(rng, it)}"],
    "encoded URI": lambda rng, name, it: [f"GET /connect?to={quote(_conn(rng, it), safe='')}&n=1"],
    "base64 of a URI": lambda rng, name, it: [f"uri={_b64(_conn(rng, it))}"],
    "raw URI": lambda rng, name, it: [f"mysql://root:{it}@db:3306/shop"],
    "JDBC query": lambda rng, name, it: [f"jdbc:postgresql://db:5432/shop?user=etl&password={quote(it, safe='')}&ssl=true"],
    "JDBC properties": lambda rng, name, it: [f"jdbc:sqlserver://db:1433;databaseName=shop;user=sa;password={it};encrypt=true"],
    "JDBC Oracle": lambda rng, name, it: [f"jdbc:oracle:thin:scott/{it}@//db:1521/orcl"],
    "ODBC": lambda rng, name, it: [f"DRIVER={{ODBC Driver 18}};SERVER=db;UID=sa;PWD={it};Encrypt=yes"],
    "ODBC in braces": lambda rng, name, it: [f"SERVER=db;UID=sa;PWD={{{it};x}};Encrypt=yes"],
    "libpq": lambda rng, name, it: [f"host=db port=5432 user=etl password={it} dbname=shop"],
    "pgpass": lambda rng, name, it: [f"db.internal:5432:shop:etl:{it}"],
    "netrc": lambda rng, name, it: [f"machine db.internal login etl password {it}"],
    "no sign": lambda rng, name, it: [f"logging in as etl with password {it} on db"],
    "SQL": lambda rng, name, it: [f"ALTER USER etl WITH PASSWORD '{it}';"],
    "SQL identified": lambda rng, name, it: [f"CREATE USER etl IDENTIFIED BY '{it}'"],
    "curl user": lambda rng, name, it: [f"curl -sS -u etl:{it} https://api.example.com/v1"],
    "mysql short option": lambda rng, name, it: [f"mysql -u etl -p{it} shop"],
    "sshpass": lambda rng, name, it: [f"sshpass -p {it} ssh etl@host"],
    "sqlplus": lambda rng, name, it: [f"sqlplus etl/{it}@orcl @load.sql"],
    "redis": lambda rng, name, it: [f"redis-cli -h cache -a {it} PING"],
    "PGPASSWORD": lambda rng, name, it: [f"+ PGPASSWORD={it} psql -h db"],
    "JAAS": lambda rng, name, it: [f'sasl.jaas.config=PlainLoginModule required username="etl" password="{it}";'],
    "basic header": lambda rng, name, it: [f"Authorization: Basic {_b64('etl:' + it)}"],
    "debug of a client": lambda rng, name, it: [f"send: b'GET /v1 HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Basic {_b64('etl:' + it)}\\r\\n\\r\\n'"],
    "auth tuple": lambda rng, name, it: [f"requests.get(url, auth=('etl', '{it}'), timeout=3)"],
    "connection repr": lambda rng, name, it: [f"Connection(conn_id='dwh', conn_type='postgres', login='etl', password='{it}', port=5432)"],
    "connection words": lambda rng, name, it: [f"Id: dwh. Host: db, Port: 5432, Schema: x, Login: etl, Password: {it}, extra: {{}}"],
    "connection extra": lambda rng, name, it: [f"extra: {json.dumps({'account': 'ab1', 'private_key_passphrase': it})}"],
    "docker login": lambda rng, name, it: [f"docker login -u etl -p {it} registry.example.com"],
    "docker auths": lambda rng, name, it: [json.dumps({"auths": {"r.example.com": {"auth": _b64("etl:" + it)}}})],
}  # fmt: skip


def keys(rng: Random) -> Iterator[Seeded]:
    """Private keys over several lines (RFC 7468, OpenSSH's PROTOCOL.key, RFC 9580), whole, in records, in JSON, cut."""
    for title in ("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
        rows = [run(BASE64, 70 if "OPENSSH" in title else 64)(rng) for _ in range(6)] + [run(BASE64, 31)(rng) + "="]
        begin, end = f"-----BEGIN {title}-----", f"-----END {title}-----"
        parts = tuple(rows)
        yield Seeded("private key", "line by line", ("loading", begin, *rows, end, "done"), parts)
        yield Seeded("private key", "one record", ("key:\n" + "\n".join([begin, *rows, end]) + "\nloaded",), parts)
        yield Seeded("private key", "escaped", ("PEM=" + "\\n".join([begin, *rows, end]),), parts)
        yield Seeded(
            "private key", "YAML", ("tls:", "  key: |", *(f"    {row}" for row in [begin, *rows, end]), "x: 1"), parts
        )
        account = {
            "type": "service_account",
            "private_key_id": run(HEX, 40)(rng),
            "private_key": "\n".join([begin, *rows, end, ""]),
        }
        yield Seeded("Google service account", "JSON", (json.dumps(account),), (*parts, str(account["private_key_id"])))
        yield Seeded(
            "Google service account", "dict in an exception", (f"ValueError: bad keyfile_dict {account!r}",), parts
        )
        yield Seeded("private key", "its end is missing", ("got", begin, *rows[:4]), tuple(rows[:4]))
        yield Seeded("private key", "its beginning is missing", (*rows, end, "done"), parts[:-1])
        yield Seeded(
            "private key",
            "base64 of it",
            ("KUBE_KEY=" + _b64("\n".join([begin, *rows, end])),),
            (_b64("\n".join([begin, *rows, end]))[8:60],),
        )


def signs(rng: Random) -> Iterator[Seeded]:
    """What has a place of its own: headers, cookies, signed addresses, keys of clouds in connection strings."""

    def one(kind: str, context: str, text: str, *parts: str) -> Seeded:
        return Seeded(kind, context, (text,), parts)

    # https://learn.microsoft.com/rest/api/storageservices/create-service-sas
    for _ in range(4):
        sig = quote(run(BASE64, 43)(rng) + "=", safe="")
        yield one(
            "Azure SAS",
            "URL",
            f"PUT https://a.blob.core.windows.net/c/x?sv=2024-11-04&se=2026-12-01&sr=b&sp=rw&sig={sig}",
            sig,
        )
        yield one(
            "Azure SAS", "setting", f"sas_token: sv=2024-11-04&ss=b&srt=co&sp=rwdl&sig={sig}&se=2026-12-01T00:00Z", sig
        )
        key = run(BASE64, 86)(rng) + "=="
        yield one(
            "Azure storage key",
            "connection string",
            f"DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={key};EndpointSuffix=core.windows.net",
            key,
        )
        bus = run(BASE64, 43)(rng) + "="
        yield one(
            "Azure Service Bus key",
            "connection string",
            f"Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=all;SharedAccessKey={bus};EntityPath=q",
            bus,
        )
        # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
        signed, session = run(HEX, 64)(rng), quote("IQoJb3JpZ2luX2Vj" + run(BASE64, 200)(rng), safe="")
        yield one(
            "AWS signed URL",
            "URL",
            f"https://b.s3.amazonaws.com/k?X-Amz-Expires=900&X-Amz-Security-Token={session}&X-Amz-Signature={signed}",
            signed,
            session,
        )
        # https://cloud.google.com/storage/docs/access-control/signed-urls
        goog = run(HEX, 512)(rng)
        yield one(
            "Google signed URL",
            "URL",
            f"https://storage.googleapis.com/b/o?X-Goog-Date=20261125T000000Z&X-Goog-Signature={goog}",
            goog,
        )
        secret = run(BASE64, 40)(rng)
        yield Seeded("AWS secret key", "alone on a line", ("aws credentials follow", secret, "ok"), (secret,))
        yield Seeded("AWS secret key", "beside its id", (f"creds AKIA{run(UPPER, 16)(rng)} {secret}",), (secret,))
        yield Seeded(
            "AWS secret key",
            "credentials file",
            ("[default]", f"aws_secret_access_key = {secret}", "region = eu-west-1"),
            (secret,),
        )
        cookie = run(URLSAFE, 40)(rng)
        yield one("cookie", "header", f"Cookie: theme=dark; session={cookie}; lang=en", cookie)
        yield one("cookie", "Set-Cookie", f"< Set-Cookie: _session_id={cookie}; Path=/; HttpOnly", cookie)
        yield one("cookie", "dict", repr({"Accept": "*/*", "Cookie": f"JSESSIONID={cookie}"}), cookie)
        bearer = run(URLSAFE, 40)(rng)
        yield one("bearer token", "header", f"-H 'Authorization: Bearer {bearer}'", bearer)
        yield one("bearer token", "dict", repr({"Authorization": f"Bearer {bearer}", "Accept": "*/*"}), bearer)
        yield one("bearer token", "JSON", json.dumps({"headers": {"authorization": f"token {bearer}"}}), bearer)
        yield one(
            "bearer token",
            "headers of bytes",
            repr([(b"host", b"x"), (b"authorization", f"Bearer {bearer}".encode())]),
            bearer,
        )
        yield one("bearer token", "encoded", f"next=/a%3FAuthorization%3DBearer%2520{bearer}", bearer)
        # https://docs.snowflake.com/developer-guide/python-connector
        ver = "ver:3-hint:" + run(DIGITS, 8)(rng) + "-ETMsDgAAAZ" + run(BASE64, 120)(rng)
        yield one("Snowflake session token", "header", f'Authorization: Snowflake Token="{ver}"', ver[-100:])
        oauth = run(LOWER + DIGITS, 40)(rng)
        yield one(
            "token in a URL", "git remote", f"fatal: could not read from https://{oauth}@git.example.com/a.git", oauth
        )
        okta = "00" + run(URLSAFE, 40)(rng)  # gl okta-access-token
        yield one("Okta token", "header", f"Authorization: SSWS {okta}", okta)
        npm = run(HEX, 8)(rng) + "-" + run(HEX, 27)(rng)  # ds npm
        yield one("npm token", ".npmrc", f"//registry.example.com/:_authToken={npm}", npm)


def seeded(count: int = COUNT) -> list[Seeded]:
    """Return the attack set, the same at every call; ValueError where it has fewer than `count`."""
    rng = Random(SEED)
    made = [*keys(rng), *signs(rng)]
    for number, (kind, make) in enumerate(TOKENS.items()):
        names = list(AROUND_TOKENS)
        for context in (names[(number + step) % len(names)] for step in (0, 3, 5)):
            made.append(_one(rng, kind, context, AROUND_TOKENS[context], "", make(rng)))
    for context, around in AROUND_PASSWORDS.items():
        makes = [password, password]
        makes += (
            [hard_password]
            if context in ("URI", "AIRFLOW_CONN", "encoded URI", "basic header", "base64 of a URI")
            else []
        )
        made += [_one(rng, "password", context, around, "PASSWORD", make(rng)) for make in makes]
    kinds = list(NAMED.items())
    for number, (context, around) in enumerate(AROUND_NAMED.items()):
        for step in range(4):
            kind, (name, make) = kinds[(4 * number + step) % len(kinds)]
            made.append(_one(rng, kind, context, around, name, make(rng)))
    if len(made) < count:
        raise ValueError(f"only {len(made)} secrets")
    # What comes last is as telling as what comes first: leave out evenly.
    return [made[index * len(made) // count] for index in range(count)]


def _one(rng: Random, kind: str, context: str, around: Context, name: str, secret: str) -> Seeded:
    return Seeded(kind, context, tuple(around(rng, name, secret)), (secret,))


def forms(part: str) -> list[bytes]:
    """Return what to look for: a secret as it is, quoted for a URL once and twice, in JSON, in base64 at each alignment."""
    once = quote(part, safe="")
    found = {part, once, quote(once, safe=""), json.dumps(part)[1:-1]}
    for text in (part, once):
        for before in range(3):
            size = before + len(text.encode())
            coded = base64.b64encode(b"\0" * before + text.encode()).decode()[-(-before * 8 // 6) : size * 8 // 6]
            found |= {coded, coded.replace("+", "-").replace("/", "_")} if len(coded) >= 8 else set()
    return [form.encode() for form in sorted(found)]


def leaks(part: str, *haystacks: bytes) -> bool:
    """Say whether a secret stands in any of these, in any form."""
    return any(form in haystack for form in forms(part) for haystack in haystacks)
