# SPDX-License-Identifier: Apache-2.0
"""The base of all commands: the API, arguments, help that keeps its examples, and columns.

Tables show the columns that fit 100 characters; the formats for programs show all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import textwrap
import typing
from typing import Any

from osc_lib.command import command

from nova_migpolicy.osc import errors
from nova_migpolicy.osc import find
from nova_migpolicy.osc import http
from nova_migpolicy.osc import words

_HELP_WIDTH = 79


class _KeepLines(argparse.HelpFormatter):
    """A formatter that fills paragraphs and keeps lines that begin with a space: the examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return '\n\n'.join(
            part if part.startswith(' ') else textwrap.fill(part, min(width, _HELP_WIDTH))
            for part in text.split('\n\n'))


class Base(command.Command):
    """The base of our commands.

    :cvar examples: command lines, each with its purpose
    """

    examples: tuple[tuple[str, str], ...] = ()

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser, with help that keeps the lines of the examples."""
        parser = super().get_parser(prog_name)
        kind = typing.cast(type, parser.formatter_class)
        parser.formatter_class = typing.cast(Any, type('HelpFormatter', (_KeepLines, kind), {}))
        return parser

    def get_epilog(self) -> str:
        """Return the examples."""
        shown = [f'  # {what}\n  openstack {line}' for line, what in self.examples]
        title = ['examples:' if len(shown) > 1 else 'example:'] if shown else []
        return '\n\n'.join([*title, *shown, super().get_epilog()])

    def api(self, timeout_s: float = http.TIMEOUT_S) -> http.Api:
        """Return Nova's API with the user's credentials."""
        return http.Api(self.app.client_manager.sdk_connection.compute, timeout_s)

    def migration(self, api: http.Api, parsed_args: argparse.Namespace) -> find.Migration:
        """Find the migration that the arguments of ``add_migration`` name."""
        return find.migration(api, find.server(api, parsed_args.server), parsed_args.migration)


class ShowOne(Base, command.ShowOne):
    """A command that shows one thing."""


class Lister(Base, command.Lister):
    """A command that shows a list."""


class Words(words.Plain):
    """A policy value; a table shows an empty list as the word that the user would type."""

    def human_readable(self) -> str:
        """Return the value in words."""
        return 'none' if self._value == [] else super().human_readable()


class Maybe(words.Plain):
    """A value; a table shows a dash where there is none."""

    def human_readable(self) -> str:
        """Return the value in words."""
        return super().human_readable() or '-'


class Column:
    """A column of a list.

    :param only: the formats that show it, when no column was chosen; by default all
    """

    def __init__(self, name: str, only: Sequence[str] = ()) -> None:
        self.name = name
        self.only = only

    def shown(self, parsed_args: argparse.Namespace) -> bool:
        """Whether it is shown in the requested format."""
        return not self.only or bool(parsed_args.columns) or parsed_args.formatter in self.only


#: Formats that programs read.
MACHINES = ('json', 'yaml', 'csv', 'value')
#: Formats that can hold a record in a field.
NESTED = ('json', 'yaml')


def table(parsed_args: argparse.Namespace, columns: Sequence[Column],
          rows: Iterable[Sequence[Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Leave out the columns that the format does not show."""
    keep = [number for number, one in enumerate(columns) if one.shown(parsed_args)]
    return (tuple(columns[number].name for number in keep),
            [tuple(row[number] for number in keep) for row in rows])


def fields(parsed_args: argparse.Namespace, found: dict[str, Any],
           ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Show one thing; a table leaves out what is not known, and wraps its sentences."""
    if parsed_args.formatter == 'table' and not parsed_args.columns:
        found = {name: value for name, value in found.items() if value not in (None, '', [], {})}
    taken = max((len(name) for name in found), default=0) + 7
    return tuple(found), tuple(
        words.Sentence(value, taken) if isinstance(value, str)
        else words.Plain(value, taken) if isinstance(value, (list, tuple, dict)) else value
        for value in found.values())


def mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a record that the API's answer has to have.

    :raises Failed: it has not
    """
    found = body.get(name)
    if not isinstance(found, Mapping):
        raise _lacking(name)
    return found


def mappings(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return a list of records that the API's answer has to have.

    :raises Failed: it has not
    """
    found = body.get(name)
    if not isinstance(found, list):
        raise _lacking(name)
    return [one for one in found if isinstance(one, Mapping)]


def _lacking(name: str) -> errors.Failed:
    return errors.Failed(f"The API's answer has no {name} in it: the plugin on the API hosts may "
                         'be of another version.')


def add_migration(parser: argparse.ArgumentParser) -> None:
    """Add the arguments SERVER and MIGRATION."""
    parser.add_argument('server', metavar='<server>', help='Server (name or ID)')
    parser.add_argument(
        'migration', metavar='<migration>', nargs='?',
        help='Live migration (ID or UUID); by default the one that is under way, otherwise the '
             'newest')
