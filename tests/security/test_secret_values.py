"""Settings name secrets, nobody prints them: neither errors, nor representations, nor the log."""

from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace

import pytest
import structlog

from scada.core import secret_values
from scada.core.errors import ConfigError, SecurityError
from scada.core.log import configure_logging
from scada.core.secret_values import reveal, use_source
from scada.core.settings import parse_settings
from scada.history.connection import ArchiveDownError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.mqtt.parameters import MqttParameters
from scada.protocols.opcua.security import read_login
from scada.security.secrets_store import SecretStore

WORD = "Xk9-very-secret"


@pytest.fixture
def store(tmp_path, monkeypatch):
    for name in ("SCADA_SECRETS_KEY", "SCADA_KEY_PASSWORD", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(secret_values, "_sources", [])
    kept = SecretStore(tmp_path)
    kept.set("word", WORD)
    kept.set("user", f"wang:{WORD}")
    use_source(kept.get)
    return kept


@pytest.fixture
def logged(monkeypatch):
    """The server's own way to write a log line, into a string."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("debug", "json")
    handler = root.handlers[0]
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()
    return SimpleNamespace(handlers=[handler], stream=stream)


def spec(**params):
    return ChannelSpec(0, "m", "broker", "mqtt", "127.0.0.1", 1883, "s", params=params)


def test_what_is_no_name_stands_for_itself(store):
    assert reveal("plain", "here") == "plain"
    assert reveal("secret:word", "here") == WORD


def test_a_name_that_is_not_there(store):
    with pytest.raises(ConfigError, match=r"\[history\] dsn: secret:gone: no secret 'gone'"):
        reveal("secret:gone", "[history] dsn")
    use_source(None)
    with pytest.raises(ConfigError, match="only a server has secrets"):
        reveal("secret:word", "here")


def test_mqtt_takes_the_name_of_a_secret_and_no_password(store):
    parameters = MqttParameters.of(spec(username="scada", password="secret:word"))
    assert parameters.known_password("broker") == WORD
    assert WORD not in repr(parameters)
    with pytest.raises(ConfigError, match="does not belong into settings") as caught:
        MqttParameters.of(spec(username="scada", password=WORD))
    assert WORD not in str(caught.value)


def test_opcua_logs_in_by_a_secret(store):
    login = read_login("secret:user")
    assert (login.user, login.password) == ("wang", WORD)
    assert WORD not in repr(login)
    with pytest.raises(SecurityError, match="must be user:password") as caught:
        read_login("secret:word")
    assert WORD not in str(caught.value)
    with pytest.raises(SecurityError, match="no secret 'gone'"):
        read_login("secret:gone")


def test_a_name_is_no_path(tmp_path):
    settings = parse_settings({"channels": {"a": {"params": {"credentials": "secret:a", "tls_ca": "ca.pem"}}}}, base=tmp_path)
    assert settings.channels["a"].params == {"credentials": "secret:a", "tls_ca": str(tmp_path / "ca.pem")}


@pytest.mark.parametrize("dsn", ["host=127.0.0.1 port=1 user=scada password=secret:word", "secret:dsn"])
def test_a_database_that_refuses_says_nothing_of_its_password(store, dsn, logged):
    driver = pytest.importorskip("scada.history.driver")
    store.set("dsn", f"host=127.0.0.1 port=1 user=scada password={WORD}")
    parameters, shown = driver.parse_dsn(dsn)
    assert parameters["password"] == WORD
    assert WORD not in shown
    with pytest.raises(ArchiveDownError) as caught:
        driver.PsycopgConnection(dsn)
    log = logging.getLogger("history")
    log.handlers[:] = logged.handlers
    log.error("%s", caught.value, exc_info=caught.value)
    text = logged.stream.getvalue()
    assert "Traceback" in text
    assert "127.0.0.1" in text
    assert WORD not in text


def test_a_broken_connection_string_is_not_repeated(store):
    driver = pytest.importorskip("scada.history.driver")
    store.set("dsn", f"host=127.0.0.1 password='{WORD}")
    with pytest.raises(ConfigError) as caught:
        driver.parse_dsn("secret:dsn")
    assert WORD not in str(caught.value)
    assert caught.value.__cause__ is None
