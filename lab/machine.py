# SPDX-License-Identifier: Apache-2.0
"""A machine of the lab: network, mounts, host name, IPC and process ids of its own.

It is one `unshare` process and its child, which is process 1 inside. Everything that the machine
has (processes, network devices, mounts) lives in the namespaces of that child and goes away with
it, so stopping a machine is one kill, also after a crash of whoever started it. No state is
kept in files: a machine is found again by the last argument of its `unshare`, its folder.

It is not a container: the file system is the real one, apart from /proc, /sys, /run, /etc/hosts
and what is bound over it; or another tree altogether (`root`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import os
import pathlib
import shlex
import subprocess
from typing import Any

from lab import needs
from lab import priority
from lab import processes

Process = processes.Process
SWITCH = 'ctl'
# What hosts usually have, whatever the real system is tuned to. Bytes in these buffers count as
# sent for QEMU, but the guest waits for them at the switchover: 32 MiB may cost 300 ms.
_CONGESTION = 'cubic reno'
_BUFFERS = ('4096 131072 6291456', '4096 16384 4194304')
# overlay takes its folders in one option, where a comma or colon has a meaning: so they get other
# names, in a place that the machine's own /run will cover.
_ROOT = """
mkdir -p "$dir/upper" "$dir/work" "$dir/root"
mount -t tmpfs tmpfs /run
mkdir /run/tree /run/own
mount --bind {tree} /run/tree
mount --bind "$dir" /run/own
mount -t overlay overlay \
    -o lowerdir=/run/tree,upperdir=/run/own/upper,workdir=/run/own/work "$dir/root"
