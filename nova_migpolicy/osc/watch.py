# SPDX-License-Identifier: Apache-2.0
"""The command that watches a live migration until it is over, and the base of such commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from nova_migpolicy.osc import base
from nova_migpolicy.osc import errors
from nova_migpolicy.osc.watching import polling
from nova_migpolicy.osc.watching import screen
from nova_migpolicy.osc.watching import watched
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

# Seconds without an answer to a request that is made again and again.
_POLL_TIMEOUT_S = 10.0
EXIT_STATUSES = ('exit status: 0 completed, 3 cancelled, 4 failed, 5 broken in post-copy, 130 '
                 'stopped by Ctrl-C, 1 anything else.')


class Watching(base.Base):
    """The base of commands that watch: the place of the drawing, Ctrl-C, and the exit status.

    The drawing goes to standard output with the format table, otherwise to standard error, so
    that standard output is JSON or CSV and nothing else.
    """

    status = 0

    def get_epilog(self) -> str:
        """Return the exit statuses and the examples."""
        return f'{EXIT_STATUSES}\n\n{super().get_epilog()}'

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; the exit status tells the outcome."""
        try:
            return super().run(parsed_args) or self.status
        except _Stopped:
            return watched.STOPPED
        except KeyboardInterrupt:
            self.log.warning('Stopped; what was started goes on.')
            return watched.STOPPED

    def follow(self, parsed_args: argparse.Namespace, targets: Sequence[polling.Target],
               many: bool = False) -> None:
        """Watch until all are over.

        :param many: a line for each, even if it is only one
        """
        stream = (self.app.stdout if parsed_args.formatter == 'table' else self.app.stderr)
        shown = screen.choose(stream, many)
        try:
            polling.follow(polling.Source(self.api(_POLL_TIMEOUT_S)), targets, shown)
        except KeyboardInterrupt:
            shown.close()
            shown.tell(_stopped([one for one in targets if not one.watch.over]))
            raise _Stopped from None
        finally:
            shown.close()


class Watch(Watching, base.ShowOne):
    """Watch a live migration until it is over.

    On a terminal: a bar, the rate in MiB/s, the time to its end (seconds, from low to high), the
    blackout that is expected and the one that was promised (ms), the deadline, and below it the
    decisions as they happen. Anywhere else: a line for each new fact and one every few seconds.
    Ctrl-C stops watching and nothing else.
    """

    examples = (
        ('server migration watch db-1', 'the migration of db-1 that is under way'),
        ('server migration watch db-1 42 | grep decision', 'only what is decided'),
        ('server migration watch db-1 -f json 2>watch.log',
         'the outcome for a program, the way there in a file'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        base.add_migration(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Watch, then return the summary."""
        target = polling.Target(self.migration(self.api(), parsed_args))
        self.follow(parsed_args, [target])
        self.status = target.watch.exit_status
        if target.watch.lost:
            raise errors.Failed(target.watch.lost)
        return base.fields(parsed_args, summary(target))


def summary(target: polling.Target) -> dict[str, Any]:
    """Return the fields of a migration's end."""
    now = target.watch.view
    final = now.final if now else {}
    return {
        'server': target.migration.server.name, 'server_id': target.migration.server.id,
        'migration_id': target.migration.id,
        'source_host': now.source if now else None,
        'destination_host': now.destination if now else None,
        'outcome': now.outcome or now.status if now else None,
        'reason': _reason(target),
        'total_seconds': _rounded(final.get('total_seconds')),
        'blackout_ms': words.number(final.get('downtime_ms')),
        'memory_sent_mib': words.mib(final.get('memory_sent_bytes')),
        'disk_sent_mib': words.mib(final.get('disk_sent_bytes')),
        'passes': words.number(final.get('passes')),
    }


def _reason(target: polling.Target) -> str | None:
    now = target.watch.view
    if now is None or now.outcome == vocabulary.COMPLETED:
        return None
    if not now.reason and now.outcome == vocabulary.FAILED:
        return f'"openstack server event list {target.migration.server.id}" may say why'
    return now.reason or None


def _rounded(value: object) -> float | None:
    known = words.number(value)
    return None if known is None else round(known, 1)


class _Stopped(Exception):
    """The user pressed Ctrl-C."""


def _stopped(left: Sequence[polling.Target]) -> str:
    if len(left) == 1:
        only = left[0].migration
        named = f'{only.server.id} {only.id}'
        return ('Stopped watching; the migration goes on. To watch it again: openstack server '
                f'migration watch {named}; to cancel it: openstack server migration abort '
                f'{named}')
    return (f'Stopped watching; {len(left)} migrations go on. To cancel all of a host: openstack '
            'server migration cancel --host HOST')
