# SPDX-License-Identifier: Apache-2.0
"""Interprets the values of Nova's own options, and writes the operator's warnings about them.

Nova's options permit values that no policy key takes. None of them is an error: a gentle value is
used instead, and a remark names the option, its value, what that would mean, and the value used.
The keys of [migpolicy] itself are strict; that is the business of ``policy.key``.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import types

from nova_migpolicy.policy import keys
from nova_migpolicy.policy import nova_options
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import resolve

MIB = 2 ** 20
# Used in place of a rate that cannot be meant. VMware asks for 250 Mbit/s for each
# vMotion at least, which is 29.8 MiB/s: a migration that is given less hardly ever finishes.
GENTLE_MIB_S = 30
# No link is faster: Ethernet has 800 Gbit/s at most (IEEE 802.3df), which is 95367 MiB/s.
FASTEST_MIB_S = 100_000
# Progress that is written less often than once a day is not written at all.
LONGEST_INTERVAL_S = 86_400
# Nova's own defaults.
PROGRESS_INTERVAL_S = 5.0
DOWNTIME_MS = 500
DOWNTIME_STEPS = 10
TIMEOUT_S_PER_GIB = 800
TIMEOUT_ACTION = 'abort'
BANDWIDTH = 0       # no cap
CONNECTIONS = 1

# The servers that a remark is about: where the site has a policy of ours, and where its profile
# is nova.
_UNDER = 'under every profile but nova'
_ELSEWHERE = 'for servers whose flavor has another profile'
# The meaning of each of the two keys of a rate.
_RATES = {'bandwidth_mib_s': 'the start rate', 'max_bandwidth_mib_s': 'the ceiling'}
# The key that the profile nova shows an option's value as.
_SHOWN_AS = {nova_options.DOWNTIME: 'max_downtime_ms',
             nova_options.COMPLETION_TIMEOUT: 'timeout_seconds_per_gib',
             nova_options.BANDWIDTH: 'max_bandwidth_mib_s',
             nova_options.CONNECTIONS: 'parallel_connections'}
_SHOWN = 40


@dataclasses.dataclass(frozen=True)
class Said:
    """The value of one option in nova.conf.

    :ivar value: as Nova reads it; None where it cannot or where nothing is given.
    :ivar text: as it is written, for operators.
    :ivar is_set: whether the operator wrote it there; else it is Nova's default.
    :ivar wrong: the reason why Nova cannot read it; None where it can.
    """

    value: object
    text: str
    is_set: bool
    wrong: str | None = None

    @property
    def number(self) -> int | None:
        """The value, if it is a number."""
        return self.value if isinstance(self.value, int) else None


# The values by option, without options that this Nova does not have.
All = abc.Mapping[nova_options.Option, Said]


@dataclasses.dataclass(frozen=True)
class Taken:
    """The values that count instead of an option's value.

    :ivar values: by policy key.
    :ivar odd: the reason why the value is not taken as it is, or what it would mean.
    """

    values: abc.Mapping[str, int] = dataclasses.field(default_factory=dict)
    odd: str = ''


def libvirt(said: All) -> abc.Mapping[str, object]:
    """Return nova.conf [libvirt] as policy keys, where it differs from Nova's defaults."""
    given: dict[str, object] = {}
    for taken, default in ((_bandwidth(said), BANDWIDTH), (_connections(said), CONNECTIONS)):
        if taken.odd or set(taken.values.values()) != {default}:
            given.update(taken.values)
    return types.MappingProxyType(given)


def progress_interval_s(said: All) -> float:
    """Return the least time between two writes of progress into the database."""
    return _interval(said)[0]


def stock(profile: profiles.Profile, said: All) -> profiles.Profile:
    """Return the profile nova with the figures that Nova itself would use, for operators to see.

    A figure outside a key's range is shown as the nearest value in it.
    """
    values = dict(profile.values)
    values.update(_stock_figures(said))
    return dataclasses.replace(profile, values=types.MappingProxyType(values))


