# SPDX-License-Identifier: Apache-2.0
"""The services that all handlers share: Nova's database, the rules and the source hosts."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any, TypeVar

from nova_migpolicy.api import errors
from nova_migpolicy.api import http
from nova_migpolicy.api import lookup as lookup_mod
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import versions
from nova_migpolicy.channel import client

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Services:
    """The services of a process, used by all of its threads.

    :ivar unreachable: within a request about many migrations: the requests that failed, by host,
        with code and sentence, so that each is waited for once; None: not remembered.
    """

    lookup: lookup_mod.Lookup
    rbac: rbac_mod.Rbac
    channel: client.Channel
    unreachable: dict[tuple[str, str], tuple[int, str]] | None = None

    def target(self, call: http.ApiCall, rule: str) -> Target:
        """Find the migration of a call of ours, if the caller may do that to it.

        In Nova's order: first 404 for a server that cannot be seen, then the rule, then the rest.

        :raises errors.Refusal: 400, 403, 404, 406
        """
        versions.check(call.request.headers.get(versions.HEADER))
        call.check_project()
        server = self.lookup.server(call.context, call.server_id)
        self.rbac.check(call.context, rule, server.project_id)
        return self.known(call.context, server, call.migration_id)

    def known(self, context: Any, server: Any, migration_id: str) -> Target:
        """Find a migration of a server that was found.

        :raises errors.Refusal: 404
        """
        migration = self.lookup.migration(context, server, migration_id)
        return Target(self, context, server, migration)

    def ask(self, context: Any, host: str, method: str, **arguments: Any) -> client.Answer:
        """Ask the plugin on a host; return status and body.

        :param context: targeted at the host's cell.
        :raises errors.Unreachable: it cannot be asked.
        :raises errors.Refusal: it refused.
        """
        try:
            return self.channel.ask(context, host, method, **arguments)
        except client.Unreachable as error:
            raise errors.Unreachable(error.status, error.message) from None
        except client.Refused as error:
            raise errors.Refusal(error.status, error.message) from None

    def without_hosts(self, context: Any, server: Any, text: str,
                      hosts: Mapping[str | None, str]) -> str:
        """Rewrite a sentence for the caller: hosts are named only to those who may see migrations.

        :param hosts: by their names, the words in place of each.
        """
        if self.rbac.allows(context, rbac_mod.SHOW, server.project_id):
            return text
        for name, word in hosts.items():
            if name:
                text = re.sub(rf'(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)', word, text)
        return text


@dataclasses.dataclass(frozen=True)
class Target:
    """A live migration, and the context that is targeted at its cell."""

    services: Services
    context: Any
    server: Any
    migration: Any

    @property
    def host(self) -> str:
        """The source host, with the monitor and the journal."""
        return str(self.migration.source_compute)

    def check_up(self) -> None:
        """Check that the source host reports itself.

        :raises errors.Unreachable: 503
        """
        try:
            self._once('up', lambda: self.services.lookup.check_up(self.context, self.host))
        except errors.Unreachable as error:
            error.message = self.without_hosts(error.message)
            raise

    def without_hosts(self, text: str) -> str:
        """Rewrite a sentence about this migration, without hosts that the caller may not see."""
        found = self.migration
        return self.services.without_hosts(self.context, self.server, text, {
            found.dest_host: 'the destination', found.dest_node: 'the destination',
            found.dest_compute: 'the destination', found.source_node: 'the source host',
            found.source_compute: 'the source host'})

    def ask(self, method: str, **arguments: Any) -> client.Answer:
        """Ask the plugin on the source host about it; return status and body.

        :raises errors.Unreachable: it cannot be asked.
        :raises errors.Refusal: it refused.
        """
        self.check_up()
        try:
            return self._once(method, lambda: self.services.ask(
                self.context, self.host, method, server=self.server.uuid,
                migration=self.migration.uuid, **arguments))
        except errors.Refusal as error:
            error.message = self.without_hosts(error.message)
            raise

    def _once(self, what: str, ask: Callable[[], T]) -> T:
        """Ask, unless this host could not be asked the same a moment ago."""
        known, key = self.services.unreachable, (self.host, what)
        if known is not None and key in known:
            raise errors.Unreachable(*known[key])
        try:
            return ask()
        except errors.Unreachable as error:
            if known is not None:
                known[key] = error.code, error.message
            raise
