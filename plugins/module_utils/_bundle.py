# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This collection's own code as a program that stays on a host, and needs neither the controller nor Ansible there.

Pure: the sources are those that this process has loaded, whether from files or from the archive that Ansible sends.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from typing import Dict, List

_PACKAGE = "ansible_collections.netfleet.tcp.plugins.module_utils."
_NAMES = re.compile(r"^\s*from %s(?:\.(\w+))? import (\w+(?:, \w+)*)?" % re.escape(_PACKAGE[:-1]), re.MULTILINE)


def own_sources() -> Dict[str, str]:
    """The source of each module of ours that this process has loaded, by its full name."""
    found: Dict[str, str] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith(_PACKAGE) and "." not in name[len(_PACKAGE) :]:
            source = module.__loader__.get_source(name)  # type: ignore[union-attr]
            found[name] = source or ""
    return found


def needed(sources: Dict[str, str], name: str) -> Dict[str, str]:
    """Of these, a module by its full name, and what it imports, and what that imports."""
    found: Dict[str, str] = {}
    waiting: List[str] = [name]
    while waiting:
        each = waiting.pop()
        if each in sources and each not in found:
            found[each] = sources[each]
            for module, names in _NAMES.findall(sources[each]):
                waiting += [_PACKAGE + part for part in ([module] if module else names.split(", "))]
    return found


def bundle(sources: Dict[str, str], main: str) -> bytes:
    """A Python zip application of these modules; main: of its __main__. Same text, same bytes."""
    files = {"__main__.py": main}
    for name, source in sources.items():
        parts = name.split(".")
        for depth in range(1, len(parts)):
            files.setdefault("/".join(parts[:depth]) + "/__init__.py", "")
        files["/".join(parts) + ".py"] = source
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path), text.encode(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def main_of(name: str) -> str:
    """The __main__ that calls the function main of a module by its full name."""
    return "import sys\nfrom %s import main\n\nsys.exit(main(sys.argv[1:]))\n" % name


def as_text(program: bytes) -> str:
    """Bytes as write_file takes them: as text with surrogates."""
    return program.decode("utf-8", "surrogateescape")
