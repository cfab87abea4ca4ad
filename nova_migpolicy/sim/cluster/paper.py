# SPDX-License-Identifier: Apache-2.0
"""The written record on the source's disk: its bytes, as recovery writes and reads them."""

from __future__ import annotations

import dataclasses
import functools
import random

from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod

Written = evidence.Written

_RECORD = record_mod.Record(
    server='5e1f0000-0000-4000-8000-000000000001',
    migration='5e1f0000-0000-4000-8000-000000000002', source='source', destination='destination',
    written=Written.PREPARING, was_paused=False, block_migration=False, started_s=0.0)


@functools.cache
def _bytes_of(written: Written) -> bytes:
    return dataclasses.replace(_RECORD, written=written).to_bytes()


@functools.cache
def _written_in(document: bytes) -> Written | None:
    try:
        return record_mod.Record.from_bytes(document).written
    except exception.BadRecord:
        return None


class Paper:
    """One file, which is replaced as a whole; there may be none."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._document: bytes | None = None
        #: there has been one
        self.was_written = False

    def write(self, written: Written) -> None:
        """Say how far the migration has come."""
        self._document = _bytes_of(written)
        self.was_written = True

    def forget(self) -> None:
        """Remove it."""
        self._document = None

    def tear(self) -> bool:
        """Cut it off somewhere, and return whether there was one."""
        if self._document is None:
            return False
        self._document = self._document[:self._chance.randrange(len(self._document))]
        return True

    def read(self) -> Written:
        """Return what it says; what cannot be read is set aside."""
        if self._document is None:
            return Written.LOST
        written = _written_in(self._document)
        if written is None:
            self._document = None
        return written or Written.LOST
