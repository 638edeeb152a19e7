# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that can listen on a UNIX domain socket, as data: by which setting, and how their clients name it. Pure.

Paths are those of Debian's packages, where these have one.
"""

from __future__ import annotations

from typing import Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass


@dataclass(frozen=True)
class LocalServer:
    """A server. processes: what the names of its processes begin with (the kernel keeps 15 characters).

    listen: its setting, as a finding says it. permit: what lets clients in; client: what a client names in place of
    address and port; pool: how connections are kept: these the page of the documentation says. source: who says so.
    """

    name: str
    processes: Tuple[str, ...]
    listen: str
    permit: str
    client: str
    pool: str
    source: str


SERVERS: Tuple[LocalServer, ...] = (
    LocalServer(
        name="Redis",
        processes=("redis-server", "redis-sentinel"),
        listen="unixsocket /run/redis/redis-server.sock in redis.conf",
        permit="unixsocketperm 770, and clients in the group redis",
        client="unix:///run/redis/redis-server.sock",
        pool="the connection pool of the client library; pconnect in PHP",
        source="redis.conf of Redis 7.0",
    ),
    LocalServer(
        name="Valkey",
        processes=("valkey-server", "valkey-sentinel"),
        listen="unixsocket /run/valkey/valkey-server.sock in valkey.conf",
        permit="unixsocketperm 770, and clients in the group valkey",
        client="unix:///run/valkey/valkey-server.sock",
        pool="the connection pool of the client library",
        source="valkey.conf of Valkey 8.0",
    ),
    LocalServer(
        name="PostgreSQL",
        processes=("postgres",),
        listen="unix_socket_directories in postgresql.conf, on by default",
        permit="a line of the type local in pg_hba.conf",
        client="host=/var/run/postgresql",
        pool="PgBouncer, or the pool of the application",
        source="PostgreSQL 15, 20.3.1 Connection Settings, and 21.1 The pg_hba.conf File",
    ),
    LocalServer(
        name="MySQL or MariaDB",
        processes=("mysqld", "mariadbd"),
        listen="socket in [mysqld], on by default (/run/mysqld/mysqld.sock)",
        permit="an account for localhost",
        client="the host localhost, in place of 127.0.0.1",
        pool="the pool of the application",
        source="MySQL 8.0 Reference Manual, 4.2.4 Connecting to the MySQL Server Using Command Options",
    ),
    LocalServer(
        name="memcached",
        processes=("memcached",),
        listen="-s /run/memcached/memcached.sock in memcached.conf",
        permit="-a 0770; it does not listen on TCP any more then",
        client="/run/memcached/memcached.sock",
        pool="persistent connections of the client library",
        source="memcached(1)",
    ),
    LocalServer(
        name="nginx",
        processes=("nginx",),
        listen="listen unix:/run/nginx-local.sock in its server block",
        permit="clients in the group of its workers",
        client="proxy_pass http://unix:/run/nginx-local.sock:",
        pool="keepalive in the upstream block of whoever calls it",
        source="ngx_http_core_module, ngx_http_proxy_module, ngx_http_upstream_module",
    ),
    LocalServer(
        name="PHP-FPM",
        processes=("php-fpm",),
        listen="listen = /run/php/php-fpm.sock in its pool",
        permit="listen.owner and listen.group of the web server",
        client="fastcgi_pass unix:/run/php/php-fpm.sock",
        pool="fastcgi_keep_conn on, with keepalive in the upstream block (nginx)",
        source="PHP Manual, FastCGI Process Manager: Configuration",
    ),
)


def known_server(process: str) -> Optional[LocalServer]:
    """The server that a process is one of; None where it is none of these."""
    return next((each for each in SERVERS if process.startswith(each.processes)), None) if process else None
