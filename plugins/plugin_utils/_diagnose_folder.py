# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts have said, in files of the controller, until the archive is made; and the archive. I/O.

All of it is for its owner alone: that who talks to whom is known is enough to hide it. What waits for the archive is in
the folder that Ansible removes when it ends, however it does.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import io
import itertools
import json
import os
import re
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Dict, Literal, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import HostView
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, host_error, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._put import OWNER_ALONE, placed, put

CAPTURE, VIEW = "capture.pcap.gz", "view.json"
# What an archive has of all hosts together, beside their folders.
SUMMARY, FACTS = OF_ALL = ("summary.txt", "diagnosis.json")
# The link type of a capture on all interfaces, by an older libpcap: it has not which one a packet was seen on.
COOKED = 113
# Where archives are put, unless it is said otherwise.
ARCHIVES = "diagnoses"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def keep(directory: str, view: Mapping[str, Any], capture: str) -> str:
    """Keep what a host has said, in a folder of its own; its path. capture: in base64, empty where there is none."""
    try:
        data = base64.b64decode(capture.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise host_error("capture", "what the host sent is damaged: %s" % error, "run it again") from error
    try:
        # Of mode 0700.
        folder = tempfile.mkdtemp(prefix="diagnose-", dir=directory)
        if data:
            with placed(os.path.join(folder, CAPTURE), OWNER_ALONE) as stream:
                stream.write(data)
        put(os.path.join(folder, VIEW), json.dumps(view), OWNER_ALONE)
    except OSError as error:
        cure = "make room there, or have Ansible use another folder (local_tmp)"
        raise host_error(directory, "cannot be written: %s" % error.strerror, cure) from error
    return folder


def kept(folder: str) -> HostView:
    """What a host has said; HostError where it is no longer there."""
    try:
        with open(os.path.join(folder, VIEW), encoding="utf-8") as stream:
            data = json.load(stream)
        # Its data stands in a file of its own; JSON has no bytes.
        data["capture"]["data"] = b""
        return from_wire(HostView, data)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise host_error(folder, "cannot be read: %s" % error, "run it again") from error


def capture_path(folder: str) -> Optional[str]:
    """Where the host's capture is; None where there is none."""
    path = os.path.join(folder, CAPTURE)
    return path if os.path.exists(path) else None


def link_type(path: str) -> int:
    """What kind of packets a capture has, by the header of its file (pcap-savefile(5)); -1 where it has none."""
    try:
        with gzip.open(path, "rb") as stream:
            header = stream.read(24)
    except (OSError, EOFError, zlib.error):
        return -1
    if len(header) < 24:
        return -1
    order: "Literal['little', 'big']" = "little" if header[0] in (0xD4, 0x4D) else "big"
    return int.from_bytes(header[20:24], order) & 0xFFFF


def archive_name(hosts: str, moment: str) -> str:
    """What an archive is called. moment: RFC 3339."""
    return "diagnose-%s-%s" % (_safe(hosts), re.sub(r"[-:]", "", moment))


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text).strip(".-")[:60] or "_"


def safe_names(names: Iterable[str]) -> Dict[str, str]:
    """By each name what its file or folder is called: safe on any system, none of them the same, whatever the case."""
    found: Dict[str, str] = {}
    taken = set(OF_ALL)
    for name in names:
        plain = safe = _safe(name)
        number = 1
        while safe.lower() in taken:
            number += 1
            safe = "%s-%d" % (plain, number)
        taken.add(safe.lower())
        found[name] = safe
    return found


def write_archive(directory: str, name: str, texts: Mapping[str, str], folders: Mapping[str, str]) -> str:
    """Put an archive in place at once; its path. texts: of files by their names; folders: of hosts, by safe_names.

    It has another name where there is one of that already. InputError where the directory cannot be written to.
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        path, name = _reserved(directory, name)
        try:
            with placed(path, OWNER_ALONE) as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
                for file, text in texts.items():
                    _add(archive, "%s/%s" % (name, file), text.encode("utf-8", "backslashreplace"))
                for host, folder in folders.items():
                    for file in sorted(os.listdir(folder)):
                        with open(os.path.join(folder, file), "rb") as source:
                            _add(archive, "%s/%s/%s" % (name, host, file), source.read())
        except BaseException:
            os.unlink(path)
            raise
    except OSError as error:
        raise _refused(directory, error) from error
    return path


def _reserved(directory: str, name: str) -> Tuple[str, str]:
    """The path and the name of an archive that nobody else writes: of two runs in a second each keeps its own."""
    for number in itertools.count(1):
        free = name if number == 1 else "%s-%d" % (name, number)
        path = os.path.join(directory, free + ".tar.gz")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ALONE))
            break
    return path, free


def archive_directory(text: str) -> str:
    """The path of a directory, as it is named in variables."""
    return os.path.abspath(os.path.expanduser(os.path.expandvars(text)))


def check_archive_directory(directory: str) -> None:
    """InputError where an archive could not be put there: to be known before anything is captured for it."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".diagnose-", dir=directory)
        os.close(handle)
        os.unlink(temporary)
    except OSError as error:
        raise _refused(directory, error) from error


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), OWNER_ALONE, int(time.time())
    archive.addfile(entry, io.BytesIO(data))


def _refused(directory: str, error: OSError) -> InputError:
    return input_error("tcp_diagnose_archive", "%s: %s" % (directory, error.strerror), "name another folder")


def raw_texts(view: HostView) -> Dict[str, str]:
    """What programs have printed on a host, by names of files."""
    called = safe_names(view.raw)
    return {called[name] + ".txt": text for name, text in view.raw.items()}
