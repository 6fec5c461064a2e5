"""Book-keeping: bytes on the device, transfers over the bus, copies that cuML makes for itself, calls."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

OWN = ("torch", "cupy")  # who allocates for our own code; the others are RAPIDS' inside


@dataclass(frozen=True)
class Transfer:
    """Bytes that crossed between host and device: `to` is where they went ("device", "host")."""

    to: str
    nbytes: int
    shape: tuple[int, ...]
    dtype: str
    by: str


@dataclass(frozen=True)
class Copy:
    """A copy of its input that a library made for itself on the device."""

    by: str
    nbytes: int
    shape: tuple[int, ...]
    why: str


@dataclass
class Pool:
    """An allocator that keeps what it once had: `kept` bytes are free for itself alone."""

    live: int = 0
    kept: int = 0


@dataclass
class Ledger:
    """What happened on the device since the last `reset`.

    Attributes
    ----------
    transfers, copies : list
    calls : list of (name, dict)
        Constructors of estimators and parameters, and builds, with their keywords.
    peaks : dict
        Most bytes at one time, by who allocated them ("torch", "cupy", "cuml", "cuvs", "cudf"), for "own" (torch and
        cupy) and for "all".
    """

    transfers: list[Transfer] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=lambda: {"torch": Pool(), "cupy": Pool()})
    live: dict[int, tuple[int, str]] = field(default_factory=dict)
    rmm_used: bool = False
    _who: list[str] = field(default_factory=lambda: ["cupy"])
    _keys: Iterator[int] = field(default_factory=itertools.count)

    def reset(self) -> None:
        """Start anew, as a fresh process; what is still alive is forgotten."""
        keys = self._keys
        self.__init__()  # type: ignore[misc]
        self._keys = keys

    def mark(self) -> None:
        """Forget transfers, copies, calls and peaks, but not what lies on the device."""
        self.transfers, self.copies, self.calls, self.peaks = [], [], [], {}

    @property
    def now(self) -> int:
        """Bytes that live arrays hold on the device."""
        return sum(nbytes for nbytes, _ in self.live.values())

    @property
    def held(self) -> int:
        """The same, with what the allocators keep for themselves: no one else can have it."""
        return self.now + sum(pool.kept for pool in self.pools.values())

    @property
    def peak(self) -> int:
        return self.peaks.get("all", 0)

    @property
    def who(self) -> str:
        """Who is at work: "cupy" stands for our own code."""
        return self._who[-1]

    @contextmanager
    def at_work(self, library: str) -> Iterator[None]:
        """Put what is allocated and moved down to a library."""
        self._who.append(library)
        try:
            yield
        finally:
            self._who.pop()

    def moved(self, to: str, array: Any, by: str | None = None) -> None:
        """Note that an array, of NumPy or torch, crossed the bus."""
        dtype = str(array.dtype).removeprefix("torch.")
        self.transfers.append(Transfer(to, array.nbytes, tuple(array.shape), dtype, by or self.who))

    def crossings(self, to: str, at_least: int = 0) -> list[Transfer]:
        """Return the transfers to "device" or "host" of so many bytes or more."""
        return [one for one in self.transfers if one.to == to and one.nbytes >= at_least]

    def bytes_to(self, to: str) -> int:
        return sum(one.nbytes for one in self.crossings(to))

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the keywords of each call of that name."""
        return [arguments for called, arguments in self.calls if called == name]

    def take(self, nbytes: int, by: str, pool: str | None) -> int:
        """Note an allocation; return its key."""
        key = next(self._keys)
        self.live[key] = (nbytes, by)
        if pool:
            self.pools[pool].live += nbytes
            self.pools[pool].kept = max(0, self.pools[pool].kept - nbytes)
        sums = {"all": self.now, by: sum(n for n, who in self.live.values() if who == by)}
        sums["own"] = sum(n for n, who in self.live.values() if who in OWN)
        self.peaks = {**self.peaks, **{name: max(self.peaks.get(name, 0), value) for name, value in sums.items()}}
        return key

    def give(self, key: int, pool: str | None) -> None:
        """Note that an allocation ended."""
        nbytes, _ = self.live.pop(key, (0, ""))
        if pool and nbytes:
            self.pools[pool].live -= nbytes
            self.pools[pool].kept += nbytes


ledger = Ledger()


class Storage:
    """Bytes on the device; they are given back when nothing refers to this any more."""

    def __init__(self, nbytes: int, by: str | None = None) -> None:
        from rapids_double.memory import allocate

        self.nbytes = nbytes
        key, give_back = allocate(nbytes, by or ledger.who)
        weakref.finalize(self, give_back, key).atexit = False
