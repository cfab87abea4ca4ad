# SPDX-License-Identifier: Apache-2.0
"""Guests that write to their memory in a known way, and the boot images they start from.

The guest itself is guest.S. An image is raw, 1 MiB or more, and boots by BIOS from any disk; it
has a partition table entry, so that image services take it for a disk. Sizes are MiB, rates MiB/s:
pages written per second, each write touching one page of 4 KiB. A page written twice counts twice,
so at random the pages dirtied in a time are fewer than the pages written.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import struct
import subprocess
import tempfile
from typing import Literal

from lab import needs

Kind = Literal['idle', 'sweep', 'random', 'hotcold', 'bursts', 'phases']
KINDS: tuple[Kind, ...] = ('idle', 'sweep', 'random', 'hotcold', 'bursts', 'phases')
#: MiB of a guest's memory that it neither fills nor writes to: its code, the firmware's tables
RESERVED_MIB = 2
_PAGES_PER_MIB = 256
_TIMER_HZ = 3579545
_PARAMETERS, _TABLE, _OTHERS, _MAX_PHASES = 0x200, 0x210, 0x3fc, 17
_MAX_PROCESSORS = 8
_MAX_SECONDS = 599.0
_SOURCE = pathlib.Path(__file__).with_name('guest.S')


@dataclasses.dataclass(frozen=True)
class Phase:
    """What a guest does for a time.

    :param seconds: how long by the guest's clock, 0 to 599; 0: for ever
    :param rate_mib_s: MiB of pages written per second; 0: none
    :param set_mib: size of the writable set
    :param first_mib: where in the memory the set begins
    :param random: pages are taken at random, not in order
    :param hot_mib: the first part of the set, which gets `hot_share` (0 to 1) of the writes
    """

    seconds: float
    rate_mib_s: float
    set_mib: float
    first_mib: float = 0
    random: bool = False
    hot_mib: float = 0
    hot_share: float = 0

    def pack(self) -> bytes:
        """Return the seven words that the guest reads."""
        per_tick = self.rate_mib_s * _PAGES_PER_MIB / _TIMER_HZ
        share = min(int(self.hot_share * 2 ** 32), 2 ** 32 - 1) if self.random else 0
        return struct.pack(
            '<7I', int(self.seconds * _TIMER_HZ), int(per_tick * 2 ** 32),
            int(self.first_mib * _PAGES_PER_MIB), max(1, int(self.set_mib * _PAGES_PER_MIB)),
            int(self.hot_mib * _PAGES_PER_MIB), share, int(self.random))


@dataclasses.dataclass(frozen=True)
class Guest:
    """A guest of one of the kinds; fields that its kind does not use are ignored.

    :param kind: idle (writes nothing), sweep (the set in order, again and again), random
        (uniform), hotcold (random, `hot_share` of the writes go to `hot_mib`), bursts (a sweep
        for `on_ms`, nothing for `off_ms`), phases (a sweep; after `change_after_s` seconds its
        set becomes `then_set_mib` and its rate `then_rate_mib_s`, once)
    :param memory_mib: memory of the machine that it will run on, 8 to 3072
    :param set_mib: writable set, at most memory_mib - untouched_mib - 2
    :param rate_mib_s: up to 4096; what the processor cannot do is dropped
    :param untouched_mib: memory that is never touched, all of it behind the writable set; what
        no data were ever written to are zero pages for QEMU
    :param processors: 1 to 8, which share the work; the machine must have as many
    """

    kind: Kind = 'idle'
    memory_mib: int = 128
    set_mib: float = 64.0
    rate_mib_s: float = 20.0
    hot_mib: float = 8.0
    hot_share: float = 0.9
    on_ms: int = 2000
    off_ms: int = 2000
    change_after_s: float = 10.0
    then_set_mib: float = 8.0
    then_rate_mib_s: float = 5.0
    untouched_mib: int = 0
    processors: int = 1

    def phases(self) -> tuple[list[Phase], int]:
        """Return what it does in turn, and the index of what follows the last one."""
        base = Phase(0, self.rate_mib_s, self.set_mib)
        if self.kind == 'idle':
            return [Phase(0, 0, 1)], 0
        if self.kind == 'random':
            return [dataclasses.replace(base, random=True)], 0
        if self.kind == 'hotcold':
            return [dataclasses.replace(base, random=True, hot_mib=self.hot_mib,
                                        hot_share=self.hot_share)], 0
        if self.kind == 'bursts':
            return [dataclasses.replace(base, seconds=self.on_ms / 1000),
                    Phase(self.off_ms / 1000, 0, self.set_mib)], 0
        if self.kind == 'phases':
            return [dataclasses.replace(base, seconds=self.change_after_s),
                    Phase(0, self.then_rate_mib_s, self.then_set_mib)], 1
        return [base], 0

    def image(self, path: pathlib.Path, size_mib: int = 1) -> pathlib.Path:
        """Write the boot image, with a hole behind its first MiB if it is to be larger.

        :raises LabError: if a value is out of range, or there is no assembler
        """
        phases, again = self.phases()
        return write_image(path, self.memory_mib, phases, again, size_mib,
                           untouched_mib=self.untouched_mib, processors=self.processors)


def write_image(path: pathlib.Path, memory_mib: int, phases: list[Phase], again: int = 0,
                size_mib: int = 1, *, untouched_mib: int = 0, processors: int = 1
                ) -> pathlib.Path:
    """Write the boot image of a guest that does any sequence of phases.

    :param again: index of the phase that follows the last one
    :param untouched_mib: of its memory, which it neither fills nor writes to
    :param processors: of its machine
    :raises LabError: if a value is out of range, or there is no assembler
    """
    room = memory_mib - RESERVED_MIB - untouched_mib
    _check(memory_mib, phases, again, size_mib)
    _check_rest(untouched_mib, room, processors)
    _check_sets(phases, room)
    image = bytearray(_code())
    struct.pack_into('<4sIII', image, _PARAMETERS, b'MPG1', room * _PAGES_PER_MIB, len(phases),
                     again)
    struct.pack_into('<I', image, _OTHERS, processors - 1)
    table = b''.join(phase.pack() for phase in phases)
    image[_TABLE:_TABLE + len(table)] = table
    # One primary partition from the second MiB on (or the second sector of a 1 MiB image).
    first, sectors = (2048, size_mib * 2048 - 2048) if size_mib > 1 else (1, 2047)
    struct.pack_into('<B3sB3sII', image, 446, 0x80, b'\x00\x02\x00', 0x83, b'\xfe\xff\xff',
                     first, sectors)
    with open(path, 'wb') as f:
        f.write(image)
        f.truncate(size_mib << 20)
    return path


def _check(memory_mib: int, phases: list[Phase], again: int, size_mib: int) -> None:
    if not 8 <= memory_mib <= 3072:
        raise needs.LabError(f'memory must be 8 to 3072 MiB, not {memory_mib}')
    if size_mib < 1:
        raise needs.LabError(f'an image takes at least 1 MiB, not {size_mib}')
    if not 1 <= len(phases) <= _MAX_PHASES or not 0 <= again < len(phases):
        raise needs.LabError(f'1 to {_MAX_PHASES} phases, and `again` is one of them')
    for phase in phases:
        if not 0 <= phase.seconds <= _MAX_SECONDS:
            raise needs.LabError(f'a phase lasts 0 to {_MAX_SECONDS:g} s, not {phase.seconds:g}')
        if not 0 <= phase.rate_mib_s <= 4096:
            raise needs.LabError(f'a rate is 0 to 4096 MiB/s, not {phase.rate_mib_s:g}')


def _check_rest(untouched_mib: int, room: int, processors: int) -> None:
    if untouched_mib < 0 or room < 1:
        raise needs.LabError(f'at least 1 MiB of the memory must be touched, and untouched may '
                             f'be 0 MiB or more, not {untouched_mib}')
    if not 1 <= processors <= _MAX_PROCESSORS:
        raise needs.LabError(f'a guest has 1 to {_MAX_PROCESSORS} processors, not {processors}')


def _check_sets(phases: list[Phase], room: int) -> None:
    for phase in phases:
        if phase.first_mib < 0 or phase.set_mib <= 0 or phase.first_mib + phase.set_mib > room:
            raise needs.LabError(
                f'a writable set of {phase.set_mib:g} MiB from {phase.first_mib:g} on does not '
                f'fit: {room} MiB of the memory are there to be written to')
        if not 0 <= phase.hot_share <= 1 or not 0 <= phase.hot_mib <= phase.set_mib:
            raise needs.LabError('the hot part is at most the set, and its share 0 to 1')
        if phase.random and phase.hot_share > 0 and phase.hot_mib == 0:
            raise needs.LabError('a hot share needs a hot part')


@functools.cache
def _code() -> bytes:
    needs.require(needs.check_guests())
    with tempfile.TemporaryDirectory() as folder:
        obj, out = f'{folder}/guest.o', f'{folder}/guest.bin'
        for argv in (['as', '--32', str(_SOURCE), '-o', obj],
                     ['ld', '-m', 'elf_i386', '-Ttext', '0x7c00', '-e', 'start',
                      '--oformat', 'binary', obj, '-o', out]):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                raise needs.LabError(f'{argv[0]} failed: {done.stderr.strip()}')
        return pathlib.Path(out).read_bytes()
