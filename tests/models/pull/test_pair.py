"""A pull ends with a verified pair or one sentence; run against a small hub on this machine."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from support.hub_server import REVISION, Hub, Stored
from support.pulls import CONTENTS, ENTRY, Events, check, failure, fetch, real_pair, sha256
from support.waiting import wait_until

from gemma_mtp.errors import BadPair, HubError
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.pair_record import RECORD, SUMS, read_record, ready_files
from gemma_mtp.models.pull import transfer
from gemma_mtp.models.pull.events import PullProgress, PullWait
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.pair import pull

SIZE = len(CONTENTS["target.gguf"])
DRAFTER_SIZE = len(CONTENTS["mtp-target.gguf"])


def test_a_pull_fetches_verifies_and_marks_both_files(hub: Hub, tmp_path: Path) -> None:
    seen = [e for e in fetch(tmp_path / "12b") if isinstance(e, PullProgress)]
    both = SIZE + DRAFTER_SIZE
    digest = ENTRY.target.sha256
    assert seen[-1] == PullProgress("target.gguf", SIZE, SIZE, True, both, both, digest)
    assert {event.pair_total for event in seen} == {both}
    assert hub.sent == {"target.gguf": SIZE, "mtp-target.gguf": DRAFTER_SIZE}
    assert hub.requests["CDN target.gguf"] > 4  # in pieces
    held = json.loads((tmp_path / "12b" / RECORD).read_text())
    assert held["revision"] == REVISION
    assert [file["role"] for file in held["files"]] == ["drafter", "target"]
    sums = (tmp_path / "12b" / SUMS).read_text().splitlines()
    assert sums[1] == f"{ENTRY.target.sha256}  target.gguf"


def test_pieces_arrive_over_several_connections_at_once(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    hub.faults.rate = 1e5

    def speed_up() -> None:
        wait_until(lambda: hub.most_connections == transfer.CONNECTIONS)
        hub.faults.rate = 0

    threading.Thread(target=speed_up, daemon=True).start()
    fetch(tmp_path, entry=entry)
    assert hub.most_connections == transfer.CONNECTIONS


def test_a_complete_pair_asks_nobody(hub: Hub, entry: Entry, tmp_path: Path) -> None:
    first = fetch(tmp_path, entry=entry)
    hub.requests.clear()
    assert first
    assert fetch(tmp_path, entry=entry) == []
    assert not hub.requests


def test_a_finished_file_of_an_unfinished_pair_is_not_fetched_again(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    fetch(tmp_path, entry=entry)
    (tmp_path / RECORD).unlink()
    fetch(tmp_path, entry=entry)
    assert hub.sent == {"target.gguf": SIZE, "mtp-target.gguf": DRAFTER_SIZE}


# --- faults that pass ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("server", ["hub", "cdn"])
def test_passing_faults_are_overcome(
    hub: Hub, entry: Entry, tmp_path: Path, status: int, server: str
) -> None:
    getattr(hub.faults, server).extend([status, status, 0, status])
    fetch(tmp_path, entry=entry)
    assert hub.sent["target.gguf"] == SIZE


def test_a_server_that_says_how_long_to_wait_is_obeyed(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    hub.faults.hub, hub.faults.headers = [429], {"Retry-After": "1"}
    events = fetch(tmp_path, entry=entry)
    assert PullWait("HTTP 429", 1.0) in events


def test_the_limit_of_the_hub_in_its_own_header(hub: Hub, tmp_path: Path) -> None:
    hub.faults.hub_always = 429
    hub.faults.headers = {"RateLimit": '"api";r=0;t=1200'}
    assert "asks to come back in 20 minutes" in str(failure(tmp_path))


@pytest.mark.parametrize("every", [64 << 10, 300_000])
def test_a_connection_that_is_cut_all_the_time(
    hub: Hub, entry: Entry, tmp_path: Path, every: int
) -> None:
    hub.faults.cut_every = every
    fetch(tmp_path, entry=entry)
    assert hub.sent["target.gguf"] < SIZE * 1.05
    assert hub.addresses["target.gguf"] == 1  # the address stays good


def test_a_connection_that_stalls(
    hub: Hub, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    hub.faults.stalls = 2
    fetch(tmp_path, entry=entry)


def test_a_server_without_ranges(hub: Hub, entry: Entry, tmp_path: Path) -> None:
    hub.faults.ranges = False
    fetch(tmp_path, entry=entry)


def test_a_server_that_allows_few_connections(hub: Hub, entry: Entry, tmp_path: Path) -> None:
    hub.faults.crowd = 1
    hub.faults.rate = 30e6
    fetch(tmp_path, entry=entry)


def test_an_address_that_expires_on_the_way_is_asked_for_again(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    hub.faults.rate = 2e5
    expired: list[int] = []

    def on_event(event: Any) -> None:
        ours = isinstance(event, PullProgress) and event.file == "target.gguf"
        if ours and event.done and not expired:
            expired.append(event.done)
            hub.expire()
            hub.faults.rate = 0

    pull(entry, tmp_path, on_event)
    assert expired[0] < SIZE
    assert hub.addresses["target.gguf"] >= 2
    assert hub.sent["target.gguf"] == SIZE


# --- faults that stay ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "refuses access (HTTP 401)"),
        (401, {"X-Error-Code": "RepoNotFound"}, "refuses access (HTTP 401)"),
        (403, {}, "refuses access (HTTP 403)"),
        (403, {"X-Error-Code": "GatedRepo"}, "its terms must be accepted first"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "has no mtp-target.gguf at revision 01234567"),
        (404, {"X-Error-Code": "RepoNotFound"}, "/org/pair is not there."),
        (503, {}, "cannot be asked: HTTP 503, 4 times in a row"),
        (418, {}, "answered with HTTP 418"),
        (200, {}, "does not answer as a hub does"),
    ],
)
def test_what_the_hub_refuses(
    hub: Hub, tmp_path: Path, status: int, headers: dict[str, str], words: str
) -> None:
    hub.faults.hub_always, hub.faults.headers = status, headers
    assert words in str(failure(tmp_path))


@pytest.mark.parametrize(
    ("status", "words"),
    [(503, ": HTTP 503, "), (403, "refuses access")],
)
def test_what_the_cdn_refuses(
    hub: Hub, entry: Entry, tmp_path: Path, status: int, words: str
) -> None:
    hub.faults.cdn_always = status
    assert words in str(failure(tmp_path, entry=entry))


def test_a_hub_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    hub.close()
    assert f"{hub.url}/org/pair cannot be asked: " in str(failure(tmp_path))


def test_an_endpoint_that_is_not_an_address(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    template = "nonsense/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", "nonsense")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert failure(tmp_path).hint == "Check HF_ENDPOINT."


def test_a_proxy_is_honoured(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    template = "http://hub.example/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.example")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HTTP_PROXY", hub.url)  # a proxy is asked for whole addresses
    fetch(tmp_path)


@pytest.mark.parametrize("by", ["option", "variable"])
def test_offline(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by == "variable")
    error = failure(tmp_path, PullOptions(offline=by == "option"))
    word = {"option": "--offline was given", "variable": "HF_HUB_OFFLINE is set"}[by]
    assert str(error) == f"mtp-target.gguf is not on this machine, and {word}."
    assert not hub.requests


def test_a_token_goes_to_the_hub_and_not_to_the_cdn(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    assert "refuses access (HTTP 401)" in str(failure(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(tmp_path)
    assert not hub.tokens_at_cdn


# --- contents ------------------------------------------------------------------------------------


def test_wrong_contents_are_set_aside_and_a_second_pull_repairs(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    hub.faults.corrupt, hub.faults.corrupt_from = True, 1 << 20
    error = failure(tmp_path, entry=entry)
    assert "target.gguf arrived with other contents than expected" in str(error)
    assert "set aside as target.gguf.corrupt" in str(error)
    aside = tmp_path / "target.gguf.corrupt"
    assert aside.stat().st_size == len(CONTENTS["target.gguf"])
    hub.faults.corrupt = False
    fetch(tmp_path, entry=entry)


def test_a_header_of_other_contents_is_refused_and_a_second_pull_repairs(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    hub.faults.corrupt = True
    assert str(failure(tmp_path, entry=entry)) == "target.gguf is not a GGUF file."
    hub.faults.corrupt = False
    fetch(tmp_path, entry=entry)


def test_a_damaged_file_under_its_own_name_is_set_aside(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    fetch(tmp_path, entry=entry)
    (tmp_path / RECORD).unlink()
    (tmp_path / "mtp-target.gguf").write_bytes(b"x" * DRAFTER_SIZE)
    assert "set aside as mtp-target.gguf.corrupt" in fetch(tmp_path, entry=entry).notes


def test_a_file_that_has_another_size_at_the_cdn(hub: Hub, tmp_path: Path) -> None:
    hub.faults.claim["target.gguf"] = Stored.of(b"short")
    assert "target.gguf was changed" in str(failure(tmp_path))


def test_a_file_that_changed_since_the_last_attempt_begins_anew(hub: Hub, tmp_path: Path) -> None:
    drafter = real_pair(tmp_path / "real")["drafter"]
    target = real_pair(tmp_path / "real")["target"]
    hub.faults.cut_every, hub.faults.cdn = 64 << 10, [0, 0] + [500] * 50
    failure(tmp_path / "12b")
    hub.files = {"target.gguf": Stored.of(target), "mtp-target.gguf": Stored.of(drafter)}
    hub.faults = type(hub.faults)()
    events = Events()
    files = pull(ENTRY, tmp_path / "12b", events.append, PullOptions(allow_changed=True))
    assert files.target.read_bytes() == target
    assert "target.gguf changed on the hub since; it is fetched anew." in events.notes


@pytest.mark.parametrize("source", ["hub", "folder"])
def test_a_file_that_is_not_the_pinned_one_is_used_only_when_the_user_says_so(
    hub: Hub, tmp_path: Path, source: str
) -> None:
    real = real_pair(tmp_path / "real")
    hub.files = {"target.gguf": Stored.of(real["target"]),
                 "mtp-target.gguf": Stored.of(real["drafter"])}  # fmt: skip
    options = PullOptions()
    if source == "folder":
        pull(ENTRY, tmp_path / "stick", Events().append, PullOptions(allow_changed=True))
        stated, places = read_record(tmp_path / "stick"), (tmp_path / "stick",)
        options = PullOptions(offline=True, reuse=places, stated=stated)
        hub.close()
    sent = hub.sent.total()
    error = failure(tmp_path / "12b", options)
    assert "mtp-target.gguf is not the pinned file: " in str(error)
    assert sha256(real["drafter"]) in str(error)
    assert f"pinned is {ENTRY.drafter.sha256}. Nothing was fetched." in str(error)
    assert error.status == 7
    assert error.hint.endswith("add --allow-changed.")
    assert hub.sent.total() == sent
    events, options = Events(), replace(options, allow_changed=True)
    files = pull(ENTRY, tmp_path / "12b", events.append, options)
    assert f"states sha256 {sha256(real['target'])}, which is used and recorded" in events.notes
    held = read_record(tmp_path / "12b")
    assert held is not None
    assert held.files[1].sha256 == sha256(real["target"])
    assert held.files[1].pinned == ENTRY.target.sha256
    assert ready_files(ENTRY, tmp_path / "12b") == files
    assert pull(ENTRY, tmp_path / "12b", Events().append) == files


def test_files_that_are_not_pinned_must_belong_together(hub: Hub, tmp_path: Path) -> None:
    hub.files = {**hub.files, "target.gguf": Stored.of(b"not a GGUF file")}
    with pytest.raises(BadPair):
        pull(ENTRY, tmp_path, Events().append, PullOptions(allow_changed=True))
    assert ready_files(ENTRY, tmp_path) is None


def test_a_branch_is_asked_again_and_its_commit_recorded(hub: Hub, tmp_path: Path) -> None:
    for _ in range(2):  # a branch may have moved: the hub is asked, but nothing fetched again
        fetch(tmp_path, PullOptions(revision="main"))
    held = read_record(tmp_path)
    assert held is not None
    assert held.revision == REVISION
    assert hub.requests["HEAD target.gguf"] == 2
    fetch(tmp_path)
    assert hub.requests["HEAD target.gguf"] == 2
    assert hub.sent["target.gguf"] == SIZE


def test_the_old_pair_stays_ready_while_another_revision_fails(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    hub.files["target.gguf"] = Stored.of(b"other" * 1000)
    hub.faults.cdn_always = 503
    with pytest.raises(HubError):
        pull(ENTRY, tmp_path, Events().append, PullOptions(revision="main"))
    files = ready_files(ENTRY, tmp_path)
    assert files is not None
    check(files)


# --- the disk ------------------------------------------------------------------------------------


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    hub: Hub, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    error = failure(tmp_path, entry=entry)
    assert str(error).startswith("12b needs 3 MB more, but only 10 bytes are free on the disk of")
    assert not hub.sent


def test_a_disk_that_fills_up_on_the_way(
    hub: Hub, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = transfer.Transfer._write

    def full(*args: Any) -> int:
        if "mtp" not in str(args[0]._partial):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*args)

    monkeypatch.setattr(transfer.Transfer, "_write", full)
    assert str(failure(tmp_path, entry=entry)) == f"The disk of {tmp_path} is full."
    monkeypatch.setattr(transfer.Transfer, "_write", write)
    fetch(tmp_path, entry=entry)
    assert hub.requests["CDN mtp-target.gguf"] == 1


def test_a_folder_that_cannot_be_made(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "Cannot write to" in str(failure(tmp_path / "file" / "12b"))


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_read_only_folder(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere
    assert str(failure(tmp_path)) == f"{tmp_path} cannot be written to: Permission denied."


# --- two at once, and the marker -----------------------------------------------------------------


def test_two_pulls_at_once_fetch_it_once(hub: Hub, tmp_path: Path) -> None:
    hub.faults.rate = 1e5
    events = [Events(), Events(), Events()]
    threads = [threading.Thread(target=pull, args=(ENTRY, tmp_path, e.append)) for e in events]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(bool(e.notes) for e in events) == 2)
    hub.faults.rate = 0
    for thread in threads:
        thread.join()
    files = ready_files(ENTRY, tmp_path)
    assert files is not None
    check(files)
    assert hub.sent["target.gguf"] == SIZE
    waited = [e for e in events if e.notes == "Another pull of 12b is running; waiting for it."]
    assert len(waited) == 2


@pytest.mark.parametrize("damage", ["truncate", "delete", "marker", "repinned"])
def test_a_pair_that_is_not_what_the_marker_says_is_not_ready(
    hub: Hub, tmp_path: Path, damage: str
) -> None:
    pull(ENTRY, tmp_path, Events().append)
    entry = ENTRY
    if damage == "truncate":
        (tmp_path / "target.gguf").write_bytes(b"short")
    elif damage == "delete":
        (tmp_path / "mtp-target.gguf").unlink()
    elif damage == "marker":
        (tmp_path / RECORD).write_text("[1, {")
    else:
        entry = replace(ENTRY, target=replace(ENTRY.target, sha256="0" * 64))
    assert ready_files(entry, tmp_path) is None
    if entry is ENTRY:
        fetch(tmp_path)


# --- files that changed after they were verified -------------------------------------------------


def flip(path: Path, at: int, keep_time: bool) -> None:
    """Change one byte; with `keep_time` as a failing disk does, without a trace."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=times if keep_time else (times[0], times[1] + 10**9))


