# SPDX-License-Identifier: Apache-2.0
"""Who and what keystone knows: the services' addresses, and the users that tests act as.

`admin` may do everything; `manager`, `member` and `reader` are users of the project `demo`, and
`stranger` is the manager of another one.
"""

from __future__ import annotations

from typing import Any

from keystoneauth1.identity import v3

from lab.openstack import layout
from lab.openstack import network

_ADDRESSES = {
    ('compute', 'nova'): f'http://{layout.CONTROLLER}:{layout.PORTS["nova-api"]}/v2.1',
    ('placement', 'placement'): f'http://{layout.CONTROLLER}:{layout.PORTS["placement"]}',
    ('image', 'glance'): f'http://{layout.CONTROLLER}:{layout.PORTS["glance"]}',
    ('network', 'neutron'): f'http://{layout.CONTROLLER}:{layout.PORTS["neutron"]}',
}


def session(pid: int, user: str = 'admin') -> Any:
    """Return a keystoneauth session of a user.

    :param pid: a process in the controller's network
    :param user: one of layout.USERS
    """
    auth = v3.Password(auth_url=layout.AUTH_URL, username=user, password=layout.PASSWORD,
                       project_name=layout.USERS[user][0], user_domain_id='default',
                       project_domain_id='default')
    return network.keystone_session(auth, pid)


def fill(pid: int) -> None:
    """Register services, projects and users; keystone must answer and have its admin."""
    admin = session(pid)
    keystone = layout.AUTH_URL
    roles = {role['name']: role['id'] for role in admin.get(f'{keystone}/roles').json()['roles']}
    _grant(admin, admin.get_project_id(), admin.get_user_id(), roles['service'])
    for (kind, name), url in _ADDRESSES.items():
        service = admin.post(f'{keystone}/services', json={
            'service': {'type': kind, 'name': name}}).json()['service']['id']
        for interface in ('public', 'internal', 'admin'):
            admin.post(f'{keystone}/endpoints', json={'endpoint': {
                'service_id': service, 'interface': interface, 'url': url,
                'region_id': layout.REGION}})
    projects: dict[str, str] = {}
    for user, (project, role) in layout.USERS.items():
        if user == 'admin':
            continue
        if project not in projects:
            projects[project] = admin.post(f'{keystone}/projects', json={'project': {
                'name': project, 'domain_id': 'default'}}).json()['project']['id']
        made = admin.post(f'{keystone}/users', json={'user': {
            'name': user, 'password': layout.PASSWORD, 'domain_id': 'default'}})
        _grant(admin, projects[project], made.json()['user']['id'], roles[role])


def _grant(admin: Any, project: str, user: str, role: str) -> None:
    admin.put(f'{layout.AUTH_URL}/projects/{project}/users/{user}/roles/{role}')
