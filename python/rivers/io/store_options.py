"""Options of object stores: one set of names for all handlers, checked by name."""

from __future__ import annotations

import datetime as dt
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rivers._text import did_you_mean
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLIENT_OPTIONS = frozenset({
    "allow_http", "allow_invalid_certificates", "connect_timeout", "default_content_type", "http1_only",
    "http2_keep_alive_interval", "http2_keep_alive_timeout", "http2_keep_alive_while_idle", "http2_only",
    "pool_idle_timeout", "pool_max_idle_per_host", "proxy_ca_certificate", "proxy_excludes", "proxy_url",
    "timeout", "user_agent",
})  # fmt: skip
"""Options of the HTTP client, whatever the store."""

_DURATIONS = frozenset(name for name in _CLIENT_OPTIONS if name.endswith(("timeout", "interval")))

_DURATION = re.compile(r"(\d+\s*[a-zA-Z]+\s*)+")

_FLAGS = frozenset({
    "allow_http", "allow_invalid_certificates", "http1_only", "http2_keep_alive_while_idle", "http2_only",
})  # fmt: skip

_S3 = frozenset({
    "access_key_id", "bucket", "bucket_name", "checksum_algorithm", "conditional_put",
    "container_authorization_token_file", "container_credentials_full_uri",
    "container_credentials_relative_uri", "copy_if_not_exists", "default_region", "disable_bulk_delete",
    "disable_tagging", "endpoint", "endpoint_url", "imdsv1_fallback", "metadata_endpoint", "region",
    "request_payer", "role_arn", "role_session_name", "s3_express", "secret_access_key",
    "server_side_encryption", "session_token", "skip_signature", "sse_bucket_key_enabled",
    "sse_customer_key_base64", "sse_kms_key_id", "sts_endpoint", "token", "unsigned_payload",
    "virtual_hosted_style_request", "web_identity_token_file",
})  # fmt: skip
_GOOGLE = frozenset({
    "application_credentials", "base_url", "bearer_token", "bucket", "bucket_name", "service_account",
    "service_account_key", "service_account_path", "skip_signature",
})  # fmt: skip
_AZURE = frozenset({
    "access_key", "account_key", "account_name", "authority_host", "authority_id", "bearer_token",
    "client_id", "client_secret", "container_name", "disable_tagging", "encryption_key", "endpoint",
    "fabric_cluster_identifier", "fabric_session_token", "fabric_token_service_url",
    "fabric_workload_host", "federated_token_file", "msi_endpoint", "msi_resource_id", "object_id",
    "sas_key", "sas_token", "skip_signature", "tenant_id", "token", "use_azure_cli", "use_emulator",
    "use_fabric_endpoint",
})  # fmt: skip

_DELTA_OPTIONS = frozenset(
    {
        "allow_unsafe_rename",
        "s3_allow_unsafe_rename",
        "s3_locking_provider",
        "delta_dynamo_table_name",
    }
)
"""Options of the commits of Delta tables, which the other handlers have no use for."""

_AWS, _GCP, _AZ = ("aws_",), ("google_", "gcs_"), ("azure_storage_", "azure_")
_SCHEMES = {
    "s3": (_S3, _AWS), "s3a": (_S3, _AWS), "gs": (_GOOGLE, _GCP), "az": (_AZURE, _AZ),
    "adl": (_AZURE, _AZ), "azure": (_AZURE, _AZ), "abfs": (_AZURE, _AZ), "abfss": (_AZURE, _AZ),
}  # fmt: skip
"""The options of the store, by the URL's scheme, and what their names may begin with."""


class StoreOptions:
    """The options of the store of a URL, in the parts that libraries want them in.

    Names are accepted in any case and with the store's prefix: `allow_http`, `AWS_ALLOW_HTTP`. Values
    may be texts, booleans, numbers and, where they are durations, `timedelta`s or seconds.

    Attributes:
        client: Options of the HTTP client, by their plain names.
        store: Options of the store.

    Raises:
        ConfigurationError: If a name or a value is no option's, or an endpoint is no URL.
    """

    def __init__(self, url: str, given: Mapping[str, Any] | None) -> None:
        known, prefixes = _SCHEMES.get(urlsplit(url).scheme, (frozenset[str](), ()))
        self.client: dict[str, str] = {}
        self.store: dict[str, str] = {}
        self._delta: dict[str, str] = {}
        for key, value in (given or {}).items():
            name = _plain(key, prefixes)
            if name in _CLIENT_OPTIONS:
                self.client[name] = _text(key, value, name)
            elif name in known:
                self.store[name] = _text(key, value)
            elif name in _DELTA_OPTIONS and "aws_" in prefixes:
                self._delta[key] = _text(key, value)
            else:
                advice = did_you_mean(name, _CLIENT_OPTIONS | known)
                msg = f"the storage option {key!r} is not valid for stores like {url!r}{advice}"
                raise ConfigurationError(msg)
        if "aws_" in prefixes and "allow_http" not in self.client:
            inherited = os.environ.get("AWS_ALLOW_HTTP")
            self.client |= {} if inherited is None else {"allow_http": inherited}
        for name in ("endpoint", "endpoint_url"):
            if name in self.store:
                self._check_endpoint(name, self.store[name])

    def for_delta(self) -> dict[str, str] | None:
        """All options, as `deltalake` and Polars take them; None if there are none."""
        return {**self.client, **self.store, **self._delta} or None

    def _check_endpoint(self, name: str, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc or " " in endpoint:
            msg = (
                f"the storage option {name!r} must be a URL such as 'http://localhost:9000', got "
                f"{endpoint!r}"
            )
            raise ConfigurationError(msg)
        if parts.scheme == "http" and self.client.get("allow_http", "").lower() != "true":
            msg = (
                f"the storage option {name!r} is {endpoint!r}, which is not encrypted; if that is "
                "intended, add 'allow_http': 'true' to storage_options"
            )
            raise ConfigurationError(msg)


def _plain(key: str, prefixes: tuple[str, ...]) -> str:
    """Return an option's name in lower case, without the store's prefix."""
    if not isinstance(key, str):
        msg = f"names of storage options must be texts, got {key!r}"
        raise ConfigurationError(msg)
    name = key.lower()
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name


def _text(key: str, value: object, name: str = "") -> str:
    """Return an option's value as text, which is what all libraries take.

    Args:
        key: The option's name as it was given.
        value: Its value.
        name: Its plain name, if it is an option of the HTTP client.

    Raises:
        ConfigurationError: If the value is of a wrong type, or no boolean or duration where the option
            is one.
    """
    kinds = "a text, a boolean or a number"
    if name in _DURATIONS:
        kinds = "a text, a number of seconds or a timedelta"
        if isinstance(value, dt.timedelta):
            value = value.total_seconds()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{round(value * 1000)}ms"
        if isinstance(value, str | bool) and not _DURATION.fullmatch(str(value).strip()):
            msg = f"the storage option {key!r} must be a duration such as '30s', got {value!r}"
            raise ConfigurationError(msg)
    text = str(value).lower() if isinstance(value, bool) else value
    if isinstance(text, int | float):
        text = str(text)
    if not isinstance(text, str):
        msg = f"the storage option {key!r} must be {kinds}, got {value!r}"
        raise ConfigurationError(msg)
    if name in _FLAGS:
        text = text.lower()
        if text not in ("true", "false"):
            msg = f"the storage option {key!r} must be true or false, got {value!r}"
            raise ConfigurationError(msg)
    return text