def read_again(events: Events) -> set[str]:
    """The files that were hashed where they lay."""
    return {e.file for e in events if isinstance(e, PullProgress) and e.verifying}


def test_a_file_with_another_time_is_verified_where_it_lies_and_only_once(
    hub: Hub, tmp_path: Path
) -> None:
    fetch(tmp_path)
    hub.requests.clear()
    os.utime(tmp_path / "target.gguf", ns=(1, 1))
    assert read_again(fetch(tmp_path)) == {"target.gguf"}
    assert fetch(tmp_path) == []
    assert not hub.requests


def test_a_file_that_was_changed_is_fetched_again_and_no_other(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    fetch(tmp_path, entry=entry)
    hub.sent.clear()
    flip(tmp_path / "target.gguf", -1, keep_time=False)
    events = fetch(tmp_path, entry=entry)
    assert "target.gguf is damaged; it was set aside as target.gguf.corrupt." in events.notes
    assert hub.sent == {"target.gguf": SIZE}
    assert fetch(tmp_path, entry=entry) == []


def test_a_header_that_went_bad_is_noticed_by_itself(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    fetch(tmp_path, entry=entry)
    hub.sent.clear()
    flip(tmp_path / "mtp-target.gguf", 0, keep_time=True)
    assert "mtp-target.gguf is damaged" in fetch(tmp_path, entry=entry).notes
    assert hub.sent == {"mtp-target.gguf": DRAFTER_SIZE}


def test_a_damaged_file_stays_aside_when_the_hub_is_away(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    flip(tmp_path / "mtp-target.gguf", -1, keep_time=False)
    hub.faults.hub_always = 404
    assert "has no mtp-target.gguf" in str(failure(tmp_path))
    hub.faults.hub_always = 0
    hub.sent.clear()
    assert read_again(fetch(tmp_path)) == {"mtp-target.gguf"}  # as it arrives; the other is known
    assert hub.sent == {"mtp-target.gguf": DRAFTER_SIZE}


def test_a_mark_that_names_a_file_elsewhere_moves_nothing(hub: Hub, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"of the user")
    folder = tmp_path / "12b"
    fetch(folder)
    data = json.loads((folder / RECORD).read_text())
    data["files"].append({"role": "target", "path": "../other.gguf", "bytes": 11, "sha256": "0"})
    (folder / RECORD).write_text(json.dumps(data))
    flip(folder / "mtp-target.gguf", -1, keep_time=False)
    fetch(folder)
    assert other.read_bytes() == b"of the user"


def test_a_mark_without_times_is_believed(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    data = json.loads((tmp_path / RECORD).read_text())
    for file in data["files"]:
        del file["time"]
    (tmp_path / RECORD).write_text(json.dumps(data))
    assert fetch(tmp_path) == []


def test_what_was_published_damaged_is_said_to_be_so(hub: Hub, tmp_path: Path) -> None:
    data = CONTENTS["target.gguf"][:4] + b"\x04" + CONTENTS["target.gguf"][5:]
    hub.files["target.gguf"] = Stored.of(data)
    entry = replace(ENTRY, target=replace(ENTRY.target, sha256=sha256(data)))
    for _ in range(2):
        with pytest.raises(BadPair, match="GGUF version 4"):
            pull(entry, tmp_path, Events().append)
    cut = CONTENTS["target.gguf"][:500]
    hub.files["target.gguf"] = Stored.of(cut)
    entry = replace(ENTRY, target=replace(ENTRY.target, sha256=sha256(cut), bytes=500))
    with pytest.raises(BadPair) as caught:
        pull(entry, tmp_path, Events().append)
    assert caught.value.hint.startswith("It is as it was published")
