# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._folder import (
    bring_up_to_date,
    differences,
    present_files,
    remove_renderings,
    stale_folders,
    wanted_files,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._put import host_path
from ansible_collections.netfleet.tcp.plugins.plugin_utils._render import SUMMARY, Rendered

OURS = "# Managed by netfleet.tcp (rendered)\n"


def files(*more: Rendered) -> tuple[Rendered, ...]:
    """A rendering."""
    own = (
        Rendered("etc/sysctl.d/90-x.conf", "net.ipv4.tcp_sack = 1\n"),
        Rendered("etc/systemd/system/multi-user.target.wants/x.service", target="../x.service"),
        *more,
    )
    return (Rendered(SUMMARY, OURS + "files:\n" + "".join("  - %s\n" % entry.path for entry in own)), *own)


FILES = files()
HOSTS = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(HOSTS)
def test_a_host_s_folder_is_right_below_the_directory(host: str) -> None:
    folder = host_path("/rendered", host)
    assert os.path.dirname(os.path.normpath(folder)) == "/rendered"
    assert os.path.basename(folder)[0] != "."


@given(HOSTS, HOSTS)
def test_two_hosts_never_share_a_folder(one: str, other: str) -> None:
    assert (host_path("/rendered", one) == host_path("/rendered", other)) == (one == other)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("gw01.eu.example.net", "gw01.eu.example.net"),
        ("a host", "a host"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("../x", "%2E.%2Fx"),
        ("..", "%2E."),
        ("/etc", "%2Fetc"),
        ("a%41", "a%2541"),
        ("a\nb\0", "a%0Ab%00"),
    ],
)
def test_names_of_folders(host: str, name: str) -> None:
    assert host_path("/rendered", host) == "/rendered/" + name


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    folder = str(tmp_path / "out" / "h1")
    assert present_files(folder) == {}
    bring_up_to_date(folder, FILES)
    assert present_files(folder) == wanted_files(FILES)
    link = Path(folder, FILES[2].path)
    assert link.is_symlink()
    assert os.readlink(link) == "../x.service"


def test_what_is_not_wanted_goes(tmp_path: Path) -> None:
    folder = str(tmp_path / "h1")
    bring_up_to_date(folder, files(Rendered("etc/old.d/old.conf", "x\n")))
    bring_up_to_date(folder, FILES)
    assert present_files(folder) == wanted_files(FILES)
    assert not Path(folder, "etc/old.d").exists()


def test_a_file_of_somebody_elses_stays(tmp_path: Path) -> None:
    folder = tmp_path / "h1"
    bring_up_to_date(str(folder), files(Rendered("etc/old.d/old.conf", "x\n")))
    for name in ("notes", "etc/old.d/notes"):
        (folder / name).write_text("mine\n", encoding="utf-8")
    bring_up_to_date(str(folder), FILES)
    assert present_files(str(folder)) == wanted_files(FILES)
    remove_renderings([str(folder)])
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == ["etc/old.d/notes", "notes"]


def test_a_file_of_somebody_elses_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "h1"
    bring_up_to_date(str(folder), FILES)
    (folder / "etc/sysctl.d/new.conf").write_text("mine\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"new\.conf was not rendered by netfleet\.tcp"):
        bring_up_to_date(str(folder), files(Rendered("etc/sysctl.d/new.conf", "x\n")))
    assert present_files(str(folder)) == wanted_files(FILES), "nothing was touched"


def test_a_link_in_place_of_a_file_of_ours_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "h1"
    bring_up_to_date(str(folder), FILES)
    mine = tmp_path / "mine"
    mine.write_text("mine\n", encoding="utf-8")
    (folder / FILES[1].path).unlink()
    (folder / FILES[1].path).symlink_to(mine)
    bring_up_to_date(str(folder), FILES)
    assert present_files(str(folder)) == wanted_files(FILES)
    assert mine.read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize("listed", ["files: [../mine, /etc/passwd, a/../../mine]", "files: 7", "files", "{", "- x"])
def test_a_summary_cannot_name_files_elsewhere(tmp_path: Path, listed: str) -> None:
    (tmp_path / "mine").write_text("mine\n", encoding="utf-8")
    folder = tmp_path / "h1"
    folder.mkdir()
    (folder / SUMMARY).write_text(OURS + listed + "\n", encoding="utf-8")
    assert list(present_files(str(folder))) == [SUMMARY]
    remove_renderings([str(folder)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_differences_name_what_is_new_changed_and_gone() -> None:
    before = {"same": "1\n", "changed": "1\n", "gone": "1\n"}
    after = {"same": "1\n", "changed": "2\n", "new": "2\n"}
    found = {
        entry["after_header"] if entry["after_header"] != "/dev/null" else entry["before_header"]: entry
        for entry in differences(before, after, "/r/h1")
    }
    assert sorted(found) == ["/r/h1/changed", "/r/h1/gone", "/r/h1/new"]
    assert (found["/r/h1/changed"]["before"], found["/r/h1/changed"]["after"]) == ("1\n", "2\n")
    assert (found["/r/h1/new"]["before_header"], found["/r/h1/new"]["before"]) == ("/dev/null", "")
    assert (found["/r/h1/gone"]["after_header"], found["/r/h1/gone"]["after"]) == ("/dev/null", "")


def _foreign_file(path: Path) -> None:
    path.write_text("mine\n", encoding="utf-8")


def _foreign_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("mine\n", encoding="utf-8")


def _foreign_summary(path: Path) -> None:
    path.mkdir()
    (path / SUMMARY).write_text("profile: mine\n", encoding="utf-8")


def _link_to_a_rendering(path: Path) -> None:
    bring_up_to_date(str(path.with_name("elsewhere")), FILES)
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [_foreign_file, _foreign_folder, _foreign_summary, _link_to_a_rendering])
def test_what_we_did_not_render_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "h1")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"h1 was not rendered by netfleet\.tcp.*name an empty folder"):
        present_files(str(tmp_path / "h1"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert present_files(str(tmp_path)) == {}


def test_stale_are_renderings_of_hosts_that_are_gone_and_nothing_else(tmp_path: Path) -> None:
    for host in ("kept", "gone", "../odd"):
        bring_up_to_date(host_path(str(tmp_path), host), FILES)
    _foreign_folder(tmp_path / "foreign")
    _foreign_summary(tmp_path / "foreign2")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README").write_text("mine\n", encoding="utf-8")
    (tmp_path / "link").symlink_to("gone")
    stale = stale_folders(str(tmp_path), ["kept", "../odd"])
    assert stale == (str(tmp_path / "gone"),)
    remove_renderings(stale)
    assert not (tmp_path / "gone").exists()
    assert stale_folders(str(tmp_path), ["kept", "../odd"]) == ()


def test_nothing_is_stale_where_nothing_is(tmp_path: Path) -> None:
    assert stale_folders(str(tmp_path / "missing"), ["h1"]) == ()


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"directory.*file.*Not a directory.*name another"):
        bring_up_to_date(str(tmp_path / "file" / "h1"), FILES)
    with pytest.raises(InputError, match="File name too long"):
        bring_up_to_date(str(tmp_path / ("h" * 300)), FILES)
