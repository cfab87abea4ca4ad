# SPDX-License-Identifier: Apache-2.0
"""What the tests and the demo ask of the lab's OpenStack: the public APIs, plain and blocking.

Answers are the APIs' own dictionaries. A refusal is keystoneauth's HttpError with its status and
text; waiting too long, or for what cannot come any more, is a LabError that shows what was last
seen. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
import pathlib
import time
from typing import Any

from keystoneauth1 import adapter as ksa_adapter
from keystoneauth1 import exceptions

from lab import needs
from lab.openstack import catalog
from lab.openstack import rows

MICROVERSION = '2.90'
#: a migration in one of these will not change any more
FINAL = frozenset({'completed', 'error', 'cancelled', 'failed'})
#: a server's status, and what Nova keeps then
_VM_STATES = {'ACTIVE': 'active', 'SHUTOFF': 'stopped', 'PAUSED': 'paused', 'ERROR': 'error'}
#: the least and the most pause between two looks
_LEAST_S, _MOST_S = 0.2, 1.0


class Client:
    """One user's view of the lab's OpenStack.

    :param pid: a process in the controller's network
    :param user: one of layout.USERS
    """

    def __init__(self, pid: int, user: str = 'admin') -> None:
        self.user = user
        self._session = catalog.session(pid, user)
        self._rows = rows.Rows(pid)

    @property
    def token(self) -> str:
        """The user's token."""
        return str(self._session.get_token())

    @property
    def adapter(self) -> ksa_adapter.Adapter:
        """What a command of `openstack` would ask Nova by."""
        return ksa_adapter.Adapter(self._session, service_type='compute')

    @property
    def project(self) -> str:
        """The id of the user's project."""
        return str(self._session.get_project_id())

    def compute(self, method: str, path: str, *, microversion: str = MICROVERSION,
                headers: Mapping[str, str] | None = None, **kwargs: Any) -> Any:
        """Send a request to Nova; returns the answer's JSON, None if it has none."""
        try:
            answer = self.answer(method, path, microversion=microversion, headers=headers,
                                 raise_exc=True, connect_retries=2, **kwargs)
        except exceptions.HttpError as error:
            # Keystone's library does not know the form of Nova's errors.
            told = error.response.text if error.response is not None else ''
            error.args = (f'{error.http_status} {method} {path}: {told or error.message}',)
            raise
        return answer.json() if answer.content else None

    def answer(self, method: str, path: str, *, microversion: str = MICROVERSION,
               headers: Mapping[str, str] | None = None, raise_exc: bool = False,
               **kwargs: Any) -> Any:
        """Send a request to Nova; returns the whole answer (of `requests`), also a refusal.

        :param headers: are laid over the one with the microversion
        """
        return self._session.request(
            path, method, endpoint_filter={'service_type': 'compute'}, raise_exc=raise_exc,
            headers={'OpenStack-API-Version': f'compute {microversion}', **(headers or {})},
            **kwargs)

    def flavor(self, name: str, memory_mib: int, *, disk_gib: int = 1,
               extra_specs: Mapping[str, object] | None = None) -> str:
        """Make a flavor of one processor; returns its id.

        :param extra_specs: validated by Nova, as a flavor's are from microversion 2.86
        """
        made = self.compute('POST', '/flavors', json={'flavor': {
            'name': name, 'ram': memory_mib, 'vcpus': 1, 'disk': disk_gib}})
        flavor = str(made['flavor']['id'])
        if extra_specs:
            try:
                self.compute('POST', f'/flavors/{flavor}/os-extra_specs', json={
                    'extra_specs': {key: str(value) for key, value in extra_specs.items()}})
            except Exception:
                self.compute('DELETE', f'/flavors/{flavor}')
                raise
        return flavor

    def image(self, name: str, path: pathlib.Path,
              properties: Mapping[str, object] | None = None) -> str:
        """Upload a raw image; returns its id. An admin's is for all, another's for its project."""
        body = {'name': name, 'disk_format': 'raw', 'container_format': 'bare',
                'visibility': 'public' if self.user == 'admin' else 'private',
                **{key: str(value) for key, value in (properties or {}).items()}}
        image = str(self._ask('image', 'POST', '/v2/images', json=body)['id'])
        with open(path, 'rb') as data:
            self._ask('image', 'PUT', f'/v2/images/{image}/file', data=data,
                      headers={'Content-Type': 'application/octet-stream'})
        return image

    def boot(self, name: str, image: str, flavor: str, *, host: str | None = None,
             network: str | None = None) -> str:
        """Ask for a server; returns its id at once, see wait_server().

        :param host: where it shall run ('n1'); an admin's right
        :param network: the id of a network on which it gets a port
        """
        body: dict[str, object] = {'name': name, 'imageRef': image, 'flavorRef': flavor,
                                   'networks': [{'uuid': network}] if network else 'none'}
        if host:
            body['host'] = host
        return str(self.compute('POST', '/servers', json={'server': body})['server']['id'])

    def server(self, server: str) -> dict[str, Any]:
        """Return a server."""
        return dict(self.compute('GET', f'/servers/{server}')['server'])

    def host(self, server: str) -> str:
        """Return the host that Nova says a server is on."""
        return str(self.server(server)['OS-EXT-SRV-ATTR:host'])

    def wait_server(self, server: str, status: str = 'ACTIVE',
                    timeout: float = 60.0) -> dict[str, Any]:
        """Wait until a server has a status and nothing is being done to it."""
        def settled(found: dict[str, Any]) -> bool:
            if found['status'] == 'ERROR' != status:
                raise needs.LabError(f'server {server} is in ERROR: {found.get("fault")}')
            return found['status'] == status and not found['OS-EXT-STS:task_state']

        def look() -> dict[str, Any]:
            row = self._rows.server(server)
            if row and not row.is_deleted and (
                    row.task_state or row.vm_state not in ('error', _VM_STATES[status])):
                return {'status': row.vm_state, 'OS-EXT-STS:task_state': row.task_state}
            return self.server(server)

        return dict(wait(look, settled, timeout, f'server {server} to be {status}'))

    def delete(self, server: str, timeout: float = 60.0) -> None:
        """Delete a server and wait until it is gone."""
        self.compute('DELETE', f'/servers/{server}')

        def look() -> list[str]:
            row = self._rows.server(server)
            if row and not row.is_deleted:
                return [server]
            return [one['id'] for one in self.compute(
                'GET', '/servers?all_tenants=1')['servers']]

        wait(look, lambda found: server not in found, timeout, f'server {server} to be gone')

    def live_migrate(self, server: str, host: str | None = None, timeout: float = 30.0, *,
                     migpolicy: Mapping[str, object] | None = None) -> int:
        """Start a live migration; returns its id as soon as Nova has a record of it.

        :param host: the destination, None to let the scheduler choose
        :param migpolicy: a policy for this migration alone
        """
        before = {one['id'] for one in self.migrations(server)}
        newest = max(before, default=0)
        self.ask_live_migrate(server, host, migpolicy=migpolicy)

        def look() -> list[dict[str, Any]]:
            if self._rows.newest_migration(server) == newest:
                return []
            return [one for one in self.migrations(server) if one['id'] not in before]

        found = wait(look, bool, timeout, f'a migration of {server} to appear')
        return int(found[0]['id'])

    def ask_live_migrate(self, server: str, host: str | None = None, *,
                         migpolicy: Mapping[str, object] | None = None) -> None:
        """Ask for a live migration, without waiting until Nova has a record of it."""
        body: dict[str, object] = {'host': host, 'block_migration': 'auto'}
        if migpolicy is not None:
            body['migpolicy'] = migpolicy
        self.compute('POST', f'/servers/{server}/action', json={'os-migrateLive': body})

    def migrations(self, server: str) -> list[dict[str, Any]]:
        """Return all migrations of a server, newest first, also those that have ended."""
        return list(self.compute('GET', f'/os-migrations?instance_uuid={server}')['migrations'])

    def migration(self, server: str, migration: int) -> dict[str, Any]:
        """Return one migration of a server, also one that has ended."""
        for one in self.migrations(server):
            if one['id'] == migration:
                return one
        raise needs.LabError(f'server {server} has no migration {migration}')

    def progress(self, server: str) -> dict[str, Any] | None:
        """Return the migration under way with its memory_* and disk_* counters, None if none."""
        found = self.compute('GET', f'/servers/{server}/migrations')['migrations']
        return dict(found[0]) if found else None

    def wait_migration(self, server: str, migration: int, *,
                       status: Collection[str] = FINAL,
                       timeout: float = 120.0) -> dict[str, Any]:
        """Wait until a migration has one of some states.

        :raises LabError: also if it has ended in another state
        """
        def reached(found: dict[str, Any]) -> bool:
            if found['status'] in FINAL and found['status'] not in status:
                raise needs.LabError(f'migration {migration} is {found["status"]}, '
                                     f'not {" or ".join(sorted(status))}')
            return found['status'] in status

        def look() -> dict[str, Any]:
            seen = self._rows.migration(migration)
            if seen is not None and seen not in FINAL and seen not in status:
                return {'status': seen}
            return self.migration(server, migration)

        return dict(wait(look, reached, timeout,
                         f'migration {migration} to be {" or ".join(sorted(status))}'))

    def abort(self, server: str, migration: int) -> None:
        """Ask Nova to abort a live migration."""
        self.compute('DELETE', f'/servers/{server}/migrations/{migration}')

    def force_complete(self, server: str, migration: int) -> None:
        """Ask Nova to force a live migration to complete."""
        self.compute('POST', f'/servers/{server}/migrations/{migration}/action',
                     json={'force_complete': None})

    def policy(self, server: str, migration: int) -> dict[str, Any]:
        """Return what a migration may do to its server, and who said so."""
        return dict(self._ours('GET', server, migration, 'policy')['policy'])

    def forecast(self, server: str, migration: int) -> dict[str, Any]:
        """Return how far a migration is, and when it is expected to end."""
        return dict(self._ours('GET', server, migration, 'progress')['progress'])

    def timeline(self, server: str, migration: int, **query: object) -> dict[str, Any]:
        """Return a page of what was seen and decided, with the link to the next one."""
        return dict(self._ours('GET', server, migration, 'timeline', params=query))

    def tune(self, server: str, migration: int, **changes: object) -> dict[str, Any]:
        """Change a running migration; `release` is a list of keys to give back."""
        return dict(self._ours('PUT', server, migration, 'tuning',
                               json={'tuning': changes})['tuning'])

    def act(self, server: str, migration: int, action: str) -> dict[str, Any]:
        """Demand post_copy or pause of a running migration, now."""
        return dict(self._ours('POST', server, migration, 'action',
                               json={action: None})['action'])

    def cancel_all(self, **what: object) -> dict[str, Any]:
        """Cancel all migrations of a host (and direction) or of a project_id."""
        return dict(self.compute('POST', '/os-migrations/cancel', json={'cancel': what}))

    def actions(self, server: str) -> list[dict[str, Any]]:
        """Return what was done to a server, newest first, each with its events."""
        path = f'/servers/{server}/os-instance-actions'
        return [dict(self.compute('GET', f'{path}/{one["request_id"]}')['instanceAction'])
                for one in self.compute('GET', path)['instanceActions']]

    def allocations(self, consumer: str) -> list[str]:
        """Return the names of the resource providers that placement has allocations on."""
        headers = {'OpenStack-API-Version': 'placement 1.28'}
        found = self._ask('placement', 'GET', f'/allocations/{consumer}', headers=headers)
        providers = self._ask('placement', 'GET', '/resource_providers', headers=headers)
        names = {one['uuid']: one['name'] for one in providers['resource_providers']}
        return sorted(str(names[uuid]) for uuid in found['allocations'])

    def offers(self) -> set[str]:
        """Return the names of the resource providers that have an inventory in placement."""
        headers = {'OpenStack-API-Version': 'placement 1.28'}
        found = self._ask('placement', 'GET', '/resource_providers', headers=headers)
        return {str(one['name']) for one in found['resource_providers']
                if self._ask('placement', 'GET', f'/resource_providers/{one["uuid"]}/inventories',
                             headers=headers)['inventories']}

    def services(self) -> list[dict[str, Any]]:
        """Return Nova's services."""
        return list(self.compute('GET', '/os-services')['services'])

    def hypervisors(self) -> list[dict[str, Any]]:
        """Return the computes."""
        return list(self.compute('GET', '/os-hypervisors')['hypervisors'])

    def make_network(self, name: str, physical: str) -> str:
        """Make a network for servers, on one of the hosts'; returns its id.

        :param physical: what neutron calls the hosts' network
        """
        network = str(self._ask('network', 'POST', '/v2.0/networks', json={'network': {
            'name': name, 'shared': True, 'provider:network_type': 'flat',
            'provider:physical_network': physical}})['network']['id'])
        self._ask('network', 'POST', '/v2.0/subnets', json={'subnet': {
            'network_id': network, 'ip_version': 4, 'cidr': '192.0.2.0/24', 'gateway_ip': None,
            'enable_dhcp': False}})
        return network

    def chassis(self) -> set[str]:
        """Return the names of the hosts whose switch neutron knows and takes for alive."""
        found = self._ask('network', 'GET', '/v2.0/agents')['agents']
        return {str(one['host']) for one in found if one['alive']}

    def ports(self, server: str) -> list[dict[str, Any]]:
        """Return the ports of a server."""
        return list(self._ask('network', 'GET', f'/v2.0/ports?device_id={server}')['ports'])

    def bindings(self, port: str) -> dict[str, str]:
        """Return the hosts to which a port is bound, each with the binding's status."""
        found = self._ask('network', 'GET', f'/v2.0/ports/{port}/bindings')['bindings']
        return {str(one['host']): str(one['status']) for one in found}

    def bind(self, port: str, host: str) -> None:
        """Bind a port to one more host, inactively, as Nova does for a migration."""
        self._ask('network', 'POST', f'/v2.0/ports/{port}/bindings',
                  json={'binding': {'host': host}})

    def network(self, path: str) -> int:
        """Get something from neutron; returns the HTTP status, whatever it is."""
        answer = self._session.get(path, endpoint_filter={'service_type': 'network'},
                                   raise_exc=False)
        return int(answer.status_code)

    def _ours(self, method: str, server: str, migration: int, what: str, **kwargs: Any) -> Any:
        versions = f'compute {MICROVERSION}, migration-policy 1.0'
        return self.compute(method, f'/servers/{server}/migrations/{migration}/{what}',
                            headers={'OpenStack-API-Version': versions}, **kwargs)

    def _ask(self, service: str, method: str, path: str, **kwargs: Any) -> Any:
        answer = self._session.request(path, method, endpoint_filter={'service_type': service},
                                       connect_retries=2, **kwargs)
        return answer.json() if answer.content else None


def wait(look: Callable[[], Any], settled: Callable[[Any], bool], timeout: float,
         what: str) -> Any:
    """Look again and again until it is settled; returns what was seen then.

    A host that is too busy to answer is asked again.

    :param timeout: seconds on an idle machine
    :param what: completes the sentence 'waited 60 s for ...'
    :raises LabError: after the timeout, with what was last seen
    """
    timeout *= needs.PATIENCE
    began = time.monotonic()
    seen: Any = None
    while True:
        try:
            seen = look()
            if settled(seen):
                return seen
        except exceptions.ServiceUnavailable as error:
            seen = error
        waited_s = time.monotonic() - began
        if waited_s > timeout:
            raise needs.LabError(f'waited {timeout:g} s for {what}; last seen: {seen}')
        time.sleep(needs.pause_s(waited_s, _LEAST_S, _MOST_S))
