"""The ends find each other, and messages come through whole."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gemma_mtp.resident import identity, sockets
from gemma_mtp.resident.wire import Connection, Disconnected


@pytest.fixture(params=["sockets in folders", "ports"])
def folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sockets, "unix", request.param != "ports")
    with TemporaryDirectory() as short:  # of pytest's own the names are too long for sockets
        yield Path(short)


def pair_of_connections() -> tuple[Connection, Connection]:
    left, right = socket.socketpair()
    return Connection(left), Connection(right)


def test_messages_come_in_order_whatever_their_size() -> None:
    left, right = pair_of_connections()
    sent = [{"n": n, "text": "\n{" * (n * 40_000)} for n in range(4)]
    thread = threading.Thread(target=lambda: left.send(*sent))
    thread.start()
    assert [right.receive() for _ in sent] == sent
    thread.join()
    assert right.receive(0.0) is None


@pytest.mark.skipif(os.name != "posix", reason="numbers of files are not small elsewhere")
def test_a_connection_may_be_one_of_very_many_files_that_are_open() -> None:
    """As in a server to which more than a thousand clients are connected."""
    import fcntl
    import resource

    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 2048:
        pytest.skip("fewer files can be open here")
    left, low = socket.socketpair()
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, most))
    try:
        high = socket.socket(fileno=fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 1500))
        Connection(left).send({"n": 1})
        right = Connection(high)
        assert right.receive(10.0) == {"n": 1}
        assert right.receive(0.0) is None
        right.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
        left.close()
        low.close()


@pytest.mark.parametrize("garbage", [b"hello\n", b"[1]\n", b"\xff\xfe\n", b"[" * 99_999 + b"\n"])
def test_another_protocol_ends_the_connection(garbage: bytes) -> None:
    left, right = socket.socketpair()
    left.sendall(garbage)
    with pytest.raises(Disconnected):
        Connection(right).receive()


def test_who_is_gone_is_noticed_by_both_kinds_of_calls() -> None:
    left, right = pair_of_connections()
    left.close()
    with pytest.raises(Disconnected):
        right.receive()
    with pytest.raises(Disconnected):
        right.send({})


@pytest.mark.skipif(os.name != "posix", reason="folders of users are private there")
def test_what_listens_in_the_folder_of_somebody_else_is_no_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = sockets.Listener(folder)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert sockets.connect(folder) is None
    listener.close()


def test_a_listener_is_found_by_its_folder_and_not_after_it_closed(folder: Path) -> None:
    assert sockets.connect(folder) is None
    listener = sockets.Listener(folder)
    client = sockets.connect(folder)
    assert client is not None
    server = listener.accept()
    assert server is not None
    Connection(client).send({"op": "hello"})
    assert Connection(server).receive() == {"op": "hello"}
    listener.close()
    assert sockets.connect(folder) is None


def test_what_a_killed_engine_left_is_no_obstacle(folder: Path) -> None:
    first = sockets.Listener(folder)
    first._socket.close()  # as the system does when a process dies: the file stays
    assert sockets.connect(folder) is None
    assert list(folder.iterdir())
    again = sockets.Listener(folder)
    assert sockets.connect(folder) is not None
    again.close()


def test_a_port_is_of_no_use_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "unix", False)
    with TemporaryDirectory() as short:
        listener = sockets.Listener(Path(short))
        port = int((Path(short) / sockets.PORT).read_text().split()[0])
        stranger = socket.create_connection(("127.0.0.1", port))
        stranger.sendall(b"0" * 64)
        assert listener.accept() is None
        assert stat.S_IMODE((Path(short) / sockets.PORT).stat().st_mode) == 0o600
        listener.close()


def test_the_folder_of_the_engine_is_closed_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path / "home"))
    folder = identity.engine_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert stat.S_IMODE(identity.engine_folder().stat().st_mode) == 0o700


def test_a_long_path_falls_back_to_a_shorter_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path / ("long" * 30)))
    with TemporaryDirectory() as short:
        monkeypatch.setattr("tempfile.tempdir", short)
        folder = identity.engine_folder()
        assert folder.is_relative_to(short)
        assert len(os.fsencode(folder / identity.SOCKET)) <= identity.LONGEST
        assert sockets.Listener(folder)


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("CUDA_VISIBLE_DEVICES", "1", False),
        ("GGML_CUDA_FORCE_MMQ", "1", False),
        ("LANG", "de_DE.UTF-8", True),
    ],
)
def test_variables_that_choose_devices_tell_engines_apart(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, same: bool
) -> None:
    before = identity.identity()
    monkeypatch.setenv(name, value)
    assert (identity.identity() == before) is same


def test_another_home_has_another_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = identity.identity()
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path / "other"))
    assert identity.identity() != before
