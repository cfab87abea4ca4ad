# SPDX-License-Identifier: Apache-2.0
"""Options and values made from the table of policy keys, checked before anything is sent."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
import difflib
from typing import Any

from nova_migpolicy import exception
from nova_migpolicy.osc import errors
from nova_migpolicy.policy import keys

_METAVARS = {'int': '<number>', 'choice': '<word>', 'list': '<word>[,<word>]', 'str': '<name>'}


def flag(key: keys.Key) -> str:
    """Return the option for a key: its name, unit included, with dashes."""
    return '--' + key.name.replace('_', '-')


def add_retunable(parser: argparse.ArgumentParser) -> None:
    """Add an option for each key that may change while a migration runs."""
    for key in keys.retunable():
        parser.add_argument(
            flag(key), dest=key.name, metavar=_METAVARS[key.kind],
            help=f'{key.help} It takes {key.allows()}.'.replace('%', '%%'))


def retuned(parsed_args: argparse.Namespace) -> dict[str, Any]:
    """Return the values that were given to the options of ``add_retunable``.

    :raises Failed: one or more are not possible, all of them are named
    """
    return _checked((key.name, flag(key), given) for key in keys.retunable()
                    if (given := getattr(parsed_args, key.name)) is not None)


def requested(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the values of ``--set key=value``, as often as it was given.

    :raises Failed: one or more are not possible, all of them are named
    """
    split = [pair.partition('=') for pair in pairs]
    bad = [name for name, equals, _value in split if not equals]
    if bad:
        raise errors.Failed(f'--set {bad[0]}: write it as key=value, like '
                            '--set max_downtime_ms=300.')
    return _checked((_known(name.strip()), f'--set {name.strip()}', value)
                    for name, _equals, value in split)


def released(names: Iterable[str]) -> list[str]:
    """Return the keys of ``--release``, as often as it was given; dashes count as underscores.

    :raises Failed: one of them cannot be held at all
    """
    retunable = [key.name for key in keys.retunable()]
    found = []
    for name in names:
        key = name.replace('-', '_')
        if key not in retunable:
            raise errors.Failed(f'--release {name}: nothing of that name can be held; there is '
                                f'{", ".join(retunable)}.')
        found.append(key)
    return found


def _known(name: str) -> str:
    requestable = [key.name for key in keys.requestable()]
    if name in requestable:
        return name
    close = difflib.get_close_matches(name, requestable, n=2)
    hint = f'did you mean {" or ".join(close)}?' if close else f'there is {", ".join(requestable)}'
    raise errors.Failed(f'--set {name}: a request cannot set that; {hint}')


def _checked(given: Iterable[tuple[str, str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    wrong = []
    for name, option, text in given:
        try:
            value = keys.KEYS[name].parse(text)
        except exception.BadValue as error:
            takes = keys.KEYS[name].allows()
            more = '' if takes in error.reason else f'; it takes {takes}'
            wrong.append(f'{option} {exception.shown(text)}: {error.reason}{more}')
            continue
        values[name] = list(value) if isinstance(value, tuple) else value
    if wrong:
        raise errors.Failed('. '.join(wrong) + '.')
    return values
