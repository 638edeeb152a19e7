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

    listen: its setting; client: what a client names instead of address and port; pool: how connections are kept.
    source: what says so.
    """

    name: str
    processes: Tuple[str, ...]
    listen: str
    client: str
    pool: str
    source: str


SERVERS: Tuple[LocalServer, ...] = (
    LocalServer(
        "Redis",
        ("redis-server", "redis-sentinel"),
        "unixsocket /run/redis/redis-server.sock and unixsocketperm 770 in redis.conf",
        "unix:///run/redis/redis-server.sock (redis-cli -s), as a member of the group redis",
        "the client library's connection pool, or a persistent connection (pconnect of PHP)",
        "redis.conf of Redis 7.0",
    ),
    LocalServer(
        "Valkey",
        ("valkey-server", "valkey-sentinel"),
        "unixsocket /run/valkey/valkey-server.sock and unixsocketperm 770 in valkey.conf",
        "unix:///run/valkey/valkey-server.sock (valkey-cli -s), as a member of the group valkey",
        "the client library's connection pool, or a persistent connection",
        "valkey.conf of Valkey 8.0",
    ),
    LocalServer(
        "PostgreSQL",
        ("postgres", "pgbouncer"),
        "unix_socket_directories in postgresql.conf (unix_socket_dir of PgBouncer), which is on by default",
        "host=/var/run/postgresql, with a line of the type local in pg_hba.conf",
        "PgBouncer, or the application's connection pool",
        "PostgreSQL 17, 19.3.1 Connection Settings",
    ),
    LocalServer(
        "MySQL or MariaDB",
        ("mysqld", "mariadbd"),
        "socket in the section [mysqld], which is on by default (/run/mysqld/mysqld.sock)",
        "the host localhost, which clients take for the socket, in place of 127.0.0.1",
        "the application's connection pool",
        "MySQL 8.4 Reference Manual, 6.2.4 Connecting",
    ),
    LocalServer(
        "memcached",
        ("memcached",),
        "-s /run/memcached/memcached.sock -a 0770 in memcached.conf, by which it does not listen on TCP any more",
        "the path /run/memcached/memcached.sock",
        "a persistent connection of the client library",
        "memcached(1)",
    ),
    LocalServer(
        "nginx",
        ("nginx",),
        "listen unix:/run/nginx-local.sock; in the server block",
        "http://unix:/run/nginx-local.sock: (proxy_pass), or --unix-socket (curl)",
        "keepalive connections of the client (of an nginx in front: keepalive in its upstream block)",
        "ngx_http_core_module and ngx_http_upstream_module",
    ),
    LocalServer(
        "PHP-FPM",
        ("php-fpm",),
        "listen = /run/php/php-fpm.sock in the pool's file, with listen.owner and listen.group of the web server",
        "fastcgi_pass unix:/run/php/php-fpm.sock (nginx), or SetHandler proxy:unix:/run/php/php-fpm.sock|fcgi://localhost",
        "fastcgi_keep_conn on with keepalive in the upstream block (nginx)",
        "PHP manual, FastCGI Process Manager",
    ),
)


def known_server(process: str) -> Optional[LocalServer]:
    """The server that a process is one of; None where it is none of these."""
    return next((each for each in SERVERS if process.startswith(each.processes)), None) if process else None
