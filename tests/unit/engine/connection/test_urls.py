"""Redis addresses: URLs with redis-py's options, and arq's settings."""

from typing import Any

import pytest
from arq.connections import RedisSettings
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from jobs.engine.connection.urls import MAX_CONNECTIONS, Address, SentinelPool
from jobs.engine.queue.servers import QueueUrls
from jobs.errors import UsageError
from jobs.settings import Settings

SENTINELS = [("one", 26379), ("two", 7), ("::1", 8)]


def connection_of(redis: str | RedisSettings) -> Any:
    return connection_from(Address.of(redis).connections())


def connection_from(pool: ConnectionPool) -> Any:
    return pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py


def test_url_options_reach_the_connection() -> None:
    url = "rediss://me:p%2Fw@host:7/3?ssl_check_hostname=yes&client_name=x&socket_timeout=5"
    connection = connection_of(f"{url}&health_check_interval=30")
    assert isinstance(connection, SSLConnection)
    assert (connection.host, connection.port, connection.db) == ("host", 7, 3)
    assert (connection.username, connection.password) == ("me", "p/w")
    assert (connection.client_name, connection.socket_timeout) == ("x", 5)
    assert connection.health_check_interval == 30
    assert connection.check_hostname


def test_pool_blocks_when_all_connections_are_in_use() -> None:
    pool = Address.of("redis://host").connections()
    assert isinstance(pool, BlockingConnectionPool)
    assert (pool.max_connections, pool.timeout) == (MAX_CONNECTIONS, None)
    assert Address.of("redis://host?max_connections=3").connections().max_connections == 3


def test_unix_url_gives_a_socket_connection() -> None:
    connection = connection_of("unix://me:pw@/run/redis.sock?db=2")
    assert isinstance(connection, UnixDomainSocketConnection)
    assert (connection.path, connection.db, connection.password) == ("/run/redis.sock", 2, "pw")


def test_sentinel_url_gives_a_sentinel_pool() -> None:
    url = "redis+sentinel://me:p%2Fw@one,two:7,[::1]:8/calls/3?sentinel_password=s&client_name=x"
    pool = Address.of(url).connections()
    assert isinstance(pool, SentinelPool)
    assert pool.service_name == "calls"
    clients = pool.sentinel_manager.sentinels
    options = [client.connection_pool.connection_kwargs for client in clients]
    assert [(option["host"], option["port"]) for option in options] == SENTINELS
    assert {option["password"] for option in options} == {"s"}
    assert {option["socket_timeout"] for option in options} == {1.0}
    connection = connection_from(pool)
    assert isinstance(connection, SentinelManagedConnection)
    assert (connection.username, connection.password) == ("me", "p/w")
    assert (connection.db, connection.client_name) == (3, "x")
    assert connection.socket_timeout == 10


def test_sentinel_connections_use_tls_with_their_own_options() -> None:
    options = "ssl_ca_certs=/ca.pem&sentinel_ssl_ca_certs=/other.pem&ssl_certfile=/me.pem"
    pool = Address.of(f"rediss+sentinel://one/calls?{options}").connections()
    assert isinstance(pool, SentinelPool)
    connection = connection_from(pool)
    assert isinstance(connection, SentinelManagedSSLConnection)
    assert (connection.ca_certs, connection.certfile) == ("/ca.pem", "/me.pem")
    (sentinel,) = pool.sentinel_manager.sentinels
    to_sentinel = connection_from(sentinel.connection_pool)
    assert isinstance(to_sentinel, SSLConnection)
    assert (to_sentinel.ca_certs, to_sentinel.certfile) == ("/other.pem", "/me.pem")


def test_arq_settings_keep_their_options() -> None:
    connection = connection_of(
        RedisSettings("host", 7, database=3, ssl=True, ssl_ca_certs="/ca.pem", conn_timeout=4)
    )
    assert isinstance(connection, SSLConnection)
    assert (connection.host, connection.port, connection.db) == ("host", 7, 3)
    assert (connection.ca_certs, connection.socket_connect_timeout) == ("/ca.pem", 4)
    socket = connection_of(RedisSettings(unix_socket_path="/run/redis.sock", password="pw"))  # noqa: S106
    assert (socket.path, socket.password) == ("/run/redis.sock", "pw")


def test_arq_settings_of_a_socket_ignore_tls() -> None:
    """arq accepts these settings and uses no TLS on a socket."""
    socket = connection_of(RedisSettings(unix_socket_path="/run/redis.sock", ssl=True))
    assert isinstance(socket, UnixDomainSocketConnection)


