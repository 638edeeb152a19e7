# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of Kubernetes by the standard library alone: for the tests, and for kubelet_agent.py on hosts of the lab."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Object = dict[str, Any]
TIMEOUT = 30.0
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """What the API answered in place of what was asked for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Client:
    """One who speaks to the API by a client certificate; threads have a connection each.

    files: directory with ca.crt, NAME.crt and NAME.key. address: host:port.
    """

    def __init__(self, address: str, files: Path, name: str) -> None:
        self._address = address
        self._tls = ssl.create_default_context(cafile=str(files / "ca.crt"))
        self._tls.load_cert_chain(str(files / f"{name}.crt"), str(files / f"{name}.key"))
        self._own = threading.local()

    def get(self, path: str, **query: str) -> Object:
        """An object, or a list of them."""
        return self._ask("GET", _with(path, query))

    def items(self, path: str, **query: str) -> list[Object]:
        """What a list has."""
        return list(self.get(path, **query).get("items") or [])

    def find(self, path: str) -> Object | None:
        """An object, or None where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """A new object in the list at a path; what the API made of it."""
        return self._ask("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Object:
        """Merge what a body has into an object."""
        return self._ask("PATCH", path, body, MERGE)

    def put(self, path: str, body: Mapping[str, Any]) -> Object:
        """Replace an object."""
        return self._ask("PUT", path, body)

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> None:
        """Remove an object; nothing happens where there is none."""
        try:
            self._ask("DELETE", path, body)
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def text(self, path: str) -> str:
        """What the API answers, as it is."""
        return self._answer("GET", path, None, "").decode(errors="replace")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "") -> Object:
        data = None if body is None else json.dumps(body).encode()
        found: Object = json.loads(self._answer(method, path, data, kind or "application/json"))
        return found

    def _answer(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        headers = {"Accept": "application/json, */*", **({"Content-Type": kind} if body is not None else {})}
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                data = answer.read()
            except (OSError, http.client.HTTPException):
                # The API has ended a connection that nobody used for long, which shows with the next request.
                self._forget()
                if attempt == 2:
                    raise
                continue
            if answer.status >= http.client.BAD_REQUEST:
                raise ApiError(answer.status, f"{method} {path}: {_message(data)}")
            return data
        raise AssertionError("not reached")

    def _connection(self) -> http.client.HTTPSConnection:
        found: http.client.HTTPSConnection | None = getattr(self._own, "connection", None)
        if found is None:
            found = http.client.HTTPSConnection(self._address, timeout=TIMEOUT, context=self._tls)
            self._own.connection = found
        return found

    def _forget(self) -> None:
        with contextlib.suppress(OSError):
            self._connection().close()
        self._own.connection = None


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urllib.parse.urlencode(query)}" if query else path


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")[:300]
