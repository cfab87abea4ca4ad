# SPDX-License-Identifier: Apache-2.0
"""Brings a migration into its phase, lets the fault happen, and undoes it in the end."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import signal
import time

from keystoneauth1 import exceptions
import libvirt

from bench.faults import plan as plan_mod
from bench.faults import watch as watch_mod
from bench.faults import world as world_mod
from lab import client as lab_client
from lab import needs

LOOK_S = 0.05
#: in which a phase has come, or never does
PHASE_S = 45.0
#: after its end a migration's last steps may still come
STEPS_S = 5.0
#: RabbitMQ takes at least so long until it listens
RABBITMQ_STARTS_S = 8.0
MIB = 1 << 20
_REFUSED = (exceptions.ClientException, needs.LabError)
UNDER_WAY = ('accepted', 'queued', 'preparing', 'running')
Phase = plan_mod.Phase
Fault = plan_mod.Fault
World = world_mod.World
Run = world_mod.Run


def inject(world: World, run: Run) -> bool:
    """Migrate, and let the fault happen; return, when it is over, whether it came in its phase."""
    plan = run.plan
    if plan.fault is Fault.COMPUTE_DIES:
        return _die(world, run)
    world.migrate(run)
    is_there = _reach(world, run)
    time.sleep(plan.delay_s)
    run.note(f'fault: {plan.fault.value}; libvirt: {run.watch.states()}, '
             f'migration {world.status(run)}')
    run.halved = run.watch.is_halved()
    _FAULTS[plan.fault](world, run)
    run.note('the fault is over')
    for name in plan_mod.HOSTS:
        world.stack.hosts.shape(name)
    return is_there


def end(world: World, run: Run) -> bool:
    """Ask once for the end of a migration that does not come to it by itself.

    Return whether nothing is left to be asked for.
    """
    plan = run.plan
    if plan.guest == 'idle' or plan.phase is Phase.ROLLBACK or run.watch.is_halved():
        return True
    if not world.job(run):
        # It may still be waiting to begin.
        return world.status(run) not in UNDER_WAY
    try:
        if plan.ending == 'cancel':
            world.admin.abort(run.server, run.migration)
        else:
            world.admin.force_complete(run.server, run.migration)
    except _REFUSED as error:
        run.note(f'{plan.ending}: {str(error)[:200]}')
        return False
    run.note(f'{plan.ending}: accepted')
    return True


# Phases.

def _reach(world: World, run: Run) -> bool:
    """Wait until the migration is in its phase; return whether it is."""
    phase = run.plan.phase
    if phase is Phase.PREPARING:
        return True
    if phase is Phase.POST_COPY:
        return _reach_post_copy(world, run)
    if phase is Phase.ROLLBACK:
        return _wait(world, run, _in_memory) and _cancel(world, run)
    return _wait(world, run, _SIGNS[phase])


def _reach_post_copy(world: World, run: Run) -> bool:
    if not _wait(world, run, _in_passes):
        return False
    world.stack.hosts.shape(run.plan.source, rate_mib_s=world_mod.SLOW_MIB_S)
    try:
        world.admin.force_complete(run.server, run.migration)
    except _REFUSED as error:
        run.note(f'post-copy: {str(error)[:200]}')
        return False
    run.note('post-copy was asked for')
    return _wait(world, run, _in_post_copy)


def _cancel(world: World, run: Run) -> bool:
    try:
        world.admin.abort(run.server, run.migration)
    except _REFUSED as error:
        run.note(f'cancel: {str(error)[:200]}')
        return False
    run.note('cancelled')
    return True


def _wait(world: World, run: Run, sign: Callable[[World, Run], bool]) -> bool:
    end_s, looked_s = time.monotonic() + PHASE_S, time.monotonic()
    while time.monotonic() < end_s:
        if sign(world, run):
            return True
        if time.monotonic() - looked_s > 1:
            looked_s = time.monotonic()
            if world.status(run) in lab_client.FINAL:
                run.note(f'the migration is over before: {world.status(run)}')
                return False
        time.sleep(LOOK_S)
    run.note('the phase has not come')
    return False


def _in_disks(world: World, run: Run) -> bool:
    job = world.job(run)
    return bool(job.get('disk_remaining')) and not job.get('memory_total')


def _in_memory(world: World, run: Run) -> bool:
    return int(world.job(run).get('memory_processed') or 0) > MIB


def _in_passes(world: World, run: Run) -> bool:
    return int(world.job(run).get('memory_iteration') or 0) > 2


def _in_post_copy(world: World, run: Run) -> bool:
    return run.watch.states()[run.plan.source] in watch_mod.POST_COPY


def _has_arrived(world: World, run: Run) -> bool:
    """Asked on a connection of its own: faster than the watch looks."""
    try:
        domain = world.stack.hosts[run.plan.destination].connect().lookupByUUIDString(run.server)
        return bool(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING)
    except (libvirt.libvirtError, needs.LabError):
        return False


_SIGNS: Mapping[Phase, Callable[[World, Run], bool]] = {
    Phase.DISKS: _in_disks, Phase.BULK_COPY: _in_memory, Phase.PASSES: _in_passes,
    Phase.FINISHING: _has_arrived}


# Faults.

def _die(world: World, run: Run) -> bool:
    """Let nova-compute die where the plan says, and come back."""
    plan = run.plan
    file = world.stack.death(plan.host)
    file.write_text(plan.place)
    run.note(f'fault: nova-compute on {plan.host} dies {plan.place}')
    world.migrate(run)
    if plan.phase is Phase.ROLLBACK:
        _wait(world, run, _in_memory)
        _cancel(world, run)
    has_died = _wait_death(world, run)
    file.unlink(missing_ok=True)
    if has_died:
        time.sleep(plan.lasts_s)
        world.start_computes([plan.host])
    run.note('the fault is over' if has_died else 'nova-compute has not come to that step')
    return has_died


def _wait_death(world: World, run: Run) -> bool:
    end_s, over_s = time.monotonic() + PHASE_S, float('inf')
    while time.monotonic() < min(end_s, over_s):
        if not world.is_up(run.plan.host, 'nova-compute'):
            return True
        # A busy guest is never there by itself, but for a rollback it is cancelled.
        if over_s == float('inf') and world.status(run) in lab_client.FINAL:
            over_s = time.monotonic() + STEPS_S
        time.sleep(LOOK_S * 4)
    return False


def _kill_compute(world: World, run: Run) -> None:
    world.end(run.plan.host, 'nova-compute')
    time.sleep(run.plan.lasts_s)
    world.start_computes([run.plan.host])


def _freeze_compute(world: World, run: Run) -> None:
    world.freeze(run.plan.host, 'nova-compute')
    time.sleep(run.plan.lasts_s)
    # What libvirt has broken off meanwhile, in post-copy, leaves each host with its part.
    run.halved = run.halved or run.watch.is_halved()
    world.thaw(run.plan.host, 'nova-compute')


def _restart_libvirtd(world: World, run: Run) -> None:
    world.end(run.plan.host, 'libvirtd')
    world.start_libvirtd(run.plan.host)


def _kill_qemu(world: World, run: Run) -> None:
    _destroy(world, run)
    world.end(run.plan.host, 'qemu-system-x86_64')


def _destroy(world: World, run: Run) -> None:
    """Note whether what runs on the host of the fault is the guest, or has a part of it."""
    host = run.plan.host
    state = run.watch.states()[host]
    runs = state is not None and state[0] == watch_mod.RUNNING
    run.destroyed = run.halved or runs or run.watch.last_beat_on() == host
    run.note(f'the guest was there: {run.destroyed}')


def _cut_link(world: World, run: Run) -> None:
    world.stack.hosts.cut(run.plan.host)
    time.sleep(run.plan.lasts_s)
    run.halved = run.halved or run.watch.is_halved()
    world.stack.hosts.mend(run.plan.host)


def _stop_rabbitmq(world: World, run: Run) -> None:
    world.end('ctl', 'beam.smp')
    time.sleep(max(0.0, run.plan.lasts_s - RABBITMQ_STARTS_S))
    world.start_rabbitmq()


def _stop_database(world: World, run: Run) -> None:
    world.end('ctl', 'mariadbd', signal.SIGTERM)
    time.sleep(run.plan.lasts_s)
    world.start_database()


def _freeze_database(world: World, run: Run) -> None:
    world.freeze('ctl', 'mariadbd')
    time.sleep(run.plan.lasts_s)
    world.thaw('ctl', 'mariadbd')


def _stop_conductor(world: World, run: Run) -> None:
    world.end('ctl', 'nova-conductor')
    time.sleep(run.plan.lasts_s)
    world.start_conductor()


def _fill_disk(world: World, run: Run) -> None:
    world.fill(run.plan.destination)
    time.sleep(run.plan.lasts_s)
    world.unfill(run.plan.destination)


def _power_off(world: World, run: Run) -> None:
    """The source loses its power; it is evacuated, and comes back later."""
    host, plan = run.plan.source, run.plan
    _destroy(world, run)
    world.stack.hosts.cut(host)
    node = world.node(host)
    for program in ('nova-compute', 'libvirtd', 'qemu-system-x86_64', 'privsep-helper'):
        world.end(host, program)
    # What is there after a reboot: nothing.
    node.run(['rm', '-rf', '/run/libvirt'])
    time.sleep(plan.lasts_s)
    world.force_down(host, True)
    try:
        world.act(run.server, evacuate={})
        run.note('evacuated')
    except _REFUSED as error:
        run.note(f'evacuate: {str(error)[:200]}')
    time.sleep(plan.lasts_s)
    world.stack.hosts.mend(host)
    world.start_libvirtd(host)
    world.start_computes([host])
    world.force_down(host, False)


def _delete(world: World, run: Run) -> None:
    world.admin.compute('DELETE', f'/servers/{run.server}')


_FAULTS: Mapping[Fault, Callable[[World, Run], None]] = {
    Fault.COMPUTE_KILLED: _kill_compute, Fault.COMPUTE_FROZEN: _freeze_compute,
    Fault.LIBVIRTD_RESTARTED: _restart_libvirtd, Fault.QEMU_KILLED: _kill_qemu,
    Fault.LINK_CUT: _cut_link, Fault.RABBITMQ_AWAY: _stop_rabbitmq,
    Fault.DATABASE_AWAY: _stop_database, Fault.DATABASE_SILENT: _freeze_database,
    Fault.CONDUCTOR_STOPPED: _stop_conductor, Fault.DISK_FULL: _fill_disk,
    Fault.POWERED_OFF: _power_off, Fault.DELETED: _delete}
