# SPDX-License-Identifier: Apache-2.0
"""The programs of the lab's OpenStack: how each is started, and when it is ready.

A program that dies or does not become ready is reported with the end of its log.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
import re
import signal
import time

import requests

from lab import machine
from lab import needs
from lab.openstack import layout
from lab.openstack import network

_UWSGI = ('--master', '--enable-threads', '--lazy-apps',
          '--die-on-term', '--need-app', '--buffer-size', '65535', '--http-chunked-input',
          '--http-auto-chunked', '--add-header', 'Connection: close')
_SCHEDULE = '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none'
_TROUBLE = re.compile(r' (ERROR|CRITICAL) |Traceback|^\w*Error: |no app loaded')


class Services:
    """Starts programs in machines, and remembers them so that waiting can tell that one died."""

    def __init__(self, where: layout.Layout, controller: machine.Machine) -> None:
        self.where = where
        self.controller = controller
        self._started: dict[str, machine.Process] = {}

    def start(self, node: machine.Machine, name: str, argv: Sequence[object],
              env: Mapping[str, str] | None = None) -> None:
        """Start a program in a machine; its output goes to log/NAME.out."""
        words = [str(word) for word in argv]
        self._started[name] = node.spawn(
            words, self.where.log / f'{name}.out', cwd=str(self.where.work),
            env={**self.where.environment(), **(env or {})})

    def run(self, argv: Sequence[object], name: str,
            text: str | None = None) -> str:
        """Run a program on the controller to its end; returns what it printed.

        :raises LabError: with the end of its output, if it fails
        """
        words = [str(word) for word in argv]
        done = self.controller.run(words, check=False, cwd=str(self.where.work), input=text,
                                   env=self.where.environment())
        with open(self.where.log / f'{name}.out', 'a') as out:
            out.write(f'$ {" ".join(words)}\n{done.stdout}{done.stderr}')
        if done.returncode:
            said = '\n'.join((done.stdout + done.stderr).strip().splitlines()[-12:])
            raise needs.LabError(f'{words[0]} ended with {done.returncode}:\n{said}')
        return done.stdout

    def wait(self, name: str, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        """Wait until a started program is ready.

        :param timeout: seconds on an idle machine
        :raises LabError: with the end of its log, if it dies or takes longer
        """
        timeout *= needs.PATIENCE
        end = time.monotonic() + timeout
        while not ready():
            if not self._started[name].alive():
                raise needs.LabError(f'{name} ended{self.trouble(name)}')
            if time.monotonic() > end:
                raise needs.LabError(f'{name} is not ready after {timeout:g} s'
                                     f'{self.trouble(name)}')
            time.sleep(0.05)

    def stop(self, name: str) -> None:
        """Tell a started program to end, and wait until it has."""
        self._started[name].kill(signal.SIGTERM)
        self.ended(name)

    def ended(self, name: str) -> None:
        """Wait until a program that was told to stop has ended."""
        self._started[name].wait(timeout=30)

    def trouble(self, name: str) -> str:
        """Return the end of a program's log, best from its last error on."""
        return tail(self.where.log, name)

    def uwsgi(self, name: str, module: str, env: Mapping[str, str], *,
              processes: int = 1, threads: int = 4) -> None:
        """Start a WSGI service on its port."""
        self.start(self.controller, name, [
            self.where.program('uwsgi'), '--http-socket',
            f'{layout.CONTROLLER}:{layout.PORTS[name]}', '-H', self.where.venv,
            '--module', module, '--processes', str(processes), '--threads', str(threads),
            *_UWSGI], env)

    def wait_http(self, name: str, timeout: float = 90.0) -> None:
        """Wait until a WSGI service answers a request, whatever it answers."""
        web = network.http(self.controller.pid)
        url = f'http://{layout.CONTROLLER}:{layout.PORTS[name]}/'

        def answers() -> bool:
            try:
                web.get(url, timeout=5)
            except requests.RequestException:
                return False
            return True

        self.wait(name, answers, timeout)

    def rabbitmq(self) -> None:
        """Start RabbitMQ; it takes some seconds until it listens."""
        folder, home = self.where.data / 'rabbit', layout.DATA / 'rabbit'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'rabbitmq.conf').write_text('loopback_users = none\n')
        (folder / 'enabled_plugins').write_text('[].\n')
        self.start(self.controller, 'rabbitmq', ['/usr/lib/rabbitmq/bin/rabbitmq-server'], {
            'HOME': str(home),
            'RABBITMQ_NODENAME': 'lab@localhost',
            'RABBITMQ_MNESIA_BASE': str(home / 'mnesia'),
            'RABBITMQ_LOG_BASE': str(home / 'log'),
            'RABBITMQ_NODE_IP_ADDRESS': layout.CONTROLLER,
            'RABBITMQ_NODE_PORT': '5672',
            'RABBITMQ_ENABLED_PLUGINS_FILE': str(home / 'enabled_plugins'),
            'RABBITMQ_CONFIG_FILE': str(home / 'rabbitmq'),
            'ERL_EPMD_ADDRESS': '127.0.0.1',
            # One busy-waiting scheduler per core would take what the rest needs to start.
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': _SCHEDULE,
        })

    def nova(self, node: machine.Machine, program: str, conf: str,
             within: Sequence[object] = ()) -> None:
        """Start one of Nova's daemons; its name in logs is 'nova-' and the conf's.

        :param within: a program that runs it, and its arguments
        """
        self.start(node, f'nova-{conf}', [
            *within, self.where.program(program), '--config-file',
            self.where.conf(f'nova/{conf}.conf')])

    def wait_logged(self, name: str, text: str, timeout: float = 60.0) -> None:
        """Wait until a program has written something to its log file."""
        log = self.where.log / f'{name}.log'
        self.wait(name, lambda: log.exists() and text in log.read_text(errors='replace'), timeout)


