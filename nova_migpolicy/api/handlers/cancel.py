# SPDX-License-Identifier: Apache-2.0
"""Nova's own ways to cancel a live migration and to force it to complete, with true answers.

Nova answers first, by its rules, and writes its records. Then the source host is asked for
the outcome: Nova accepts orders that are too late, and refuses some that are possible. Where there
is no plugin, Nova's answer stands; but not where the host does not answer: Nova has sent its order
without waiting, and it is lost where the message bus has just come back.
"""

from __future__ import annotations

import dataclasses

from nova.policies import servers_migrations
from oslo_log import log as logging
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import http
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.api import versions
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Way:
    """One of the two orders: our name for it, and the name in Nova's rule."""

    action: str
    rule: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one of the two.

    :ivar response: for the client.
    :ivar phase: the migration's phase then, where the source host told.
    :ivar unreachable: the reason why the source host could not be asked: Nova alone answers then.
    """

    response: webob.Response
    phase: str | None = None
    unreachable: errors.Unreachable | None = None

    @property
    def unknown(self) -> str | None:
        """Return why it is not known whether it is done, as a sentence; None where it is."""
        if self.unreachable is None or self.unreachable.code != 503:
            return None
        taken = ('Nova has accepted it, but its outcome is not known: '
                 if self.response.status_int < 400 else '')
        return f'{taken}{self.unreachable.message}'


_CANCEL = _Way(vocabulary.CANCEL, servers_migrations.POLICY_ROOT % 'delete')
_COMPLETE = _Way(vocabulary.FORCE_COMPLETE, servers_migrations.POLICY_ROOT % 'force_complete')


def cancel(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer ``DELETE …/migrations/{id}``."""
    return _told(_both(call, services, _CANCEL))


def force_complete(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer ``POST …/migrations/{id}/action`` with force_complete."""
    return _told(_both(call, services, _COMPLETE))


def cancel_with_outcome(call: http.ApiCall, services: target_mod.Services) -> Outcome:
    """Do the same as `cancel`, and return the source host's answer with it."""
    return _both(call, services, _CANCEL)


def _told(outcome: Outcome) -> webob.Response:
    """The response to the client.

    :raises errors.Refusal: 503: the outcome is not known
    """
    if outcome.unknown is not None:
        raise errors.Refusal(503, outcome.unknown)
    return outcome.response


def _both(call: http.ApiCall, services: target_mod.Services, way: _Way) -> Outcome:
    """Ask Nova and then the source host."""
    target = _find(call, services, way)
    if target is not None:
        target.check_up()
    response = call.pass_on()
    if target is None or not _leaves_it_open(response):
        return Outcome(response)
    # It may have ended in the meantime; an order for one that has not begun would stay remembered.
    status = services.known(call.context, target.server, call.migration_id).migration.status
    if status == 'completed' and way is _CANCEL and response.status_int < 300:
        raise errors.Refusal(
            409, f'Migration {target.migration.id} was not cancelled: it has just completed.')
    if status not in vocabulary.UNDER_WAY_STATUSES:
        return Outcome(response)
    try:
        _, found = target.ask('act', action=way.action)
    except errors.Unreachable as error:
        LOG.info('Nova alone answers for migration %s: %s', target.migration.id, error,
                 instance=target.server)
        return Outcome(response, unreachable=error)
    LOG.info('User %s: %s of migration %s', call.context.user_id, way.action,
             target.migration.id, instance=target.server)
    if found is None:
        # Nova's own monitor watches it, so Nova's answer is the true one.
        return Outcome(response)
    if response.status_int >= 400:
        response = webob.Response(status=202, headers=_versions_of(response))
    return Outcome(response, found.get('phase'))


def _find(call: http.ApiCall, services: target_mod.Services,
          way: _Way) -> target_mod.Target | None:
    """Find the migration, if it is under way and Nova's rule allows this; else Nova answers."""
    if not call.is_for_own_project():
        return None
    try:
        server = services.lookup.server(call.context, call.server_id)
        target = services.known(call.context, server, call.migration_id)
    except errors.Refusal:
        return None
    allowed = call.context.can(way.rule, target={'project_id': server.project_id}, fatal=False)
    if not allowed or target.migration.status not in vocabulary.UNDER_WAY_STATUSES:
        return None
    return target


def _leaves_it_open(response: webob.Response) -> bool:
    """Whether only Nova's rule for states, or nothing, prevented it.

    The other refusals have other codes, or come before Nova knows the requested version.
    """
    version = response.headers.get(versions.HEADER, '')
    return response.status_int == 202 or (
        response.status_int == 400 and version.startswith('compute '))


def _versions_of(response: webob.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.headerlist
            if name.lower() in ('openstack-api-version', 'x-openstack-nova-api-version', 'vary')]