def test_arq_settings_with_sentinels_keep_tls() -> None:
    """arq itself drops the certificate authority here, so every certificate is rejected."""
    settings = RedisSettings(
        SENTINELS, sentinel=True, sentinel_master="calls", ssl=True, ssl_ca_certs="/ca.pem"
    )
    pool = Address.of(settings).connections()
    assert isinstance(pool, SentinelPool)
    connection = connection_from(pool)
    assert isinstance(connection, SentinelManagedSSLConnection)
    assert connection.ca_certs == "/ca.pem"


def test_sentinel_url_is_unquoted_once() -> None:
    pool = Address.of(
        "redis+sentinel://one?sentinel_password=50%25ab&client_name=a%2540"
    ).connections()
    assert isinstance(pool, SentinelPool)
    (sentinel,) = pool.sentinel_manager.sentinels
    assert connection_from(sentinel.connection_pool).password == "50%ab"  # noqa: S105 - not a real password
    assert connection_from(pool).client_name == "a%40"


@pytest.mark.parametrize(
    "rest",
    [
        "4711/hush@host:1/0",
        "user:4711#hush@host/0",
        "4711?hush@host",
        "user:47/11@hush@host,host/x",
    ],
)
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redis+sentinel"])
def test_unquoted_password_is_rejected_and_not_shown(scheme: str, rest: str) -> None:
    """Parts of the password would be parsed as a host, port or option, and end up in messages."""
    with pytest.raises(UsageError, match=r"^not a Redis URL: .*%2F for /") as raised:
        Address.of(f"{scheme}://{rest}")
    for part in ("47", "hush", "user", "host"):
        assert part not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["unix:///run/redis@1.sock", "redis://user:hush@host/0?client_name=a@b"]
)
def test_at_sign_is_allowed_in_a_socket_path_or_an_option(url: str) -> None:
    Address.of(url).connections()


@pytest.mark.parametrize(
    ("redis", "message"),
    [
        ("redis://host?colour=red", "unexpected keyword argument 'colour'"),
        ("rediss://host?ssl_cert_reqs=perhaps", "Invalid SSL Certificate Requirements Flag"),
        ("redis+sentinel:///calls", "not a Redis URL: redis\\+sentinel:///calls: use redis://"),
        (RedisSettings("host", sentinel=True), "a list of \\(host, port\\)"),
    ],
)
def test_invalid_address_raises_usage_error(redis: str | RedisSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Address.of(redis).connections()


def test_arq_settings_refuse_sentinel_options_that_arq_lacks() -> None:
    settings = Address.of("rediss+sentinel://me:pw@one,two:7/calls/3").arq_settings()
    assert (settings.sentinel, settings.sentinel_master, settings.ssl) == (True, "calls", True)
    assert settings.host == SENTINELS[:2]
    assert (settings.username, settings.password, settings.database) == ("me", "pw", 3)
    for option in ("ssl_ca_certs=/ca.pem", "sentinel_password=s", "max_connections=3"):
        with pytest.raises(UsageError, match=option.partition("=")[0]):
            Address.of(f"rediss+sentinel://one/calls?{option}").arq_settings()


def test_queue_urls_map_each_queue_to_its_redis() -> None:
    urls = {"call_queue": "redis://calls", "other": "redis://other", "third": "redis://calls"}
    settings = Settings(_env_file=None, task_queue_urls=urls)
    queue_urls = QueueUrls.from_settings(settings, "redis://main")
    assert queue_urls.of("call_tasks") == "redis://calls"
    assert queue_urls.of("other") == "redis://other"
    assert queue_urls.of("lead_tasks") == "redis://main"
    assert queue_urls.all() == ["redis://main", "redis://calls", "redis://other"]
    assert "calls" not in repr(settings.task_queue_urls)


def test_queue_alias_maps_to_the_same_redis() -> None:
    for name in ("call_tasks", "call_queue"):
        queue_urls = QueueUrls("redis://main", {name: "redis://calls"})
        assert (queue_urls.of("call_tasks"), queue_urls.of("call_queue")) == ("redis://calls",) * 2
        assert queue_urls.of("lead_queue") == "redis://main"


def test_queue_urls_repr_masks_passwords() -> None:
    queue_urls = QueueUrls("redis://me:secret@main", {"call_tasks": "redis://:secret@calls"})
    assert "redis://main" in repr(queue_urls)
    assert "redis://calls" in repr(queue_urls)
    assert "secret" not in repr(queue_urls)