cd "$dir/root"
mkdir -p dev proc sys run ".$lab"
mount --rbind /dev dev
mount --bind "$lab" ".$lab"
mkdir -p .old
pivot_root . .old
cd /
mount -t proc proc /proc
umount -l /.old
"""
_INIT = """
set -e
dir=$1 lab=${{1%/*}}
hostname {name}
{root}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for how in {congestion}; do
    if echo $how > /proc/sys/net/ipv4/tcp_congestion_control; then break; fi
done 2> /dev/null
echo {buffers[0]} > /proc/sys/net/ipv4/tcp_rmem
echo {buffers[1]} > /proc/sys/net/ipv4/tcp_wmem
{binds}
echo ready
exec >&2
exec env --ignore-signal=CHLD sleep infinity
"""


class Machine:
    """One machine of the lab of a work folder.

    :param work: the lab's work folder; the machine's own folder is `work/name`
    :param name: its name and host name, e.g. 'n1'; 'ctl' is the switch that the others plug into
    :param address: IPv4 address, e.g. '10.77.0.11'
    :param binds: folders or files bound over others, inside -> outside; both must exist
        (a folder inside is made when it does not)
    :param root: folder of another system's files, to be seen as / (changes are thrown away)
    """

    def __init__(self, work: pathlib.Path, name: str, address: str, *,
                 binds: Mapping[str, pathlib.Path] | None = None,
                 root: pathlib.Path | None = None) -> None:
        self.work = work.resolve()
        self.name = name
        self.address = address
        self.binds = dict(binds or {})
        self.root = root
        self.folder = self.work / name
        self._holder: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    def __repr__(self) -> str:
        return f'<Machine {self.name} {self.address} in {self.work}>'

    @property
    def pid(self) -> int:
        """Process 1 of this machine, as seen from outside; LabError if it is not running."""
        if self._pid is None or not processes.alive(self._pid):
            found = dict(_running(self.work)).get(self.name)
            self._pid = processes.child(found) if found else None
        if self._pid is None:
            raise needs.LabError(f'{self.name} is not running in {self.work}')
        return self._pid

    @property
    def running(self) -> bool:
        """Tell whether the machine is up."""
        try:
            return bool(self.pid)
        except needs.LabError:
            return False

    def path(self, inside: str) -> pathlib.Path:
        """Return where a file of this machine can be reached from outside, mounts included."""
        return pathlib.Path(f'/proc/{self.pid}/root') / inside.lstrip('/')

    def start(self) -> Machine:
        """Make the namespaces; a machine of the same name that was left over is stopped first.

        :raises LabError: with what the kernel or a command said
        """
        self.stop()
        for outside in self.binds.values():
            if not outside.exists():
                raise needs.LabError(f'{self.name}: {outside} does not exist and cannot be bound')
        self.folder.mkdir(parents=True, exist_ok=True)
        names = _name_everyone(self.work, self.name, self.address)
        argv = ['unshare', '--mount', '--uts', '--ipc', '--net', '--pid', '--fork',
                '--kill-child', '--propagation', 'private', 'sh', '-c',
                self._script(names), 'lab', str(self.folder)]
        with open(self.folder / 'machine.log', 'wb') as log:
            self._holder = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True)
        assert self._holder.stdout is not None
        with self._holder.stdout as pipe:
            said = pipe.readline()
        if said != b'ready\n':
            self.stop()
            why = (self.folder / 'machine.log').read_text(errors='replace').strip()
            raise needs.LabError(f'{self.name} did not start: {why}')
        return self

    def stop(self) -> None:
        """Kill everything in the machine and wait until it is gone; quiet if there is nothing."""
        for name, holder in _running(self.work):
            if name == self.name:
                processes.kill(holder)
        if self._holder is not None:
            self._holder.wait()
        self._holder = self._pid = None

    def argv(self, argv: Sequence[str], cwd: str | None = None) -> list[str]:
        """Return the command that runs argv inside."""
        inside = ['env', '-C', cwd, *argv] if cwd else list(argv)
        return ['nsenter', '-t', str(self.pid), '-m', '-u', '-i', '-n', '-p', '--', *inside]

    def run(self, argv: Sequence[str], *, check: bool = True, cwd: str | None = None,
            **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for it; its output is captured as text.

        :raises LabError: if it fails and check is true; the text has its error output
        """
        return self._do(self.argv(argv, cwd), argv, check, **kwargs)

    def network(self, argv: Sequence[str], *,
                check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the real system on this machine's network; else as run()."""
        return self._do(['nsenter', '-t', str(self.pid), '-n', '--', *argv], argv, check)

    def spawn(self, argv: Sequence[str], log: pathlib.Path, *, cwd: str | None = None,
              env: Mapping[str, str] | None = None, first: bool = False) -> processes.Process:
        """Start a command inside and leave it running; its output is appended to log.

        :param first: it, and what it starts, get the processors before others
        """
        words = self.argv(argv, cwd)
        with open(log, 'ab') as out:
            popen = subprocess.Popen(
                priority.first(words) if first else words, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, env=dict(env) if env is not None else None,
                start_new_session=True)
        return processes.Process(popen, shlex.join(argv))

    def processes(self) -> list[int]:
        """Return the ids, as seen from outside, of all processes inside, process 1 first."""
        space = os.readlink(f'/proc/{self.pid}/ns/pid')
        return sorted(pid for pid in processes.pids()
                      if processes.link(f'/proc/{pid}/ns/pid') == space)

    def _do(self, words: Sequence[str], argv: Sequence[str], check: bool,
            **kwargs: Any) -> subprocess.CompletedProcess[str]:
        kwargs.setdefault('capture_output', 'stdout' not in kwargs and 'stderr' not in kwargs)
        done = subprocess.run(words, text=True, check=False, **kwargs)
        if check and done.returncode:
            said = (done.stderr or done.stdout or '').strip()
            raise needs.LabError(
                f'{self.name}: {shlex.join(argv)} ended with {done.returncode}: {said}')
        return done

    def _script(self, names: pathlib.Path) -> str:
        tree = _ROOT.format(tree=shlex.quote(str(self.root))) if self.root else ''
        binds = []
        for inside, outside in {'/etc/hosts': names, **self.binds}.items():
            source, target = shlex.quote(str(outside)), shlex.quote(inside)
            if outside.is_dir():
                binds.append(f'mkdir -p {target}')
            binds.append(f'mount --bind {source} {target}')
        return _INIT.format(name=self.name, root=tree, binds='\n'.join(binds),
                            congestion=_CONGESTION, buffers=_BUFFERS)


def running(work: pathlib.Path) -> list[str]:
    """Return the names of the machines of a work folder that are up, also after a crash."""
    return sorted(name for name, _ in _running(work.resolve()))


def stop_all(work: pathlib.Path) -> list[str]:
    """Stop all machines of a work folder, whoever started them; returns their names."""
    found = list(_running(work.resolve()))
    for _, holder in found:
        processes.kill(holder)
    return sorted(name for name, _ in found)


def _name_everyone(work: pathlib.Path, name: str, address: str) -> pathlib.Path:
    """Add a machine to the lab's file of names, which all of its machines see as /etc/hosts."""
    names = work / 'names'
    lines = names.read_text().splitlines() if names.exists() else ['127.0.0.1 localhost']
    lines = [line for line in lines if line.split()[1] != name] + [f'{address} {name}']
    # Written in place: a new file would not be seen by the machines that have bound this one.
    with open(names, 'a+') as f:
        f.truncate(0)
        f.write('\n'.join(lines) + '\n')
    return names


def _running(work: pathlib.Path) -> Iterator[tuple[str, int]]:
    """Find the machines of a work folder: name and id of the `unshare` that holds each."""
    for pid in processes.pids():
        try:
            words = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
        except OSError:
            continue
        if words[0] == b'unshare' and len(words) > 3 and words[-3] == b'lab':
            folder = pathlib.Path(os.fsdecode(words[-2]))
            if folder.parent == work:
                yield folder.name, pid
