# SPDX-License-Identifier: Apache-2.0
"""The observed rates of the links to other hosts, kept over a restart.

They are in a small JSON file with the last observations for each host, rewritten whole and
atomically. They are interpreted in `link_rate`. A file that cannot be read, or that an earlier
release wrote, counts as no observations.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import os
import pathlib
import sys
import threading
import time

from oslo_log import log as logging
from oslo_serialization import jsonutils

from nova_migpolicy.engine.estimation import link_rate

LOG = logging.getLogger(__name__)

# Hosts remembered; a cloud's cell is smaller than this.
MAX_HOSTS = 4096
Seen = dict[str, tuple[link_rate.Observation, ...]]


class LinkRates:
    """The observations of the links, by destination host.

    :param clock: seconds since the epoch
    """

    def __init__(self, path: pathlib.Path | None,
                 clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = _read(path) if path else {}

    def get(self, host: str) -> link_rate.Belief | None:
        """The believed rate of the link to `host`; None where nothing was observed lately."""
        return link_rate.believe(self._seen.get(host, ()), self._clock())

    def learn(self, host: str, server: str, seen_mib_s: float, *,
              is_bound: bool) -> link_rate.Belief | None:
        """Take in the rate that a server's migration showed; returns the new belief."""
        new = link_rate.Observation(server, seen_mib_s, self._clock(), is_bound)
        with self._lock:
            self._seen[host] = link_rate.keep(self._seen.pop(host, ()), new)
            while len(self._seen) > MAX_HOSTS:
                del self._seen[next(iter(self._seen))]
            snapshot = dict(self._seen)
        if self._path:
            _write(self._path, snapshot)
        return self.get(host)


def _read(path: pathlib.Path) -> Seen:
    try:
        content = jsonutils.loads(path.read_text(encoding='utf-8'))
        return {str(host): tuple(_observation(one) for one in seen)
                for host, seen in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        LOG.warning('What was seen of the links, in %s, is not used: %s', path, error)
        return {}


def _observation(found: object) -> link_rate.Observation:
    """Read one observation of the file.

    :raises ValueError: it is none
    """
    if not isinstance(found, dict):
        raise ValueError(f'{found!r:.80} is no observation')
    one = link_rate.Observation(**found)
    for name in ('mib_s', 'at_s'):
        value = getattr(one, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
                0 < value <= sys.float_info.max):
            raise ValueError(f'{name} is {value!r:.80}')
    return one


def _write(path: pathlib.Path, seen: Seen) -> None:
    # One name per thread: two migrations may end at the same moment.
    new = path.with_name(f'{path.name}.{threading.get_ident()}.new')
    try:
        new.write_text(jsonutils.dumps({
            host: [dataclasses.asdict(one) for one in kept] for host, kept in seen.items()}),
            encoding='utf-8')
        os.replace(new, path)
    except OSError as error:
        LOG.warning('What was seen of the links was not kept in %s: %s', path, error)
        with contextlib.suppress(OSError):
            new.unlink()
