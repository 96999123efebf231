"""Handlers over a real S3 API, served on loopback; and the options of object stores."""

import datetime as dt
import pickle
import time
import urllib.request
from hashlib import sha256

import polars as pl
import pytest
from tests.io.contexts import loading, multi, storing
from tests.support import keys

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError
from rivers.io.store_options import StoreOptions

FRAME = pl.DataFrame({"k": ["a", "b"], "x": [1, 2]})
HANDLERS = {
    "pickle": rs.PickleIOHandler,
    "parquet": lambda url, **options: rs.ParquetIOHandler(url, "k", **options),
    "delta": lambda url, **options: rs.DeltaIOHandler(url, "k", **options),
}
KINDS = pytest.mark.parametrize("kind", HANDLERS)
SECRETS = {"access_key_id": "id", "secret_access_key": "secret", "region": "us-east-1"}


@pytest.fixture(scope="session")
def endpoint():
    """The URL of an S3 server in this process, with the bucket `bucket`."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    made = urllib.request.Request(f"{url}/bucket", method="PUT")
    urllib.request.urlopen(made, timeout=10).close()
    yield url
    server.stop()


@pytest.fixture
def options(endpoint):
    return {**SECRETS, "endpoint": endpoint, "allow_http": "true"}


@pytest.fixture
def url(request):
    return f"s3://bucket/{request.node.name.translate(str.maketrans('[]', '--'))}"


@KINDS
def test_values_are_stored_loaded_replaced_and_removed(kind, url, options):
    handler = HANDLERS[kind](url, storage_options=options)
    a, b, c = keys("a", "b", "c")
    handler.handle_output(storing(a, b), {"a": FRAME[:1], "b": FRAME[1:]})
    assert handler.load_input(loading(b, a, type_hint=pl.DataFrame)).rows() == [("b", 2), ("a", 1)]
    handler.handle_output(storing(b), None)
    assert handler.load_input(loading(b)) is None
    assert handler.load_input(loading(a)).rows() == [("a", 1)]
    handler.handle_output(storing(), FRAME)
    assert handler.load_input(loading()).sort("k").equals(FRAME)
    if kind != "delta":
        with pytest.raises(ExecutionError, match=r"nothing is stored.*'c'"):
            handler.load_input(loading(c))
    with pytest.raises(ExecutionError, match="nothing is stored"):
        handler.load_input(loading(asset="other"))


@KINDS
def test_unusual_keys_are_kept(kind, url, options):
    handler = HANDLERS[kind](url, storage_options=options)
    texts = ["US", "us", "é %2F/x", "__HIVE_DEFAULT_PARTITION__", "con", "a'b"]
    for text in texts:
        handler.handle_output(storing(*keys(text)), pl.DataFrame({"k": [text]}))
    for text in texts:
        assert handler.load_input(loading(*keys(text)))["k"].to_list() == [text]


def test_a_lazy_frame_reads_objects_when_it_is_collected(url, options, monkeypatch):
    handler = rs.ParquetIOHandler(url, storage_options=options, prefix="v1")
    run = keys("us", "US", "é %2F", "con")
    value = {key.key[0]: pl.DataFrame({"x": [at]}) for at, key in enumerate(run)}
    handler.handle_output(storing(*run), {**value, "con": pl.DataFrame({"x": [3.5]})})
    monkeypatch.setattr("obstore.get", lambda *_: pytest.fail("an object was fetched"))
    lazy = handler.load_input(loading(*run, type_hint=pl.LazyFrame))
    assert lazy.collect()["x"].to_list() == [0, 1, 2, 3.5]


def test_a_prefix_is_below_that_of_the_url(url, options):
    one = rs.PickleIOHandler(url, prefix="v1", storage_options=options)
    other = rs.PickleIOHandler(f"{url}/v1", storage_options=options)
    one.handle_output(storing(*multi(("1", "us"))), 5)
    assert other.load_input(loading(*multi(("1", "us")))) == 5


@KINDS
@pytest.mark.parametrize(
    "spelled",
    [
        {"AWS_ENDPOINT_URL": "endpoint", "AWS_ALLOW_HTTP": "TRUE", "AWS_REGION": "us-east-1"},
        {"aws_endpoint": "endpoint", "allow_http": True, "timeout": "10s", "connect_timeout": 5},
        {"endpoint_url": "endpoint", "allow_http": "true", "virtual_hosted_style_request": False},
        {"endpoint": "endpoint", "allow_http": True, "timeout": dt.timedelta(seconds=9)},
    ],
)
def test_every_handler_takes_the_same_spellings(kind, url, endpoint, spelled):
    given = {name: endpoint if value == "endpoint" else value for name, value in spelled.items()}
    secrets = {
        name: value for name, value in SECRETS.items() if name != "region" or len(spelled) > 3
    }
    secrets.setdefault("default_region", "us-east-1")
    handler = HANDLERS[kind](url, storage_options={**secrets, **given})
    handler.handle_output(storing(), FRAME)
    assert pickle.loads(pickle.dumps(handler)).load_input(loading()).sort("k").equals(FRAME)


@KINDS
def test_allow_http_may_come_from_the_environment(kind, url, options, monkeypatch):
    del options["allow_http"]
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    HANDLERS[kind](url, storage_options=options).handle_output(storing(), FRAME)


@KINDS
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"allow_htttp": "true"}, "'allow_htttp' is not valid.*did you mean 'allow_http'"),
        ({"aws_regoin": "x"}, "'aws_regoin' is not valid.*'region'"),
        ({"endpoint": "not a url"}, "'endpoint' must be a URL"),
        ({"endpoint": "http://"}, "'endpoint' must be a URL"),
        ({"endpoint": "http://localhost:1"}, "'endpoint' is .*add 'allow_http'"),
        ({"timeout": "soon"}, "'timeout'.*'soon'"),
        ({"timeout": object()}, "'timeout' must be a text, a number of seconds or a timedelta"),
        ({"connect_timeout": True}, "'connect_timeout' must be"),
        ({"allow_http": "maybe"}, "'allow_http' must be true or false"),
        ({"region": ["x"]}, "'region' must be a text"),
        ({"account_name": "x"}, "'account_name' is not valid for stores like 's3:"),
        ({3: "x"}, "3"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(kind, given, named, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    with pytest.raises(ConfigurationError, match=named):
        HANDLERS[kind]("s3://bucket/x", storage_options=given)


@KINDS
@pytest.mark.parametrize("url", ["s3://", "foo://x", "s3://bucket name/x"])
def test_a_wrong_url_is_an_exception_and_no_panic(kind, url):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        HANDLERS[kind](url, storage_options=None).handle_output(storing(), FRAME)
    assert isinstance(caught.value, Exception)


@pytest.mark.parametrize("kind", ["pickle", "parquet"])
def test_a_panic_of_the_library_is_an_error_of_ours(kind, monkeypatch, url, options):
    class PanicException(BaseException):
        pass

    def panics(*_arguments, **_options):
        raise PanicException("invalid")

    handler = HANDLERS[kind](url, storage_options=options)
    monkeypatch.setattr("obstore.put", panics)
    with pytest.raises(ExecutionError, match="invalid"):
        handler.handle_output(storing(), FRAME)
    monkeypatch.setattr("obstore.store.from_url", panics)
    with pytest.raises(ConfigurationError, match="invalid"):
        HANDLERS[kind](url, storage_options=options)


def test_options_are_given_to_deltalake_under_the_same_names():
    given = {
        "AWS_S3_ALLOW_UNSAFE_RENAME": True,
        "Allow_HTTP": True,
        "timeout": 1.5,
        "AWS_REGION": "x",
    }
    assert StoreOptions("s3://bucket", given).for_delta() == {
        "allow_http": "true",
        "timeout": "1500ms",
        "region": "x",
        "AWS_S3_ALLOW_UNSAFE_RENAME": "true",
    }
    assert StoreOptions("s3://bucket", given).client == {"allow_http": "true", "timeout": "1500ms"}


@pytest.mark.parametrize(
    ("url", "given", "store"),
    [
        ("gs://bucket", {"GOOGLE_SERVICE_ACCOUNT": "x"}, {"service_account": "x"}),
        ("az://box", {"AZURE_STORAGE_ACCOUNT_NAME": "x", "use_emulator": True},
         {"account_name": "x", "use_emulator": "true"}),
        ("abfss://box@account", {"azure_tenant_id": "x"}, {"tenant_id": "x"}),
    ],
)  # fmt: skip
def test_other_stores_have_options_of_their_own(url, given, store):
    assert StoreOptions(url, given).store == store


@KINDS
@pytest.mark.parametrize("prefix", ["run=5", "My Data", "k=5/jörg"])
@pytest.mark.parametrize("asset", ["a", "daily sales"])
def test_any_prefix_and_any_asset(kind, prefix, asset, url, options):
    place = f"s3://bucket/{sha256(url.encode()).hexdigest()}/{prefix}"
    handler = HANDLERS[kind](place, storage_options=options)
    a, b = keys("a", "b / c")
    for key in (a, b):
        handler.handle_output(storing(key, asset=asset), pl.DataFrame({"k": key.key, "x": [1]}))
    assert handler.load_input(loading(b, asset=asset))["k"].to_list() == ["b / c"]
    if kind != "pickle":
        wanted = loading(a, b, asset=asset, type_hint=pl.LazyFrame)
        assert handler.load_input(wanted).collect()["k"].to_list() == ["a", "b / c"]


@pytest.mark.parametrize("kind", ["pickle", "parquet"])
def test_only_older_objects_are_removed(kind, url, options):
    handler = HANDLERS[kind](url, storage_options=options)
    (a,) = keys("a")
    handler.handle_output(storing(a), FRAME[:1])
    handler._note_no_value(storing(a), 60)
    assert handler.load_input(loading(a)).equals(FRAME[:1])
    time.sleep(2.1)  # S3 has times in seconds.
    handler._note_no_value(storing(a), 0)
    with pytest.raises(ExecutionError, match="nothing is stored"):
        handler.load_input(loading(a))
