# SPDX-License-Identifier: Apache-2.0
"""MariaDB and what is in it: the services' tables, keystone's keys, users and endpoints.

Making all of it takes most of a first start; it is kept in the lab's cache, as it was before any
compute registered, under a name made of everything that it depends on.
"""

from __future__ import annotations

from concurrent import futures
import contextlib
import hashlib
import json
import os
import pathlib
import shutil

from lab import needs
from lab.openstack import catalog
from lab.openstack import layout
from lab.openstack import services
from lab import turns
from lab import workdir

_NOVAS = ('nova_api', 'nova_cell1', 'nova_cell1_cell0')
_NAMES = (*_NOVAS, 'keystone', 'placement', 'glance', 'neutron')
_ENGINE = ('--innodb-buffer-pool-size=64M', '--innodb-log-file-size=32M',
           '--innodb-flush-log-at-trx-commit=0', '--innodb-doublewrite=0', '--skip-log-bin',
           '--max-connections=400')
_CACHE = workdir.DEFAULT / workdir.CACHE
_KEPT = ('maria', 'keystone')
_SCRATCH = 'maria-scratch'


def cache_folder(where: layout.Layout) -> pathlib.Path:
    """Return where the databases of this release and these pins are kept, for all work folders."""
    here = pathlib.Path(__file__).resolve().parent
    # The same for all releases of Nova, for `_other_release`.
    digest = hashlib.sha256()
    pins = here.parent.parent / 'requirements/constraints.txt'
    for path in (pins, *(here / f'{name}.py' for name in
                         ('catalog', 'databases', 'layout', 'settings'))):
        digest.update(path.read_bytes() if path.exists() else b'')
    return _CACHE / f'stack-{where.nova}-{digest.hexdigest()[:12]}'


def turn(where: layout.Layout, say: turns.Say) -> contextlib.AbstractContextManager[None]:
    """Let one stack of a release at a time look into the cache, and make what it has not."""
    return turns.turn(_CACHE / f'databases-{where.nova}.lock', say,
                      f'another stack makes the databases of Nova {where.nova}')


def restore(where: layout.Layout, kept: pathlib.Path) -> bool:
    """Copy the databases from the cache; False if it has none."""
    if not kept.exists():
        return False
    for name in _KEPT:
        shutil.copytree(kept / name, where.data / name)
    return True


def start(run: services.Services) -> None:
    """Start MariaDB and wait until it answers."""
    data = layout.DATA / 'maria'
    run.start(run.controller, 'mariadb', [
        _server(), '--no-defaults', '--user=root', f'--datadir={data}',
        f'--socket={_socket(run)}', f'--pid-file={data}/pid', _scratch(run),
        f'--bind-address={layout.CONTROLLER}', *_ENGINE])
    run.wait('mariadb', lambda: _admin(run, 'ping') == 0)


def stop(run: services.Services) -> None:
    """Stop MariaDB; nothing that was written is lost.

    :raises LabError: it does not stop
    """
    if _admin(run, 'shutdown'):
        raise needs.LabError(f'MariaDB cannot be stopped{run.trouble("mariadb")}')
    run.ended('mariadb')


def create(run: services.Services, kept: pathlib.Path) -> None:
    """Make all databases, start keystone, fill them, and put a copy into the cache.

    MariaDB and keystone run afterwards. Where those of another release of Nova are kept, only
    Nova's are made.
    """
    other = _other_release(kept)
    if other is None or not restore(run.where, other):
        _create_all(run)
    else:
        start(run)
        start_keystone(run)
        _sql(run, [f'drop database {name}; create database {name};' for name in _NOVAS])
        _nova(run)
    _keep(run, kept)


def _other_release(kept: pathlib.Path) -> pathlib.Path | None:
    """Find what is kept of another release of Nova with the same pins."""
    digest = kept.name.rpartition('-')[2]
    return next(iter(sorted(kept.parent.glob(f'stack-*-{digest}'))), None)


