# SPDX-License-Identifier: Apache-2.0
"""The commands that change a migration that is under way: retune, post-copy, pause."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from nova_migpolicy.osc import base
from nova_migpolicy.osc import errors
from nova_migpolicy.osc import options
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

_PENDING = 202


class Retune(base.ShowOne):
    """Change the policy of a live migration while it runs.

    A bandwidth, a blackout or a throttle that is set here is held: the plugin leaves it alone
    until it is released. The values shown have been taken by libvirt, unless pending says true.
    """

    examples = (
        ('server migration policy retune db-1 --bandwidth-mib-s 400', 'send at 400 MiB/s'),
        ('server migration policy retune db-1 --max-downtime-ms 800 --on-stall post_copy',
         'permit 800 ms of blackout, and post-copy if that is not enough'),
        ('server migration policy retune db-1 --release bandwidth_mib_s',
         'let the plugin steer the bandwidth again'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser, with an option for each key that may change."""
        parser = super().get_parser(prog_name)
        base.add_migration(parser)
        options.add_retunable(parser)
        parser.add_argument(
            '--release', action='append', default=[], metavar='<key>',
            help='Give a setting that is held back to the plugin; may be repeated')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return the applied values."""
        change: dict[str, Any] = options.retuned(parsed_args)
        if parsed_args.release:
            change['release'] = options.released(parsed_args.release)
        if not change:
            raise errors.Failed('Say what to change, for example --bandwidth-mib-s 400; --help '
                                'shows all options.')
        api = self.api()
        migration = self.migration(api, parsed_args)
        status, body = api.ours('PUT', f'{migration.path}/tuning', json={'tuning': change})
        found = _inner(body, 'tuning')
        pending = status == _PENDING or bool(found.get('pending'))
        if pending:
            self.log.warning('%s. To see the timeline: openstack server migration policy '
                             'timeline %s %s', found.get('reason') or 'Not done yet',
                             migration.server.id, migration.id)
        names = ('applied', 'released', 'held', 'settings', 'reason')
        return base.fields(parsed_args, {
            'server_id': migration.server.id, 'migration_id': migration.id, 'pending': pending,
            **{name: found.get(name) for name in names}})


class _Now(base.ShowOne):
    """The base of two commands that take no value: do it now."""

    action = ''

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        base.add_migration(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return the order that was begun."""
        api = self.api()
        migration = self.migration(api, parsed_args)
        found = _inner(api.ours('POST', f'{migration.path}/action',
                                json={self.action: None})[1], 'action')
        return base.fields(parsed_args, {
            'server_id': migration.server.id, 'migration_id': migration.id,
            'action': words.text(found.get('name')) or self.action, 'phase': found.get('phase'),
            'reason': found.get('reason')})


class PostCopy(_Now):
    """Switch a live migration to post-copy now.

    The server goes on at the destination at once and fetches the rest of its memory from there. It
    is slow for that time, and it cannot be cancelled any more: if the link breaks, the server is
    lost. Its policy must have had post-copy among its remedies when it started.
    """

    action = vocabulary.START_POST_COPY
    examples = (('server migration policy post-copy db-1', 'move db-1 over now'),)


class Pause(_Now):
    """Pause the server now for the rest of its live migration.

    It stands still until all of its memory has been sent (remaining MiB / rate in MiB/s seconds,
    as "progress" shows them), and runs on at the destination.
    """

    action = vocabulary.PAUSE
    examples = (('server migration policy pause db-1', 'let db-1 stand still and finish'),)


def _inner(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}
