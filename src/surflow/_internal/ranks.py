"""Processes of one command, as torchrun, SLURM or Lightning has started them: which is which, and word between them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from surflow.errors import SurflowError

if TYPE_CHECKING:
    from torch.distributed import Store

# Seconds between looks at what others have said.
_LOOK = 0.2
# How long the first process is waited for to come, it for others to come before it goes, and for them to go.
_COMES, _COME, _GO = timedelta(minutes=5), timedelta(seconds=60), timedelta(seconds=5)

# What the first process says before it starts others itself, by Lightning's launcher.
_TOLD = "SURFLOW_TOLD"


class OtherProcessError(SurflowError):
    """Another process of the command has ended before its work was done."""


@dataclass(frozen=True)
class Ranks:
    """Which process of a command this one is.

    Attributes:
        rank: its number, from 0, among all.
        world: how many there are.
        here: how many of them are on this machine.
        external: whether torchrun or SLURM has started them, all at once.
    """

    rank: int = 0
    world: int = 1
    here: int = 1
    external: bool = False

    @property
    def nodes(self) -> int:
        """On how many machines they are."""
        return self.world // self.here


def ranks() -> Ranks:
    """What the environment says, by the variables and in the order that Lightning goes by."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        return Ranks(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_WORLD_SIZE"]), external=True)
    # Who has a shell on a machine of SLURM starts single processes there.
    if "SLURM_NTASKS" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        world = int(env["SLURM_NTASKS"])
        here = env.get("SLURM_NTASKS_PER_NODE") or world // int(env.get("SLURM_NNODES", "1"))
        return Ranks(int(env["SLURM_PROCID"]), world, int(here), external=True)
    if "LOCAL_RANK" in env and "WORLD_SIZE" in env:  # one machine, as Lightning starts them
        world = int(env["WORLD_SIZE"])
        return Ranks(int(env["LOCAL_RANK"]), world, world)
    return Ranks()


def join() -> None:
    """Meet the others that torchrun or SLURM has started, if there are any; :func:`leave` before the process ends.

    The first process holds what the others hear, so it comes before it does what may fail or takes long.

    Raises:
        OtherProcessError: if the first process does not come, or no process can reach it.
    """
    if ranks().external and ranks().world > 1:
        try:
            _store().add("come", 1)
        except RuntimeError as error:
            where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            if ranks().rank == 0:
                said = f"other processes cannot be waited for at {where}: set MASTER_PORT to one that is free"
            else:
                said = f"the first process of this command has not come to {where} in {_COMES.seconds // 60} minutes"
            raise OtherProcessError(said) from error


def leave() -> None:
    """Let the others know that this process ends; the first one waits until they have heard what it said."""
    if not (ranks().external and _connected()):
        return
    with suppress(RuntimeError):  # the first process may be gone
        store, others = _store(), ranks().world - 1
        store.add("gone", 1)
        if ranks().rank == 0:
            _await(store, "come", others + 1, _COME)
            _await(store, "gone", others + 1, _GO)


def _await(store: Store, key: str, n: int, patience: timedelta) -> None:
    """Until as many have said so; some may have been killed."""
    end = time.monotonic() + patience.total_seconds()
    while store.add(key, 0) < n and time.monotonic() < end:
        time.sleep(_LOOK)


def tell(topic: str, word: str) -> None:
    """The first process says something to all others, those included that it will start."""
    os.environ[f"{_TOLD}_{topic.upper()}"] = word
    if ranks().external and ranks().world > 1:
        _store().set(topic, word)


def hear(topic: str) -> str:
    """What the first process says; waits for it.

    Raises:
        OtherProcessError: if one has failed meanwhile.
    """
    if not ranks().external:
        return os.environ[f"{_TOLD}_{topic.upper()}"]
    _wait(topic)
    return _store().get(topic).decode()


def meet(topic: str) -> None:
    """Wait until every process has come here.

    Raises:
        OtherProcessError: if one has failed meanwhile.
    """
    if ranks().world > 1:
        store = _store()
        if store.add(f"{topic} met", 1) == ranks().world:
            store.set(f"{topic} done", "")
        _wait(f"{topic} done")


def gather(topic: str, word: str) -> list[str]:
    """What every process says, in their order, to the first; to the others only that all have come here."""
    if ranks().world == 1:
        return [word]
    store = _store()
    store.set(f"{topic} {ranks().rank}", word)
    meet(topic)
    return [store.get(f"{topic} {rank}").decode() for rank in range(ranks().world)] if ranks().rank == 0 else []


def first_to_fail() -> bool:
    """Whether this process is the first that fails, and so the one to say why."""
    if ranks().world == 1 or (ranks().external and not _connected()):
        return True
    try:
        return _store(_GO).add("failed", 1) == 1
    except RuntimeError:  # the first process is gone, and the store with it: it has spoken, or whoever ended it does
        return False


def _wait(key: str) -> None:
    try:
        store = _store()
        while not store.check([key]):  # wait would warn at every look
            if store.add("failed", 0):
                raise OtherProcessError("another process of this command has failed")
            time.sleep(_LOOK)
    except RuntimeError as error:
        raise OtherProcessError("the first process of this command has ended") from error


@cache
def _connected() -> list[Store]:
    return []


def _store(patience: timedelta = _COMES) -> Store:
    """What all processes see: torchrun's, or one that the first process holds, where Lightning's is or will be."""
    from torch.distributed import PrefixStore, TCPStore

    found = _connected()
    if not found:
        if "MASTER_ADDR" not in os.environ or "MASTER_PORT" not in os.environ:
            from lightning.fabric.plugins.environments import SLURMEnvironment

            place = SLURMEnvironment()
            os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place.main_address, str(place.main_port)
        known, agent = ranks(), os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            known.world,
            is_master=known.rank == 0 and not agent,
            timeout=patience,
            wait_for_workers=False,
            multi_tenant=True,
        )
        found.append(PrefixStore("surflow", store))
    return found[0]
