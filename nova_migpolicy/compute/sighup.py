# SPDX-License-Identifier: Apache-2.0
"""Lets SIGHUP mean "reload" in a nova-compute with native threads too.

Under eventlet oslo.service does it: it reads the mutable options again and resets the
service. With native threads and one process, which is how nova-compute runs, it cannot do so
yet and ends the process, in the middle of any migration. Nothing is changed here where that is
not so.
"""

from __future__ import annotations

from collections.abc import Callable
import signal
import threading
from typing import Any

from oslo_log import log as logging

LOG = logging.getLogger(__name__)


def install(conf: Any, reset: Callable[[], None]) -> bool:
    """Put our handler in the place of the one that ends the process; True if that was needed.

    Call it in the main thread, once oslo.service has installed its handlers.

    :param conf: the configuration whose files are read again.
    :param reset: the service's own reload, called after that.
    """
    if (threading.current_thread() is not threading.main_thread()
            or not _would_end(signal.getsignal(signal.SIGHUP))):
        return False

    def reload() -> None:
        LOG.info('SIGHUP: reading the mutable options again')
        try:
            conf.mutate_config_files()
            reset()
        except Exception:
            LOG.exception('Not everything could be reloaded')

    def handle(_number: int, _frame: Any) -> None:
        # A handler runs between two instructions of the main thread, which may hold any lock.
        threading.Thread(target=reload, name='sighup', daemon=True).start()

    signal.signal(signal.SIGHUP, handle)
    return True


def _would_end(handler: Any) -> bool:
    """Whether a handler is oslo.service's for native threads, and that one ends the process."""
    owner = getattr(handler, '__self__', None)
    if not type(owner).__module__.startswith('oslo_service.backend._threading'):
        return False
    chosen = getattr(owner, '_signal_handlers', {}).get(signal.SIGHUP, ())
    return any('SignalExit' in one.__code__.co_names for one in chosen)
