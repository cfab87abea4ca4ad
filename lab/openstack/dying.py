# SPDX-License-Identifier: Apache-2.0
"""Run a Python program that has a fault at an exact place, as of a crash or a bus that loses.

    dying.py FILE PROGRAM ARGUMENT...

While FILE exists, the program dies (SIGKILL) when it comes to the place that FILE names:
`before nova.compute.manager:ComputeManager._post_live_migration`, or `after` it. With `stop`
before these words it stops there (SIGSTOP) until it is told to go on. `lose PLACE` is for a method
of Nova's that sends a message: it is not sent, and who waits for its answer waits in vain, but not
for long. The file is removed first, so that this happens once. Functions and methods of any module
may be named; FILE is looked at when one of PLACES is called.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import os
import pathlib
import runpy
import signal
import sys

MANAGER = 'nova.compute.manager:ComputeManager.'
DRIVER = 'nova.virt.libvirt.driver:LibvirtDriver.'
RPC = 'nova.compute.rpcapi:ComputeAPI.'
NETWORK = 'nova.network.neutron:API.'
PLACES = (
    f'{MANAGER}_do_live_migration',
    f'{MANAGER}_do_pre_live_migration_from_source',
    f'{MANAGER}_post_live_migration',
    f'{NETWORK}migrate_instance_start',
    f'{NETWORK}_delete_port_bindings',
    f'{DRIVER}post_live_migration',
    f'{MANAGER}_post_live_migration_remove_source_vol_connections',
    f'{DRIVER}post_live_migration_at_source',
    f'{DRIVER}cleanup',
    f'{RPC}post_live_migration_at_destination',
    f'{MANAGER}update_available_resource',
    f'{MANAGER}_delete_allocation_after_move',
    f'{MANAGER}_rollback_live_migration',
    f'{MANAGER}_revert_allocation',
    f'{DRIVER}rollback_live_migration_at_source',
    f'{MANAGER}_rollback_volume_bdms',
    f'{RPC}rollback_live_migration_at_destination',
    f'{MANAGER}post_live_migration_at_destination',
    f'{MANAGER}rollback_live_migration_at_destination',
    f'{DRIVER}post_live_migration_at_destination',
    f'{DRIVER}pre_live_migration',
    f'{DRIVER}rollback_live_migration_at_destination',
    'nova_migpolicy.written:Records.drop',
    'nova_migpolicy.compute.hands:Hands.finish',
    'nova_migpolicy.compute.hands:Hands.roll_back',
    'nova_migpolicy.compute.hands:Hands._reopen',
)
# Of the methods that send a message, those that wait for no answer.
_CASTS = frozenset({'rollback_live_migration_at_destination', 'live_migration'})


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the others find, and changes a module when it has been imported."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self._names = {place.partition(':')[0] for place in PLACES}

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        """Return the spec of a module that has places to die at."""
        if fullname not in self._names:
            return None
        self._names.discard(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):  # type: ignore[no-untyped-def]
                load(module)
                for place in PLACES:
                    if place.partition(':')[0] == fullname:
                        _mine(self._file, place, module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _mine(file: pathlib.Path, place: str, module: object) -> None:
    *path, name = place.partition(':')[2].split('.')
    owner = functools.reduce(getattr, path, module)
    function = getattr(owner, name)

    @functools.wraps(function)
    def mined(*args: object, **kwargs: object) -> object:
        _fail(file, f'before {place}')
        if _is_due(file, f'lose {place}'):
            _wait_in_vain(name)
            return None
        result = function(*args, **kwargs)
        _fail(file, f'after {place}')
        return result

    setattr(owner, name, mined)


def _fail(file: pathlib.Path, here: str) -> None:
    if _is_due(file, here):
        os.kill(os.getpid(), signal.SIGKILL)
    if _is_due(file, f'stop {here}'):
        os.kill(os.getpid(), signal.SIGSTOP)


def _is_due(file: pathlib.Path, here: str) -> bool:
    try:
        if file.read_text() != here:
            return False
    except FileNotFoundError:
        return False
    file.unlink()
    return True


def _wait_in_vain(name: str) -> None:
    """Wait for the answer to a message that nobody gets, where it has one."""
    if name not in _CASTS:
        # Not before it is there anyway: the program is still to choose its kind of threads.
        raise sys.modules['oslo_messaging'].MessagingTimeout(f'{name} is lost')


def main() -> None:
    """Run the program."""
    file, program, *arguments = sys.argv[1:]
    sys.meta_path.insert(0, _Finder(pathlib.Path(file)))
    sys.argv = [program, *arguments]
    # Not the folder of this file: it has names of the standard library.
    sys.path[0] = os.path.dirname(program)
    runpy.run_path(program, run_name='__main__')


if __name__ == '__main__':
    main()