def _create_all(run: services.Services) -> None:
    data = layout.DATA / 'maria'
    run.run(['mariadb-install-db', '--no-defaults', f'--datadir={data}', '--user=root',
             _scratch(run),
             '--auth-root-authentication-method=normal', '--skip-test-db'], 'mariadb-install')
    start(run)
    user = f"'{layout.DATABASE_USER}'@'%'"
    _sql(run, [*(f'create database {name};' for name in _NAMES),
               f"create user {user} identified by '{layout.DATABASE_PASSWORD}';",
               f'grant all on *.* to {user};'])
    with futures.ThreadPoolExecutor() as pool:
        lanes = [pool.submit(_identity, run), pool.submit(_nova, run), pool.submit(_others, run)]
        for lane in futures.as_completed(lanes):
            lane.result()


def _sql(run: services.Services, statements: list[str]) -> None:
    run.run(['mariadb', '--no-defaults', '-S', _socket(run), '-u', 'root'], 'mariadb-install',
            text='\n'.join(statements))


def start_keystone(run: services.Services) -> None:
    """Start keystone, without waiting for it."""
    run.uwsgi('keystone', 'keystone.wsgi.api:application',
              {'OS_KEYSTONE_CONFIG_DIR': str(run.where.conf('keystone'))})


def _identity(run: services.Services) -> None:
    root = ['--keystone-user', 'root', '--keystone-group', 'root']
    for name in ('fernet', 'credential'):
        (run.where.data / 'keystone' / name).mkdir(parents=True)
    urls = [word for kind in ('admin', 'internal', 'public')
            for word in (f'--bootstrap-{kind}-url', layout.AUTH_URL)]
    _manage(run, 'keystone', 'keystone.cmd.manage', [
        ['fernet_setup', *root], ['credential_setup', *root], ['db_sync'],
        ['bootstrap', '--bootstrap-password', layout.PASSWORD, *urls,
         '--bootstrap-region-id', layout.REGION]], 'keystone/keystone.conf')
    start_keystone(run)
    run.wait_http('keystone')
    catalog.fill(run.controller.pid)


def _nova(run: services.Services) -> None:
    _manage(run, 'nova', 'nova.cmd.manage', [
        ['api_db', 'sync'], ['cell_v2', 'map_cell0'],
        ['cell_v2', 'create_cell', '--name', 'cell1'], ['db', 'sync']], 'nova/manage.conf')


def _others(run: services.Services) -> None:
    # placement makes its own tables when it starts.
    run.run([layout.VENV / 'bin/python', layout.VENV / 'bin/neutron-db-manage', '--config-file',
             run.where.conf('neutron/neutron.conf'), 'upgrade', 'heads'], 'neutron-db-manage')
    run.run([run.where.program('glance-manage'), '--config-file',
             run.where.conf('glance/glance-api.conf'), 'db_sync'], 'glance-manage')


def _manage(run: services.Services, name: str, module: str, commands: list[list[str]],
            conf: str) -> None:
    argv = [[f'{name}-manage', '--config-file', str(run.where.conf(conf)), *command]
            for command in commands]
    run.run([run.where.program('python'), pathlib.Path(__file__).with_name('manage.py'), module,
             json.dumps(argv)], f'{name}-manage')


def _keep(run: services.Services, kept: pathlib.Path) -> None:
    # A copy of a running server's files would need repair at each start.
    stop(run)
    for old in kept.parent.glob(f'stack-{run.where.nova}-*'):
        shutil.rmtree(old, ignore_errors=True)
    # Under another name until it is whole: one that ends halfway leaves none that others take.
    making = kept.with_name(f'{kept.name}.{os.getpid()}')
    for name in _KEPT:
        shutil.copytree(run.where.data / name, making / name)
    making.rename(kept)
    start(run)


def _admin(run: services.Services, word: str) -> int:
    return run.controller.run(
        ['mariadb-admin', '--no-defaults', '-S', _socket(run), '-u', 'root', word],
        check=False).returncode


def _socket(run: services.Services) -> str:
    # On the machine's own /run: a path in a deep work folder may be too long for a socket.
    return '/run/mariadb.sock'


def _scratch(run: services.Services) -> str:
    """Return the option for a folder of its own for temporary tables.

    They are named after the server's process, and those of two labs may have the same number.
    """
    (run.where.data / _SCRATCH).mkdir(parents=True, exist_ok=True)
    return f'--tmpdir={layout.DATA / _SCRATCH}'


def _server() -> str:
    found = needs.which('mariadbd')
    if found is None:
        raise needs.LabError('mariadbd not found; install with: '
                             'apt-get install --no-install-recommends mariadb-server')
    return found
