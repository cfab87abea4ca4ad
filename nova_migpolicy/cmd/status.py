# SPDX-License-Identifier: Apache-2.0
"""The entry point of nova-migpolicy-status: what to look at on a host before an upgrade.

``nova-migpolicy-status upgrade check`` reads nova.conf, and which Nova is installed. Exit status,
as of all such commands of OpenStack: 0 all is well, 1 something is worth a look, 2 something has
to be done first.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
import os
import re
import sys

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.cmd import recovery
from nova_migpolicy import conf as options

#: Nova's own options that are read, as Nova has them
NOVAS = (cfg.IntOpt('max_concurrent_live_migrations', default=1, min=0),
         cfg.StrOpt('concurrency_backend', default='auto'))
#: the release from which on nova-compute has native threads by itself, and reads that option
THREADED_FROM = 34
#: has precedence where nova-compute has it in its environment, and what it says for native threads
NO_EVENTLET = 'OS_NOVA_DISABLE_EVENTLET_PATCHING'
_YES = frozenset({'1', 'true', 'yes'})


class Checks(upgradecheck.UpgradeCommands):
    """What is checked.

    :param conf: the options of nova-compute on this host
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf

    def _slots(self) -> upgradecheck.Result:
        at_once = limits_mod.novas_at_once(
            self._conf.max_concurrent_live_migrations,
            is_threaded(os.environ, self._conf.concurrency_backend, nova_release()))
        note = limits_mod.kept_from(self._conf.migpolicy.max_outgoing, at_once)
        if note is None:
            return upgradecheck.Result(upgradecheck.Code.SUCCESS)
        return upgradecheck.Result(upgradecheck.Code.WARNING, f'{note[:1].upper()}{note[1:]}.')

    _upgrade_checks = (('Slots for live migrations', _slots),)


def nova_release() -> int | None:
    """Return the major number of the installed Nova; None where that is not known."""
    try:
        number = re.match(r'(?:\d+!)?(\d+)\.', metadata.version('nova'))
    except metadata.PackageNotFoundError:
        return None
    return int(number.group(1)) if number else None


def is_threaded(environ: Mapping[str, str], backend: str, release: int | None) -> bool:
    """Whether nova-compute has native threads, as far as that can be known from outside of it.

    :param environ: that of this command; nova-compute's may be another
    :param backend: Nova's option concurrency_backend
    :param release: Nova's major number; one that is not known counts as a new one
    """
    said = environ.get(NO_EVENTLET, '').lower()
    if said:
        return said in _YES
    if release is not None and release < THREADED_FROM:
        return False
    return backend != 'eventlet'


def main(argv: list[str] | None = None) -> int:
    """Run the checks; return the exit status."""
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf.register_opts(NOVAS)
    return upgradecheck.main(
        conf, 'nova', Checks(conf), sys.argv[1:] if argv is None else argv,
        [path for path in recovery.CONFIG_FILES if os.path.exists(path)])
