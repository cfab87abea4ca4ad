# SPDX-License-Identifier: Apache-2.0
"""The simulated guest, built from the operator's options.

An option that the chosen pattern does not use is refused, since it would change nothing. The
patterns are in `patterns`; a recorded guest is built in `recorded_guest`.
"""

from __future__ import annotations

import argparse
import dataclasses

from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy.cmd.simulate import patterns
from nova_migpolicy import exception
from nova_migpolicy.sim import guests

METAVARS = (('_mib_s', 'MIB_S'), ('_mib', 'MIB'), ('seconds', 'SECONDS'), ('', 'NUMBER'))


@dataclasses.dataclass(frozen=True)
class Guest:
    """A guest; does: its behaviour, in words.

    measured: nova-compute had QEMU measure it before its migration.
    """

    pattern: str
    load: guests.Workload
    does: str
    measured: bool = True

    @property
    def sentence(self) -> str:
        """The guest in words."""
        text = f'a guest of {patterns.size(self.load.memory_mib)} that {self.does}'
        if self.load.zero_mib:
            text += f'; {patterns.size(self.load.zero_mib)} of its memory were never touched'
        return text

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {'pattern': self.pattern, 'memory_mib': self.load.memory_mib,
                'writable_set_mib': round(self.load.writable_set_mib, 1),
                'untouched_mib': self.load.zero_mib, 'sentence': self.sentence}


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a guest."""
    group = parser.add_argument_group('the server')
    group.add_argument('--memory-mib', type=inputs.MEMORY_MIB, metavar='MIB',
                       help='its memory; a flavor or a journal gives it as well')
    group.add_argument(
        '--pattern', choices=tuple(patterns.PATTERNS), metavar='PATTERN',
        help='how it writes to its memory: '
        + '; '.join(f'{name} {one.help}' for name, one in patterns.PATTERNS.items())
        + ' (default: the one whose own options are given, else uniform, or idle where nothing '
        'is said)')
    for one in patterns.OPTIONS:
        own = '' if len(one.patterns) > 1 else f' ({one.patterns[0]})'
        usual = '' if one.default is None else f', by default {one.default:g}'
        metavar = next(shown for ending, shown in METAVARS if one.name.endswith(ending))
        group.add_argument(one.flag, type=one.kind, metavar=metavar,
                           help=f'{one.help}{own}{usual}')
    group.add_argument(
        '--phase', action='append', type=_phase, metavar='SECONDS:MIB_S:SET_MIB[:uniform]',
        help='a time in which it writes to the first SET_MIB of its memory, in order or at '
        'random; repeat it (phases)')
    group.add_argument('--untouched-mib', type=inputs.UNTOUCHED_MIB, metavar='MIB',
                       help='memory that was never written to, and costs nothing to send '
                       '(default: none)')


def _phase(text: str) -> guests.Stretch:
    seconds, rate, size, *how = [*text.split(':'), '', '']
    if how not in (['', ''], ['sweep', '', ''], ['uniform', '', '']):
        raise argparse.ArgumentTypeError(
            f'{exception.shown(text)}: write it as SECONDS:MIB_S:SET_MIB or '
            'SECONDS:MIB_S:SET_MIB:uniform, like 60:400:2048')
    return guests.Stretch(inputs.SECONDS(seconds), inputs.WRITE_MIB_S(rate),
                          inputs.SET_MIB(size), sweep=how[0] != 'uniform')


def given(args: argparse.Namespace) -> list[str]:
    """Return the options of the guest's behaviour that were given."""
    names = ('memory_mib', 'pattern', 'phase', 'untouched_mib',
             *(one.name for one in patterns.OPTIONS))
    return ['--' + name.replace('_', '-') for name in names if getattr(args, name) is not None]


def build(args: argparse.Namespace, memory_mib: int) -> Guest:
    """Build the guest that the options describe.

    :raises inputs.BadInput: if they do not describe one.
    """
    name = args.pattern or _meant(args)
    values = _values(args, name)
    phases = tuple(args.phase or ())
    if name == 'phases' and not phases:
        raise inputs.BadInput('--pattern', name,
                              '--phase is missing: what it does, one after the other')
    if phases and name != 'phases':
        raise inputs.BadInput('--pattern', name, 'it does not use --phase; phases does')
    _check_sizes(values, phases, memory_mib, int(args.untouched_mib or 0))
    found = patterns.PATTERNS[name]
    load = found.make(memory_mib, values, phases)
    return Guest(name, dataclasses.replace(load, zero_mib=int(args.untouched_mib or 0)),
                 found.says(values, phases))


def _meant(args: argparse.Namespace) -> str:
    """Return the pattern where none is named: the one whose own options are given."""
    typed = [one for one in patterns.OPTIONS if getattr(args, one.name) is not None]
    if args.phase:
        return 'phases'
    own = [one.patterns[0] for one in typed if len(one.patterns) == 1]
    return own[0] if own else 'uniform' if typed else 'idle'


def _values(args: argparse.Namespace, pattern: str) -> dict[str, float]:
    """Return the values that the pattern needs."""
    values = {}
    for one in patterns.OPTIONS:
        typed = getattr(args, one.name)
        if pattern in one.patterns:
            value = one.default if typed is None else typed
            if value is None:
                raise inputs.BadInput('--pattern', pattern, f'{one.flag} is missing: {one.help}')
            values[one.name] = value
        elif typed is not None:
            raise inputs.BadInput(one.flag, typed, (
                f'pattern {pattern} does not use it; {", ".join(one.patterns)} does'))
    return values


def _check_sizes(values: patterns.Values, phases: patterns.Phases, memory_mib: int,
                 untouched_mib: int) -> None:
    """Check the sizes against each other.

    :raises inputs.BadInput: if they do not fit into the memory.
    """
    field = '--phase' if phases else '--writable-set-mib'
    largest = max((one.set_mib for one in phases), default=values.get('writable_set_mib', 0.0))
    if largest > memory_mib:
        raise inputs.BadInput(field, largest, (
            f'larger than the memory of the server, {memory_mib} MiB'))
    if values.get('hot_mib', 0.0) >= largest > 0:
        raise inputs.BadInput('--hot-mib', values['hot_mib'], (
            f'not smaller than the set that it is a part of, {largest:g} MiB'))
    if untouched_mib + largest > memory_mib:
        raise inputs.BadInput('--untouched-mib', untouched_mib, (
            f'with the {largest:g} MiB that are written to it is more than the memory of the '
            f'server, {memory_mib} MiB'))
