"""Damage files by the thousand and read them: python -m fuzz.run --each 2000; what should not come out is printed.

A child for each kind reads file after file, each within 2 seconds of processor time and 500 MB of memory. Beside the
counts, every new failure is printed with its seed, which makes the file again; --keep writes it into the corpus.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random

SECONDS, BYTES = 2.0, 500 * 10**6
CORPUS = Path(__file__).parent / "corpus"
# Where a file asks for more than this in one piece, the system refuses it: no machine is brought down.
_ADDRESSES = 16 * 2**30
_HANGS = 30


def most_memory() -> int:
    """The most memory that this process has held since :func:`forget`, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        if found is not None:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget() -> None:
    """Start to measure :func:`most_memory` anew, where the system can."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def fault_of(kind: str, path: Path) -> str | None:
    """What is wrong with how a damaged file is read; None if it is read, or refused in words."""
    from fuzz.kinds import KINDS
    from surflow.errors import FileError, SurflowError, plain_text

    forget()
    held, start = most_memory(), time.process_time()
    said = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KINDS[kind].read(path)
    except SurflowError as error:
        if isinstance(error, FileError) and path.name not in str(error) and path.stem not in str(error):
            said = f"names no path: {type(error).__name__}: {str(error)[:80]}"
        elif plain_text(str(error)) != str(error):
            said = "control characters in the message"
    except BaseException as error:
        place = [f for f in traceback.extract_tb(error.__traceback__) if "surflow/" in f.filename][-1:]
        where = f"{place[0].filename.rpartition('surflow/')[2]}:{place[0].lineno}" if place else "outside"
        said = f"{type(error).__name__} at {where}: {str(error).splitlines()[0][:100] if str(error) else ''}"
    took, more = time.process_time() - start, most_memory() - held
    if said is None and took > SECONDS:
        said = f"took {took:.1f} s"
    if said is None and more > BYTES:
        said = f"took {more / 1e6:.0f} MB"
    return said


def damaged(kind: str, folder: Path, seed: int) -> tuple[Path, bytes]:
    """The file in the folder that is damaged by this seed, and its content then."""
    from fuzz.kinds import KINDS

    random = Random(f"{kind} {seed}")
    files = KINDS[kind].files
    name = random.choice(files)
    good, other = ((folder / n).read_bytes() for n in (name, random.choice(files)))
    return folder / name, KINDS[kind].damage(good, other, random)


def child(kind: str, first: int, end: int, folder: Path) -> None:
    """Read files of seeds, one after the other; prints the faults, and what is read now."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import torch

    from fuzz.kinds import KINDS

    torch.set_num_threads(1)
    good = {name: (folder / name).read_bytes() for name in KINDS[kind].files}
    KINDS[kind].read(folder / KINDS[kind].files[0])  # imports are nobody's fault
    for seed in range(first, end):
        print(f"at {seed}", flush=True)
        path, content = damaged(kind, folder, seed)
        path.write_bytes(content)
        faulthandler.dump_traceback_later(_HANGS, exit=True, file=sys.__stderr__)
        said = fault_of(kind, path)
        faulthandler.cancel_dump_traceback_later()
        path.write_bytes(good[str(path.relative_to(folder))])
        if said is not None:
            print(f"fault {seed} {said!r}", flush=True)


def main() -> None:
    """Fuzz the kinds named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--each", type=int, default=2000, help="damaged files of each kind")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", action="store_true", help="write a file of every new fault into the corpus")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.kinds[0], given.first, int(given.child[0]), Path(given.child[1]))
        return
    from fuzz.kinds import KINDS, good_files

    total = 0
    for kind in given.kinds or KINDS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            good_files(folder)
            faults = _run(kind, given.first, given.first + given.each, folder)
            total += len(faults)
            print(f"{kind}: {len(faults)} of {given.each} with a fault")
            alike = {seed: re.sub(r"[0-9.]+ (s|MB)", r"N \1", said) for seed, said in faults.items()}
            for said, count in Counter(alike.values()).most_common():
                seed = next(seed for seed, other in alike.items() if other == said)
                print(f"  {count:5} x {said}  (seed {seed})", flush=True)
                if given.keep:
                    path, content = damaged(kind, folder, seed)
                    CORPUS.mkdir(exist_ok=True)
                    name = str(path.relative_to(folder)).replace("/", "+")
                    (CORPUS / f"{kind.replace(' ', '_')}-{seed}-{name}").write_bytes(content)
    print(f"{total} faults")
    raise SystemExit(bool(total))


def _run(kind: str, first: int, end: int, folder: Path) -> dict[int, str]:
    faults: dict[int, str] = {}
    good = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    while first < end:
        command = [sys.executable, "-m", "fuzz.run", kind, "--first", str(first), "--child", str(end), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stderr is not None
            at = first
            for line in process.stdout:
                word, _, rest = line.rstrip("\n").partition(" ")
                if word == "at":
                    at = int(rest)
                elif word == "fault":
                    seed, _, said = rest.partition(" ")
                    faults[int(seed)] = said.strip("'\"")
            process.wait()
            if process.returncode == 0:
                return faults
            last = (process.stderr.read().strip().splitlines() or [""])[-1][:100]
            faults[at] = f"the process ended with {process.returncode}: {last}"
        for path, content in good.items():
            path.write_bytes(content)
        first = at + 1
    return faults


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
