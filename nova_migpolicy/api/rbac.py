# SPDX-License-Identifier: Apache-2.0
"""The access rules: ours, checked against the roles in a request's context.

They are read from Nova's own policy file and stand beside Nova's rules; cancelling and forcing a
single migration to complete are Nova's paths, and Nova's rules alone count there.
"""

from __future__ import annotations

from typing import Any

from nova.policies import base
from nova.policies import migrate_server
from oslo_policy import policy

from nova_migpolicy.api import errors

SHOW = 'migpolicy:show'
TUNE = 'migpolicy:tune'
POST_COPY = 'migpolicy:post_copy'
PAUSE = 'migpolicy:pause'
REQUEST = 'migpolicy:request'
CANCEL_ALL = 'migpolicy:cancel_all'
RECOVERY = 'migpolicy:recovery'
CAPACITY = 'migpolicy:capacity'
SET_CAPACITY = 'migpolicy:set_capacity'

# Nova has a manager of a project from 32 on; before, that was the admin's alone.
_MANAGER = getattr(base, 'PROJECT_MANAGER_OR_ADMIN', base.ADMIN)
_MIGRATION = '/servers/{server_id}/migrations/{migration_id}'


def _rule(name: str, check: str, about: str, *operations: tuple[str, str]) -> Any:
    return policy.DocumentedRuleDefault(
        name=name, check_str=check, description=about, scope_types=['project'],
        operations=[{'method': method, 'path': path} for method, path in operations])


_RULES = (
    _rule(SHOW, base.ADMIN,
          'See the policy, the progress and the timeline of a live migration',
          ('GET', f'{_MIGRATION}/policy'), ('GET', f'{_MIGRATION}/progress'),
          ('GET', f'{_MIGRATION}/timeline')),
    _rule(TUNE, base.ADMIN,
          'Change what a running live migration may do to its server and to the network',
          ('PUT', f'{_MIGRATION}/tuning')),
    _rule(POST_COPY, _MANAGER,
          'Switch a running live migration to post-copy now',
          ('POST', f'{_MIGRATION}/action (post_copy)')),
    _rule(PAUSE, _MANAGER,
          'Pause the server for the rest of its live migration now',
          ('POST', f'{_MIGRATION}/action (pause)')),
    _rule(REQUEST, base.ADMIN,
          'Give a policy of its own with the request to live-migrate a server',
          ('POST', '/servers/{server_id}/action (os-migrateLive with migpolicy)')),
    _rule(CANCEL_ALL, base.ADMIN,
          'Cancel all live migrations from or to a host, or of a project; project_id is that '
          'of the request, and there is none for a host',
          ('POST', '/os-migrations/cancel')),
    _rule(RECOVERY, base.ADMIN,
          'See what is undecided of live migrations after something died, and what to do; there '
          'is no project_id for the list over all hosts',
          ('GET', '/os-migrations/recovery'), ('GET', f'{_MIGRATION}/recovery')),
    _rule(CAPACITY, base.ADMIN,
          'See how many live migrations compute hosts send and take at once, which have a slot '
          'and which wait for one, with the names of servers of all projects; there is no '
          'project_id',
          ('GET', '/os-migration-capacity'), ('GET', '/os-migration-capacity/{host}')),
    _rule(SET_CAPACITY, base.ADMIN,
          'Change how many live migrations a compute host sends and takes at once; there is no '
          'project_id',
          ('PUT', '/os-migration-capacity/{host}')),
)


def list_rules() -> list[Any]:
    """Return our rules, for oslo.policy's tools."""
    return list(_RULES)


# Nova 31 has one rule, and newer ones a second one for those who name the host.
_LIVE = 'os_compute_api:os-migrate-server:migrate_live'
_TO_A_HOST = next((rule.name for rule in migrate_server.list_rules()
                   if rule.name == f'{_LIVE}:host'), _LIVE)


def may_name_host(context: Any, server: Any) -> bool:
    """Whether Nova will allow a caller to live-migrate a server to a host of his choice."""
    target = {'project_id': server.project_id, 'user_id': server.user_id}
    return bool(context.can(_TO_A_HOST, target=target, fatal=False))


class Rbac:
    """The rules in force.

    :param conf: Nova's configuration, which names the policy file.
    """

    def __init__(self, conf: Any) -> None:
        self._enforcer = policy.Enforcer(conf)
        # Nova has warned already.
        self._enforcer.suppress_default_change_warnings = True
        # Ours refer to Nova's; an unknown reference would deny, silently.
        self._enforcer.register_defaults(base.list_rules())
        self._enforcer.register_defaults(list_rules())
        self._enforcer.load_rules()

    def check(self, context: Any, rule: str, project_id: str | None) -> None:
        """Refuse a caller whom the rule does not allow it.

        :param project_id: the project of the server; None for none.
        :raises errors.Refusal: 403
        """
        if not self.allows(context, rule, project_id):
            raise errors.Refusal(
                403, f'The rule {rule} does not allow it; an operator can change it in '
                "nova-api's policy file.")

    def allows(self, context: Any, rule: str, project_id: str | None) -> bool:
        """Whether the rule allows it to a caller, with a server of that project."""
        # A check of a project fails where there is none to compare with.
        target = {} if project_id is None else {'project_id': project_id}
        try:
            return bool(self._enforcer.authorize(rule, target, context))
        except policy.InvalidScope:
            return False
