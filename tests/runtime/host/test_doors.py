"""The sockets that the supervisor holds for gateway and Caddy."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.host.doors import Doors, open_doors
from runtime.host.layout import Layout
from runtime.host.ports import Ports
from runtime.settings import load_settings
from tests.servers import free_port


@contextmanager
def opened(folder: Path, **environ: str) -> Iterator[tuple[Doors, dict[str, str]]]:
    layout = Layout.at(folder)
    layout.folder("run")
    environment = {
        "PORT": str(free_port()),
        "NEXUS_PRIVATE_PORT": str(free_port()),
        "NEXUS_SUPERVISED": "1",
        **environ,
    }
    settings = load_settings({"NEXUS_STATE_DIR": str(folder)})
    doors = open_doors(settings, layout, Ports(layout), environment, [])
    try:
        yield doors, environment
    finally:
        doors.close()


def connected(port: str) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", int(port))) == 0


def test_callers_wait_at_both_doors_before_anybody_serves_them(tmp_path: Path) -> None:
    with opened(tmp_path) as (doors, environment):
        assert connected(environment["PORT"])
        assert connected(environment["NEXUS_PRIVATE_PORT"])
        assert doors.all_held()
        told = " ".join(doors.binds().values()).split()
        assert told == [f"fd/{number}" for number in doors.of_caddy()]
        doors.close_to_callers()
        assert not connected(environment["PORT"])
        assert doors.gateway.fileno() >= 0  # what is on its way still gets there


def test_where_caddy_was_told_to_listen_nothing_is_held(tmp_path: Path) -> None:
    with opened(tmp_path, PUBLIC_BIND="127.0.0.1") as (doors, _):
        assert list(doors.binds()) == ["PRIVATE_BIND", "CADDY_ADMIN"]
        assert not doors.all_held()


def test_what_somebody_has_taken_meanwhile_is_left_to_caddy(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with opened(tmp_path, PORT=port) as (doors, _):
            assert list(doors.binds()) == ["PRIVATE_BIND", "CADDY_ADMIN"]


def test_a_door_open_to_all_hears_both_families(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.host.doors.open_to_all", lambda *_: True)
    with opened(tmp_path) as (doors, environment):
        (public,) = doors.caddy["PUBLIC_BIND"]
        assert connected(environment["PORT"])
        if socket.has_ipv6 and public.family == socket.AF_INET6:
            with socket.socket(socket.AF_INET6) as one:
                assert one.connect_ex(("::1", int(environment["PORT"]))) == 0