def remarks(said: All, site: resolve.Resolved, is_stock: bool) -> tuple[str, ...]:
    """Write one sentence for each option that does not count, or not as it is written.

    :param site: the policy of a server for which its flavor, its image and the request set
        nothing, or what it would be if the site's profile were not nova.
    :param is_stock: whether it is nova.
    """
    whom = _ELSEWHERE if is_stock else _UNDER
    found = []
    for option in nova_options.READ:
        if option not in said or not said[option].is_set:
            continue
        clauses = [clause for clause in _clauses(option, said, site, whom) if clause]
        if clauses:
            found.append(f'nova.conf {option.title} = {_cut(said[option].text)}: '
                         + '; '.join(clauses))
    return tuple(found)


def _clauses(option: nova_options.Option, said: All, site: resolve.Resolved,
             whom: str) -> abc.Iterator[str]:
    if option is nova_options.MONITOR_INTERVAL:
        yield _interval(said)[1]
    elif option.fate is nova_options.Fate.MAPPED:
        taken = _taken(option, said)
        yield taken.odd
        yield _overridden(taken, site, whom) or _counts(option, taken, site, whom)
        yield _shown_otherwise(option, said)
    else:
        yield _unreadable(said[option]) if said[option].wrong else ''
        yield _shown_otherwise(option, said)
        yield f'it has no effect {whom}; set {option.instead} instead'


def _taken(option: nova_options.Option, said: All) -> Taken:
    return _bandwidth(said) if option is nova_options.BANDWIDTH else _connections(said)


def _unreadable(one: Said) -> str:
    return f'it cannot be read ({one.wrong}), and Nova fails where it needs it'


def _bandwidth(said: All) -> Taken:
    one = said.get(nova_options.BANDWIDTH)
    if one is None or not one.is_set:
        return Taken()
    rate, why = one.number, ''
    highest = keys.KEYS['bandwidth_mib_s'].maximum or 0
    if one.wrong:
        rate, why = GENTLE_MIB_S, _unreadable(one)
    elif rate is None:
        return Taken(odd='it is empty and counts as not set')
    elif rate < 0:
        rate, why = GENTLE_MIB_S, 'a rate below 0 cannot be meant'
    elif rate > highest:
        why = f'{_cut(str(rate))} MiB/s is above {highest}, which no link has'
        if GENTLE_MIB_S <= rate // MIB <= FASTEST_MIB_S:
            rate //= MIB
            why += f', and in bytes/s it is {rate} MiB/s'
        else:
            rate = GENTLE_MIB_S
            why += ', and in bytes/s it is no rate that can be meant either'
    values = {'bandwidth_mib_s': rate, 'max_bandwidth_mib_s': rate}
    return Taken(values, why)


def _connections(said: All) -> Taken:
    one = said.get(nova_options.CONNECTIONS)
    if one is None or not one.is_set:
        return Taken()
    if one.value is None and not one.wrong:
        return Taken(odd='it is empty and counts as not set')
    key = keys.KEYS['parallel_connections']
    asked = one.number
    count = key.minimum or 1 if asked is None else _nearest(key, asked)
    if asked == count:
        return Taken({key.name: count})
    why = (_unreadable(one) if asked is None else
           f'the number of connections is {key.allows()}')
    return Taken({key.name: count}, why)


def _interval(said: All) -> tuple[float, str]:
    """Return the interval in seconds, and what is odd about it."""
    one = said.get(nova_options.MONITOR_INTERVAL)
    if one is None:
        return PROGRESS_INTERVAL_S, ''
    if one.number is not None and 1 <= one.number <= LONGEST_INTERVAL_S:
        return float(one.number), ''
    why = _unreadable(one) if one.wrong else 'it is no time between two writes of progress'
    return PROGRESS_INTERVAL_S, f'{why}; {PROGRESS_INTERVAL_S:g} s is taken {_UNDER}'


