"""Gives each line of an input its record id.

Here belong the id itself and what must be remembered to tell twin lines apart. Not here: how a record is
written (``records.py``).
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_SLOTS = 1 << 12
_SEPARATOR = "\x1f"


class RecordIds:
    """Record ids: 32 hex digits from a line as it was, and from how many identical lines came before it.

    The fields are hashed as the file has them, before a timestamp is shifted or a number rewritten, so that
    the id survives a retry, another run and a shift of the same file. The occurrence number keeps twin lines
    (two scans of the same item, legitimate) apart.

    To count occurrences every distinct line must be remembered. What is kept is 8 bytes of its hash in a
    table at most half full: 16 to 32 bytes a line, 32 MiB for a million of them. Two different lines whose 8
    bytes agree do no harm: the second counts as a second occurrence, and its id is distinct all the same.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over: for a source of which no line comes back, so that it may run for ever."""
        self._slots = array("Q", bytes(8 * _FIRST_SLOTS))
        self._used = 0
        self._repeated: dict[int, int] = {}

    def next(self, fields: Sequence[str]) -> str:
        """The id of the next line.

        Args:
            fields: The line's fields as they stand in the file.

        Returns:
            32 lower-case hex digits.
        """
        state = blake2b(_SEPARATOR.join(fields).encode("utf-8", "surrogatepass"), digest_size=16)
        occurrence = self._occurrence(int.from_bytes(state.digest()[:8], "little") or 1)
        # Always hashed in, also for the first: no line's own text may look like "line plus occurrence".
        state.update(b"\x1e%d" % occurrence)
        return state.hexdigest()

    def _occurrence(self, fingerprint: int) -> int:
        """1 for a fingerprint that is new, 2 the second time, and so on. 0 marks a free slot."""
        slots, mask = self._slots, len(self._slots) - 1
        slot = fingerprint & mask
        while (found := slots[slot]) != fingerprint:
            if not found:
                slots[slot] = fingerprint
                self._used += 1
                if self._used * 2 > len(slots):
                    self._grow()
                return 1
            slot = (slot + 1) & mask
        count = self._repeated.get(fingerprint, 1) + 1
        self._repeated[fingerprint] = count
        return count

    def _grow(self) -> None:
        old = self._slots
        slots = array("Q", bytes(16 * len(old)))
        mask = len(slots) - 1
        for fingerprint in old:
            if fingerprint:
                slot = fingerprint & mask
                while slots[slot]:
                    slot = (slot + 1) & mask
                slots[slot] = fingerprint
        self._slots = slots
