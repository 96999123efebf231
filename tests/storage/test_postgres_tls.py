"""Encryption of a storage in a server: against a server with a certificate of a test's own authority."""

import datetime as dt
import os
import shutil
import subprocess
import sys
from urllib.parse import quote

import pytest
import trustme
from tests.postgres_server import OWNER, Server, server_folder, system_binaries

import rivers as rs
from rivers.exceptions import ConfigurationError, RiversError, StorageError

HBA = """
local all all trust
hostssl certain all 127.0.0.1/32 cert map=clients
hostssl all all 127.0.0.1/32 scram-sha-256
hostnossl plain all 127.0.0.1/32 scram-sha-256
"""
PASSWORD = "s3:cr@t/?"  # What a URL would have to escape.
NOW = dt.datetime.now(dt.UTC)


class Certified:
    """A server with TLS, and the files that clients need."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        for name in ("authority", "stranger"):
            getattr(self, name).cert_pem.write_to_path(folder / f"{name}.pem")
        client = self.authority.issue_cert(common_name="someone")
        self.write("client", client)
        self.write("other", self.stranger.issue_cert(common_name="someone"))

    def write(self, name, certificate):
        for chain, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(self.folder / f"{name}.pem", append=chain > 0)
        certificate.private_key_pem.write_to_path(self.folder / f"{name}.key")

    def use(self, *names, **options):
        """Lets the server show another certificate."""
        self.write("server", self.authority.issue_cert(*names, **options))
        for suffix in ("pem", "key"):
            copy = self.server.data / f"server.{suffix}"
            shutil.copy(self.folder / f"server.{suffix}", copy)
            copy.chmod(0o600)
            if OWNER is not None:
                shutil.chown(copy, OWNER, OWNER)
        self.server.sql("SELECT pg_reload_conf()")

    def url(self, mode, *, host="localhost", database="postgres", password=PASSWORD, **options):
        options = {"sslmode": mode, "connect_timeout": 5, **options}
        query = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
        secret = quote(password, safe="")
        return f"postgresql://rivers:{secret}@{host}:{self.server.port}/{database}?{query}"

    def file(self, name):
        return self.folder / name


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    with server_folder() as folder:
        server = Server(folder, system_binaries())
        server.initialize("-A", "trust")
        files = Certified(server, tmp_path_factory.mktemp("certificates"))
        shutil.copy(files.file("authority.pem"), server.data / "authority.pem")
        (server.data / "pg_hba.conf").write_text(HBA)
        (server.data / "pg_ident.conf").write_text("clients someone rivers\n")
        server.start()
        try:
            files.use("localhost", "127.0.0.1")
            server.sql("ALTER SYSTEM SET ssl_cert_file = 'server.pem'")
            server.sql("ALTER SYSTEM SET ssl_ca_file = 'authority.pem'")
            server.sql("ALTER SYSTEM SET ssl = on")
            quoted = PASSWORD.replace("'", "''")
            server.sql(f"ALTER ROLE rivers PASSWORD '{quoted}'")
            for database in ("plain", "certain"):
                server.sql(f"CREATE DATABASE {database}")
            server.sql("SELECT pg_reload_conf()")
            yield files
        finally:
            server.stop()


@pytest.fixture(autouse=True)
def _good_certificate(certified):
    yield
    certified.use("localhost", "127.0.0.1")


def is_encrypted(certified, url):
    """Whether the connections of an open storage are encrypted."""
    storage = rs.Storage.postgres(url)
    storage.num_backfills()
    sql = """SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE application_name = 'rivers'"""
    found = certified.server.sql(sql).split()
    del storage
    assert len(found) == 1, found
    return found == ["t"]


@pytest.mark.parametrize(
    ("mode", "with_root", "database", "encrypted"),
    [
        ("prefer", False, "postgres", True),
        ("prefer", False, "plain", False),
        ("disable", False, "plain", False),
        ("require", False, "postgres", True),
        ("require", True, "postgres", True),
        ("verify-ca", True, "postgres", True),
        ("verify-full", True, "postgres", True),
    ],
)
def test_each_mode_connects_where_it_may(certified, mode, with_root, database, encrypted):
    if database == "plain":
        certified.server.sql("ALTER SYSTEM SET ssl = off")
        certified.server.sql("SELECT pg_reload_conf()")
    try:
        root = {"sslrootcert": certified.file("authority.pem")} if with_root else {}
        assert is_encrypted(certified, certified.url(mode, database=database, **root)) is encrypted
    finally:
        certified.server.sql("ALTER SYSTEM SET ssl = on")
        certified.server.sql("SELECT pg_reload_conf()")


def test_a_name_that_is_not_the_certificates_matters_to_verify_full_alone(certified):
    certified.use("db.example.com")
    root = {"sslrootcert": certified.file("authority.pem")}
    assert is_encrypted(certified, certified.url("verify-ca", **root))
    with pytest.raises(StorageError, match=r"not valid for.*localhost") as refused:
        rs.Storage.postgres(certified.url("verify-full", **root))
    assert "db.example.com" in str(refused.value)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_an_unknown_authority_is_refused(certified, mode):
    url = certified.url(mode, sslrootcert=certified.file("stranger.pem"))
    with pytest.raises(StorageError, match=r"unknown authority.*sslrootcert") as refused:
        rs.Storage.postgres(url)
    assert_hidden(refused.value)


def test_the_systems_authorities_are_used_without_a_file(certified, monkeypatch):
    with pytest.raises(StorageError, match="unknown authority"):
        rs.Storage.postgres(certified.url("verify-full"))
    # What OpenSSL's programs look at, too.
    monkeypatch.setenv("SSL_CERT_FILE", str(certified.file("authority.pem")))
    for root in ({}, {"sslrootcert": "system"}):
        assert is_encrypted(certified, certified.url("verify-full", **root))


def test_a_certificate_that_has_expired_is_refused(certified):
    certified.use(
        "localhost", not_before=NOW - dt.timedelta(days=9), not_after=NOW - dt.timedelta(days=2)
    )
    root = {"sslrootcert": certified.file("authority.pem")}
    for mode in ("verify-ca", "verify-full"):
        with pytest.raises(StorageError, match="expired") as refused:
            rs.Storage.postgres(certified.url(mode, **root))
        assert_hidden(refused.value)
    assert is_encrypted(certified, certified.url("require"))


def test_a_server_without_tls_is_refused_where_it_is_required(certified):
    certified.server.sql("ALTER SYSTEM SET ssl = off")
    certified.server.sql("SELECT pg_reload_conf()")
    try:
        with pytest.raises(StorageError, match="does not support TLS"):
            rs.Storage.postgres(certified.url("require", database="plain"))
    finally:
        certified.server.sql("ALTER SYSTEM SET ssl = on")
        certified.server.sql("SELECT pg_reload_conf()")


def test_a_server_that_requires_tls_refuses_a_plain_connection(certified):
    with pytest.raises(StorageError, match=r"no encryption") as refused:
        rs.Storage.postgres(certified.url("disable"))
    assert_hidden(refused.value)


def test_a_wrong_password_is_refused_at_once(certified):
    with pytest.raises(StorageError, match="password authentication failed") as refused:
        rs.Storage.postgres(certified.url("require", password="wr0ng"))
    assert "wr0ng" not in str(refused.value)


def test_a_clients_certificate_stands_for_a_password(certified):
    files = {"sslcert": certified.file("client.pem"), "sslkey": certified.file("client.key")}
    root = {"sslrootcert": certified.file("authority.pem")}
    certain = {"database": "certain", "password": "", **root}
    assert is_encrypted(certified, certified.url("verify-full", **certain, **files))
    with pytest.raises(StorageError, match="certificate"):
        rs.Storage.postgres(certified.url("verify-full", **certain))
    other = {"sslcert": certified.file("other.pem"), "sslkey": certified.file("other.key")}
    with pytest.raises(StorageError, match=r"certificate"):
        rs.Storage.postgres(certified.url("verify-full", **certain, **other))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sslrootcert": "/nowhere.pem"}, "/nowhere.pem"),
        ({"sslrootcert": "{folder}/client.key"}, "no certificate"),
        ({"sslcert": "{folder}/client.pem"}, "both sslcert and sslkey"),
        ({"sslkey": "{folder}/client.key"}, "both sslcert and sslkey"),
        ({"sslcert": "{folder}/client.pem", "sslkey": "{folder}/client.pem"}, "client.pem"),
        ({"sslcert": "{folder}/client.pem", "sslkey": "{folder}/other.key"}, "sslkey|key"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(certified, options, said):
    options = {name: value.format(folder=certified.folder) for name, value in options.items()}
    with pytest.raises(ConfigurationError, match=said) as refused:
        rs.Storage.postgres(certified.url("verify-full", **options))
    assert_hidden(refused.value)


def test_an_unknown_mode_is_refused_with_those_there_are(certified):
    with pytest.raises(ConfigurationError, match=r"disable, prefer, require, verify-ca or verify-"):
        rs.Storage.postgres(certified.url("verify"))


def test_commands_show_no_password(certified, tmp_path):
    """Neither in what they print, nor in their arguments, nor in a log."""
    good, wrong = certified.url("require"), certified.url("require", database="nowhere")
    away = good.replace(f":{certified.server.port}", ":1")
    every = (["list"], ["db", "check"], ["db", "migrate"], ["status", "latest"])
    calls = [(good, words) for words in every] + [(url, ["list"]) for url in (wrong, away)]
    calls.append((None, ["list", "--storage", good]))
    for url, words in calls:
        environment = os.environ if url is None else {**os.environ, "RIVERS_STORAGE": url}
        done = subprocess.run(
            [sys.executable, "-m", "rivers", *words], cwd=tmp_path, capture_output=True,
            text=True, check=False, env=environment,
        )  # fmt: skip
        assert_hidden(done.stdout + done.stderr)
        assert done.returncode == 0 or "rivers@localhost" in done.stderr, done


def assert_hidden(shown):
    if isinstance(shown, RiversError):
        shown = f"{shown!r} {shown} {shown.__cause__!r}"
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "s3", "cr%40t", "cr@t"):
        assert secret not in shown, shown
