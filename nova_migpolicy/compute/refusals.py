# SPDX-License-Identifier: Apache-2.0
"""The table of errors of the migrate call, and the part of the call that each one refuses.

Only the attempt shows whether userfaultfd is permitted at the destination, what a vhost-user
backend is capable of, or how old the destination's libvirt is. The table looks for names, which
no translation of libvirt changes, and for QEMU's own sentences, which are never translated.
"""

from __future__ import annotations

from collections.abc import Collection
import re

import libvirt

from nova_migpolicy.compute import fits

LONGEST = 300

# The first match in use was refused; names of one feature may be in errors of another.
REFUSALS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    ((fits.SWITCHOVER,), re.compile(r'bandwidth\.avail\.switchover|avail-switchover-bandwidth')),
    (fits.COMPRESSIONS, re.compile(
        r"'(xbzrle|zlib|zstd)'|compatible with xbzrle|multifd-compression|multifd-zlib-level"
        r'|multifd-zstd-level|xbzrle-cache-size')),
    ((fits.POST_COPY,), re.compile(
        r"'postcopy-(ram|preempt)'|[Pp]ost-?copy (migration )?is not|Postcopy (needs|preempt)"
        r'|[Uu]serfaultfd|(not capable of|not supported with|incompatible with) post-?copy')),
    ((fits.PARALLEL,), re.compile(
        r"'multifd'|multifd-channels|parallel\.connections|\b[Mm]ultifd\b")),
    ((fits.THROTTLE,), re.compile(r'auto[-_]converge|cpu-throttle')),
)


def named(error: libvirt.libvirtError, used: Collection[str]) -> str | None:
    """Return the refused part of the call; None where the error names nothing that is in use.

    An order to end the job is no refusal, whatever its text says.
    """
    if error.get_error_code() == libvirt.VIR_ERR_OPERATION_ABORTED:
        return None
    text = str(error)
    for features, pattern in REFUSALS:
        for feature in features:
            if feature in used and pattern.search(text):
                return feature
    return None


def said(error: libvirt.libvirtError) -> str:
    """Return an error's text in one line of bounded length; it may hold a log of QEMU's."""
    text = ' '.join(str(error).split())
    return text if len(text) <= LONGEST else f'{text[:LONGEST - 3]}...'
