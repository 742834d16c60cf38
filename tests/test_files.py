"""The atomic writer: whole or not at all, by the umask, with the path in what it says."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from surflow._internal.files import LOCK, locked, make_folder, write_tensors, write_text, written_whole
from surflow.errors import FileError


def test_a_file_has_what_was_written_and_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "é\r\n")
        write_tensors(tmp_path / "a.safetensors", {"x": torch.ones(2)}, "x", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\r\n"
    for name in ("a.txt", "a.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "a.txt"]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt(), ValueError()])
def test_the_older_file_is_kept_whatever_happens(tmp_path: Path, fault: BaseException) -> None:
    path = tmp_path / "scores.csv"
    write_text(path, "old")
    expected = FileError if isinstance(fault, OSError) else type(fault)
    with pytest.raises(expected) as caught, written_whole(path) as scratch:
        assert scratch.suffix == ".csv"
        scratch.write_text("ne")
        raise fault
    if isinstance(fault, OSError):
        assert f"{path} cannot be written: No space left on device; what it held before is kept" in str(caught.value)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_folder_and_the_file_are_synced_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    sync, replace = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).suffix or "folder")
        sync(descriptor)

    def noted_replace(a: Path, b: Path) -> None:
        done.append("renamed")
        replace(a, b)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_text(tmp_path / "a.txt", "new")
    assert done == [".txt", "renamed", "folder"]


def test_links_stay_links_and_what_is_protected_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "real.txt", "old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"
    for path in (tmp_path / "none" / "a.txt", tmp_path / ("n" * 300), tmp_path / "real.txt" / "a.txt", tmp_path):
        with pytest.raises(FileError, match="cannot be written") as caught:
            write_text(path, "x")
        assert str(path) in str(caught.value)
    with pytest.raises(FileError, match="cannot be written to"):
        make_folder(tmp_path / "real.txt" / "sub")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.txt", "real.txt"]


@pytest.mark.e2e
def test_a_lock_keeps_others_out_and_ends_with_its_process(tmp_path: Path) -> None:
    held = f"""
import sys
from pathlib import Path
from surflow._internal.files import locked
with locked(Path({str(tmp_path)!r})), locked(Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(FileError, match="another process is writing"), locked(tmp_path):
            pass
        child.kill()
    with locked(tmp_path):
        pass


def test_a_lock_sweeps_what_was_left_half_written_and_nothing_else(tmp_path: Path) -> None:
    for name in ("pictures", "other", "deep/below"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "other" / LOCK).touch()  # whoever holds it may be writing
    with written_whole(tmp_path / "a.csv") as scratch:
        left = scratch.name
    swept = [tmp_path / left, tmp_path / "pictures" / left]
    kept = [tmp_path / "other" / left, tmp_path / "deep" / "below" / left]
    kept += [tmp_path / name for name in (".film.part1.zip", ".my.particles.csv", "a.part", "pictures/a.png")]
    for path in (*swept, *kept):
        path.touch()
    with locked(tmp_path):
        assert not any(path.exists() for path in swept) and all(path.exists() for path in kept)
