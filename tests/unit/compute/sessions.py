# SPDX-License-Identifier: Apache-2.0
"""A session whose guest answers as a test says."""

from __future__ import annotations

import json
import types

import testtools

from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.policy import resolve
from tests.unit.compute import cases
from tests.unit.monitor import fakes


class SessionCase(testtools.TestCase):
    """A test that makes sessions."""

    def build(self, answers=None, circumstances=None, outside=None, **policy):
        """Make a session whose guest answers each monitor command as told, else with nothing."""
        self.domain = fakes.Domain(**{'XMLDesc': '<domain/>', **(answers or {})})
        self.commands = []

        def send(domain, text):
            command = json.loads(text)['execute']
            self.commands.append(command)
            said = (answers or {}).get(command, {})
            return json.dumps(said if 'error' in said else {'return': said})

        box = inbox_mod.Inbox()
        resolved = resolve.resolve(resolve.Sources(flavor=policy))
        return session_mod.Session(
            session_mod.MigrationFacts(
                instance=types.SimpleNamespace(uuid='s'), migration='m', destination='n2',
                resolved=resolved, resolver=lambda retune: resolved, memory_bytes=1 << 30,
                link_mib_s=None, circumstances=cases.at(**(circumstances or {}))),
            guest_mod.MigratingGuest(self.domain, send), box,
            journal_mod.Journal(None, 0.0, 0), link_rates.LinkRates(None), outside=outside)