def tail(logs: pathlib.Path, name: str) -> str:
    """Return the end of a service's log, beginning with a line break; '' if there is none."""
    for path in (logs / f'{name}.log', logs / f'{name}.out'):
        lines = path.read_text(errors='replace').splitlines() if path.exists() else []
        errors = [number for number, line in enumerate(lines) if _TROUBLE.search(line)]
        if errors or (lines and path.suffix == '.out'):
            first = max(errors[-1] - 10, 0) if errors else max(0, len(lines) - 12)
            return '\n'.join(['', f'--- {path}', *lines[first:first + 25]])
    return ''


def noteworthy(text: str, pattern: str) -> str:
    """Return the lines of a log that match a pattern or are errors, at most the last 80."""
    look = re.compile(f'{_TROUBLE.pattern}|{pattern}')
    found = [line for line in text.splitlines() if look.search(line) and ' DEBUG ' not in line]
    return '\n'.join(found[-80:])


def find(node: machine.Machine, program: str) -> list[int]:
    """Return the processes of a program in a machine that no process of it has started."""
    found = _parents(node, program)
    return [pid for pid, parent in found.items() if parent not in found]


def find_all(node: machine.Machine, program: str) -> list[int]:
    """Return all processes of a program in a machine."""
    return list(_parents(node, program))


def _parents(node: machine.Machine, program: str) -> dict[int, int]:
    found = {}
    for pid in node.processes():
        try:
            words = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
            stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
        except OSError:
            continue
        # One that another runs (see `nova`) is its fourth word. Some give themselves a title in
        # place of their words: `nova-conductor: master process …`.
        if any(pathlib.Path(os.fsdecode(word)).name == program for word in words[:4]) or (
                words[0].startswith(f'{program}: '.encode())):
            found[pid] = int(stat.rsplit(')', 1)[1].split()[1])
    return found


def send(node: machine.Machine, program: str, number: signal.Signals) -> None:
    """Send a signal to a program in a machine.

    :raises LabError: if it does not run
    """
    pids = find(node, program)
    if not pids:
        raise needs.LabError(f'{program} does not run in {node.name}')
    for pid in pids:
        os.kill(pid, number)
