# SPDX-License-Identifier: Apache-2.0
"""The command that starts live migrations: of one server, or of all servers of a host."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from nova_migpolicy.osc import base
from nova_migpolicy.osc import errors
from nova_migpolicy.osc import find
from nova_migpolicy.osc import launch
from nova_migpolicy.osc import options
from nova_migpolicy.osc import watch
from nova_migpolicy.osc.watching import polling
from nova_migpolicy.osc.watching import watched
from nova_migpolicy.osc import words
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary

_BEGUN = (base.Column('Server ID', base.MACHINES), base.Column('Server'),
          base.Column('Migration'), base.Column('Outcome'), base.Column('Reason'))
_ENDED = (*_BEGUN[:4], base.Column('Seconds'), base.Column('Blackout ms'),
          base.Column('Sent MiB', base.MACHINES), base.Column('Reason'))
_PROFILE = 'profile'
_PRIORITY = 'priority'
_ON_BUSY = 'on_busy_destination'


class Start(watch.Watching, base.Lister):
    """Start a live migration, or those of all servers of a host.

    A policy may go with it, for these migrations alone; its keys end in their units. Without one
    the servers have the policy that their flavors and images give them, and the command also works
    where the plugin is not installed. With --from-host they have priority drain, and so go before
    others that wait for a slot; and where Nova chooses their destinations, they wait for one that
    is busy (on_busy_destination). --set may say otherwise for both. Of several outcomes the worst
    is the exit status.
    """

    examples = (
        ('server migration start db-1', 'move db-1, Nova chooses where to'),
        ('server migration start db-1 --host n2 --profile post_copy --wait',
         'to n2, by post-copy if need be, and watch it'),
        ('server migration start --from-host n1 --set timeout_seconds=300 --set on_timeout=pause',
         'empty n1; a server that is not moved after 5 minutes is paused for the rest'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='<server>', nargs='?', help='Server (name or ID)')
        parser.add_argument('--from-host', metavar='<host>',
                            help='All servers of this compute host, in place of <server>')
        parser.add_argument('--host', metavar='<host>',
                            help='Destination; by default Nova chooses')
        parser.add_argument('--profile', metavar='<profile>',
                            help='A named policy for this migration, like post_copy')
        parser.add_argument(
            '--set', dest='pairs', action='append', default=[], metavar='<key>=<value>',
            help='A policy key for this migration, like max_downtime_ms=300; may be repeated')
        wait = parser.add_mutually_exclusive_group()
        wait.add_argument('--wait', action='store_true', default=None,
                          help='Watch it to the end (the default with --from-host)')
        wait.add_argument('--no-wait', dest='wait', action='store_false', default=None,
                          help='Only start it (the default without --from-host)')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Start, perhaps watch, and return a row for each server."""
        if bool(parsed_args.server) == bool(parsed_args.from_host):
            raise errors.Failed('Name either a server or, with --from-host, a host to empty.')
        policy = self._policy(parsed_args)
        api = self.api()
        many = bool(parsed_args.from_host)
        launcher = launch.Launcher(api, parsed_args.host, policy,
                                   wish=_of_drain(policy, parsed_args.host) if many else {})
        started = (launcher.drain(parsed_args.from_host, self.log.warning) if many
                   else [launcher.start(find.server(api, parsed_args.server))])
        targets = {one.server.id: polling.Target(one.migration)
                   for one in started if one.migration}
        wait = many if parsed_args.wait is None else parsed_args.wait
        if wait and targets:
            self.follow(parsed_args, list(targets.values()), many)
        self.status = polling.worst([
            *(one.watch.exit_status for one in targets.values() if wait),
            *(watched.OTHER_ERROR for one in started if one.error)])
        if not wait:
            return base.table(parsed_args, _BEGUN, [_begun(one) for one in started])
        return base.table(parsed_args, _ENDED, [
            _ended(one, targets.get(one.server.id)) for one in started])

    def _policy(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        policy = options.requested(parsed_args.pairs)
        if parsed_args.profile:
            if policy.get(_PROFILE, parsed_args.profile) != parsed_args.profile:
                raise errors.Failed('--profile and --set profile name different profiles.')
            policy.update(options.requested([f'{_PROFILE}={parsed_args.profile}']))
        return policy


def _of_drain(policy: Mapping[str, Any], host: str | None) -> dict[str, Any]:
    """Return what a drain has beside its policy; under the stock profile it would not count."""
    if policy.get(_PROFILE) == keys.STOCK_PROFILE:
        return {}
    wish = {_PRIORITY: vocabulary.DRAIN}
    if not host:
        # Else most of a drain is refused as soon as the slots of all hosts are reserved.
        wish[_ON_BUSY] = vocabulary.WAIT
    return {name: value for name, value in wish.items() if name not in policy}


def _begun(one: launch.Started) -> tuple[Any, ...]:
    return (one.server.id, words.Sentence(one.server.name, 70), _known(
        one.migration.id if one.migration else None),
        'not started' if one.error else 'started', words.Sentence(one.error or None, 64))


def _ended(one: launch.Started, target: polling.Target | None) -> tuple[Any, ...]:
    end = watch.summary(target) if target else {}
    reason = one.error or (target.watch.lost if target else '') or end.get('reason')
    memory, disk = end.get('memory_sent_mib'), end.get('disk_sent_mib')
    sent = None if memory is None else round(memory + (disk or 0), 1)
    return (one.server.id, words.Sentence(one.server.name, 84),
            _known(one.migration.id if one.migration else None),
            end.get('outcome') or 'not started', _known(end.get('total_seconds')),
            _known(end.get('blackout_ms')), _known(sent), words.Sentence(reason or None, 74))


def _known(value: float | None) -> Any:
    """Leave a field empty, in a table, if its value is not known."""
    return words.Plain(None) if value is None else value
