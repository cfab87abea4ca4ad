# SPDX-License-Identifier: Apache-2.0
"""What hosts tell each other of a server's domain: the form of the answer, and the question.

What another host sends is input, as of any peer: an answer that is not clear is none.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import threading
from typing import Any

from oslo_log import log as logging

from nova_migpolicy.channel import client
from nova_migpolicy import exception
from nova_migpolicy.monitor import domains
from nova_migpolicy.recovery import evidence

LOG = logging.getLogger(__name__)


# Questions of other hosts that wait for libvirt here at once. One that hangs would else keep all
# threads that answer them, or all in which eventlet calls libvirt.
MOST_OF_A_SERVER = 2
MOST_AT_ONCE = 8
NO_ANSWER = ('libvirt has not answered {} earlier questions yet; see whether it hangs on this '
             'host, and start it again if it does')
# Changes that other hosts ask for, which wait for libvirt as well, and for Nova's other services.
# Two of one server at once would be in each other's way.
MOST_CHANGES = 4
NOT_DONE = ('this host is still at work on others, {} in number, to finish or to remove what is '
            'here; if that stays, see whether its libvirt hangs, and start it again if it does')


class Places:
    """Bounds what other hosts ask for here and waits for libvirt.

    :param of_a_server: the most of one server at once
    :param at_once: of all servers
    :param obstacle: why there is no place, with the number of those that are taken to be put in
    """

    def __init__(self, of_a_server: int = MOST_OF_A_SERVER, at_once: int = MOST_AT_ONCE,
                 obstacle: str = NO_ANSWER) -> None:
        self._of_a_server = of_a_server
        self._at_once = at_once
        self._obstacle = obstacle
        self._lock = threading.Lock()
        self._taken: list[str] = []

    @contextlib.contextmanager
    def taken(self, server: str) -> Iterator[str | None]:
        """Take a place in the block; give None, or why there is none."""
        with self._lock:
            of_it, all_of_them = self._taken.count(server), len(self._taken)
            is_free = of_it < self._of_a_server and all_of_them < self._at_once
            if is_free:
                self._taken.append(server)
        try:
            yield None if is_free else self._obstacle.format(all_of_them)
        finally:
            if is_free:
                with self._lock:
                    self._taken.remove(server)


@dataclasses.dataclass(frozen=True)
class Whereabouts:
    """A server's domain on a host, by what libvirt there says.

    The versions are of what is installed, in libvirt's way of numbering; 0: not known.
    """

    domain: domains.Answers
    host: str
    libvirt_version: int
    qemu_version: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the message bus."""
        return {'state': self.domain.destination.value, 'source': self.domain.source.value,
                'job': self.domain.job, 'host': self.host,
                'libvirt_version': self.libvirt_version, 'qemu_version': self.qemu_version}


def _version(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise ValueError('not a version')
    return given


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise ValueError('neither true nor false')
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError('not a text')
    return given


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    'state': evidence.Destination, 'source': evidence.Source, 'job': _flag, 'host': _text,
    'libvirt_version': _version, 'qemu_version': _version,
}


def read(body: Any, host: str) -> Whereabouts:
    """Return what a host answered.

    :param host: the one that was asked
    :raises ValueError: a field is missing or has another form; it is named with its value
    """
    given = body if isinstance(body, dict) else {}
    found = {}
    for field, form in _FORMS.items():
        if field not in given:
            raise ValueError(f'{field} is missing in {exception.shown(body)}')
        try:
            found[field] = form(given[field])
        except ValueError:
            raise ValueError(f'{field} is {exception.shown(given[field])}') from None
    if found['host'] != host:
        raise ValueError(f'host is {exception.shown(found["host"])}')
    return Whereabouts(
        domains.Answers(found['source'], found['job'], found['state']), host,
        found['libvirt_version'], found['qemu_version'])


def look(channel: client.Channel, context: Any, host: str,
         server: str) -> Whereabouts | None:
    """Ask another host for a server's domain there; None for anything but a clear answer.

    :param context: an administrator's
    """
    try:
        _, body = channel.ask(context, host, 'whereabouts', server=server)
        return read(body, host)
    except client.Refused as error:
        LOG.info('%s', error, instance_uuid=server)
    except ValueError as error:
        LOG.warning('What %(host)s says of this server is not understood: %(error)s; bring '
                    'nova_migpolicy on both hosts to the same release',
                    {'host': host, 'error': error}, instance_uuid=server)
    except Exception:
        LOG.exception('%s could not be asked for this server', host, instance_uuid=server)
    return None


def is_off(channel: client.Channel, context: Any, host: str, server: str) -> bool:
    """Whether not even nova-compute on a host answers.

    One that is busy, of another version or without the plugin is not off, nor is one whose libvirt
    alone does not answer.
    """
    try:
        channel.ask(context, host, 'whereabouts', server=server)
    except client.Off:
        return True
    except Exception as error:
        LOG.info('%(host)s is not off: %(error)s', {'host': host, 'error': error},
                 instance_uuid=server)
    return False


def ask(channel: client.Channel, context: Any, host: str,
        server: str) -> domains.Answers:
    """Ask as `look` does, for the domain alone; SILENT for anything but a clear answer.

    :param host: empty for a destination that Nova had not chosen yet, which has nothing
    """
    if not host:
        return domains.ABSENT
    found = look(channel, context, host, server)
    return domains.SILENT if found is None else found.domain