def _stock_figures(said: All) -> abc.Mapping[str, keys.Value]:
    """Return the figures that Nova's own monitor would use, within the ranges of the keys."""
    downtime = _number(said, nova_options.DOWNTIME, DOWNTIME_MS)
    steps = max(1, _number(said, nova_options.DOWNTIME_STEPS, DOWNTIME_STEPS))
    rate = _stock_rate(said)
    figures = {
        'max_downtime_ms': downtime, 'initial_downtime_ms': downtime // steps,
        'timeout_seconds_per_gib': _number(
            said, nova_options.COMPLETION_TIMEOUT, TIMEOUT_S_PER_GIB),
        'bandwidth_mib_s': rate, 'max_bandwidth_mib_s': rate,
        'parallel_connections': _number(said, nova_options.CONNECTIONS, CONNECTIONS)}
    shown: dict[str, keys.Value] = {
        name: _nearest(keys.KEYS[name], figure) for name, figure in figures.items()}
    action = said.get(nova_options.TIMEOUT_ACTION)
    choices = keys.KEYS['on_timeout'].choices
    shown['on_timeout'] = (action.value if action and isinstance(action.value, str)
                           and action.value in choices else TIMEOUT_ACTION)
    return shown


def _stock_rate(said: All) -> int:
    """Return the rate to show; 0 only for no cap, not for a rate that cannot be meant."""
    rate = _number(said, nova_options.BANDWIDTH, BANDWIDTH)
    one = said.get(nova_options.BANDWIDTH)
    return GENTLE_MIB_S if rate < 0 or (one and one.wrong) else rate


def _shown_otherwise(option: nova_options.Option, said: All) -> str:
    """State that a figure of profile nova is not the one that Nova uses; empty where it is."""
    number = said[option].number
    name = _SHOWN_AS.get(option)
    if name is None or number is None or number == (shown := _stock_figures(said)[name]):
        return ''
    return f"profile nova is shown with {name} = {shown}, but Nova's own monitor takes it as it is"


def _counts(option: nova_options.Option, taken: Taken, site: resolve.Resolved, whom: str) -> str:
    """State what an odd value is taken as, for which keys, and what counts beside it."""
    mine = [name for name in taken.values
            if resolve.is_from(site, name, resolve.Level.LIBVIRT)]
    if not taken.odd or not mine:
        return ''
    text = str(getattr(site.policy, mine[0]))
    if option is nova_options.BANDWIDTH:
        parts = [_RATES[name] if len(mine) > 1 else f'{_RATES[name]} ({name})' for name in mine]
        text += f' MiB/s is taken as {" and ".join(parts)}'
    else:
        text += ' is taken'
    text += f' {whom}'
    beside = [name for name in taken.values if name not in mine]
    if beside:
        text += f'; beside it counts {_values(beside, site)}'
    return f'{text}; set {option.instead} to what is wanted'


def _values(names: abc.Iterable[str], site: resolve.Resolved) -> str:
    return ', '.join(
        f'{name} = {getattr(site.policy, name)} ({site.origins[name]})' for name in names)


def _overridden(taken: Taken, site: resolve.Resolved, whom: str) -> str:
    """State which values count instead, where none of the interpreted ones does."""
    beside = [name for name, value in taken.values.items() if getattr(site.policy, name) != value
              and not resolve.is_from(site, name, resolve.Level.LIBVIRT)]
    if not beside or len(beside) < len(taken.values):
        return ''
    effect = f'it has no effect {whom}' if whom == _ELSEWHERE else 'it has no effect'
    return f'{effect}, what counts is {_values(beside, site)}'


def _number(said: All, option: nova_options.Option, default: int) -> int:
    one = said.get(option)
    number = one.number if one else None
    return default if number is None else number


def _nearest(key: keys.Key, number: int) -> int:
    lowest = number if key.minimum is None else max(key.minimum, number)
    return lowest if key.maximum is None else min(key.maximum, lowest)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
