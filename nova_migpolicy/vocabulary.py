# SPDX-License-Identifier: Apache-2.0
"""Every word that leaves the process: in answers, journals, logs and tables of commands.

Each is declared here once, as every policy key is in policy.keys. A pass is QEMU's iteration over
the memory that is dirty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Phases, in the order in which a migration goes through them.
QUEUED = 'queued'
WAITING = 'waiting for a slot'
PREPARING = 'preparing'
DISKS = 'disks'
BULK_COPY = 'bulk copy'
PASSES = 'passes'
PAUSED = 'paused'
SWITCHOVER = 'switchover'
POST_COPY = 'post-copy'
ABORTING = 'aborting'
FINISHING = 'finishing'
DONE = 'done'
# A migration that Nova alone watches is in none of these.
RUNNING = 'running'

#: nothing has been sent
BEFORE = (QUEUED, WAITING, PREPARING)
#: there is something to send
MOVING = frozenset({DISKS, BULK_COPY, PASSES, SWITCHOVER, POST_COPY})
#: what recovery brings to its end, whatever Nova calls it meanwhile
MENDED = frozenset({POST_COPY, ABORTING, FINISHING})
#: there is nothing to report but that they last
QUIET = (*BEFORE, ABORTING, FINISHING)

# How a migration ends.
COMPLETED = 'completed'
CANCELLED = 'cancelled'
FAILED = 'failed'
BROKEN = 'broken'
OUTCOMES = (COMPLETED, CANCELLED, FAILED, BROKEN)
#: a monitor's part is over, and recovery finds out how it has ended
UNDECIDED = 'undecided'


class Meaning(NamedTuple):
    """The meaning of Nova's status of a live migration in our words; None for nothing."""

    phase: str | None
    outcome: str | None = None


#: Nova's words for two kinds of migrations
LIVE_MIGRATION = 'live-migration'
EVACUATION = 'evacuation'
#: Nova's word while both hosts are prepared
NOVA_PREPARING = 'preparing'
#: its word in post-copy
NOVA_POST_COPY = 'running (post-copy)'
#: its word for a migration that nobody has brought to an end; that may still come
NOVA_ERROR = 'error'
NOVA_STATUS: Mapping[str, Meaning] = {
    'accepted': Meaning(QUEUED),
    'queued': Meaning(WAITING),
    NOVA_PREPARING: Meaning(PREPARING),
    # Nova's own monitor is at work, or ours has not begun.
    'running': Meaning(None),
    NOVA_POST_COPY: Meaning(POST_COPY),
    'post-migrating': Meaning(FINISHING),
    'completed': Meaning(DONE, COMPLETED),
    # Of other kinds of migration, and of older releases.
    'done': Meaning(DONE, COMPLETED),
    'cancelled': Meaning(DONE, CANCELLED),
    NOVA_ERROR: Meaning(DONE, FAILED),
    'failed': Meaning(DONE, FAILED),
}
#: of Nova's words: it will not change again
FINAL_STATUSES = frozenset(
    status for status, meaning in NOVA_STATUS.items() if meaning.outcome is not None)
#: of Nova's words: it may still be stopped, or has to be told that it cannot
UNDER_WAY_STATUSES = tuple(
    status for status, meaning in NOVA_STATUS.items() if meaning.outcome is None)
#: of Nova's words: its source host is at work on it
AT_WORK_STATUSES = tuple(status for status in UNDER_WAY_STATUSES
                         if NOVA_STATUS[status].phase not in (QUEUED, WAITING))

# Orders: what an operator or a user may demand of a running migration, whatever its state.
CANCEL = 'cancel'
FORCE_COMPLETE = 'force_complete'
START_POST_COPY = 'post_copy'
PAUSE = 'pause'
ORDERS = (CANCEL, FORCE_COMPLETE, START_POST_COPY, PAUSE)

# Classes of priority in the queue for slots, and their points out of 100.
DRAIN = 'drain'
USER = 'user'
MAINTENANCE = 'maintenance'
PRIORITIES: Mapping[str, int] = {DRAIN: 100, USER: 50, MAINTENANCE: 20}

# What is done where a destination has no free slot.
AUTO = 'auto'
WAIT = 'wait'
RESCHEDULE = 'reschedule'
ON_BUSY_DESTINATION: Mapping[str, str] = {
    AUTO: 'wait if the request named the host, otherwise reschedule',
    WAIT: 'wait for a slot there',
    RESCHEDULE: 'look for another host; the migration fails where none has a free slot',
}

# Who has a slot without a migration whose data flows.
#: the source has a slot of its own, and the destination is about to say whether it has one
TAKING = 'taking'
#: the destination keeps a slot for the answer of the source
OFFERED = 'offered'
#: the destination keeps a slot for one that Nova checks
RESERVED = 'reserved'

# What a migration that waits for a slot waits for.
INCOMING_SLOT = 'incoming slot'
OUTGOING_SLOT = 'outgoing slot'
#: it runs alone on its destination
WHOLE_HOST = 'whole host'
#: another one runs alone there, or is about to
ONE_ALONE = 'one that runs alone'
#: the destination has just started, and learns first what comes to it
RECOUNT = 'recount'
#: the destination is being stopped, and takes nobody any more
STOPPING = 'stopping'
#: the destination has not answered yet
AN_ANSWER = 'answer'

# What nova-compute does with its running migrations when it is stopped.
FINISH = 'finish'
ABORT_ALL = 'abort'
LEAVE = 'leave'
ON_SHUTDOWN: Mapping[str, str] = {
    FINISH: 'they go on to their end, as far as the time allows that Nova gives',
    ABORT_ALL: 'they are cancelled, and it is waited until they are rolled back; post-copy, which '
               'cannot be cancelled, is dealt with as by finish',
    LEAVE: 'libvirt goes on with them, and the next nova-compute takes them up',
}

# Rules, each of which makes decisions. Those that take one remedy alone bear its name, but two.
OPERATOR = 'operator'
RAISE_BANDWIDTH = 'raise_bandwidth'
RAISE_DOWNTIME = 'raise_downtime'
COMBINE = 'combine'
AWAIT_QUIET = 'await_quiet'
KEEP_PROMISE = 'keep_promise'
MEMORY_BEGINS = 'memory_begins'
SHARE = 'share'
STANDSTILL = 'standstill'
LET_GO = 'let_go'
DEADLINE = 'deadline'
ON_STALL = 'on_stall'
ON_TIMEOUT = 'on_timeout'
#: the subject of each
RULES: Mapping[str, str] = {
    OPERATOR: 'an operator, or a user who may do it, ordered it',
    RAISE_BANDWIDTH: 'more bandwidth makes it converge, or arrive in time',
    RAISE_DOWNTIME: 'a longer blackout, within what is permitted, makes it converge',
    'auto_converge': 'the server is slowed so that it converges',
    'post_copy': 'the server is moved at once and fetches the rest of its memory afterwards',
    'pause': 'the server is paused for the rest of the transfer',
    COMBINE: 'several remedies together make it converge',
    AWAIT_QUIET: 'a bursty server is awaited in a lull, with a limit that catches it there',
    KEEP_PROMISE: "QEMU's limit is brought in line with the promised blackout",
    MEMORY_BEGINS: 'the disks are in sync, and memory gets the whole bandwidth',
    SHARE: 'migrations over the same link take turns',
    STANDSTILL: 'nothing moves over the link, or something does again',
    LET_GO: 'a server that was paused for it runs on, since the rest does not arrive',
    DEADLINE: 'it is not likely to arrive in time at any permitted bandwidth; nothing is done',
    ON_STALL: 'it cannot converge with what is permitted',
    ON_TIMEOUT: 'its deadline has passed',
}

# Kinds of records in a journal.
START = 'start'
SAMPLE = 'sample'
DECISION = 'decision'
ACTION = 'action'
RETUNE = 'retune'
EVENT = 'event'
LINK = 'link'
END = 'end'
#: all but samples, which are many
STORY = (START, DECISION, ACTION, RETUNE, EVENT, LINK, END)
KINDS = (*STORY, SAMPLE)
#: worth a line while it runs
NEWS = (DECISION, ACTION, EVENT)

#: the fields of a migration's status, and their values before anything is known
STATUS: Mapping[str, Any] = {
    'phase': PREPARING, 'percent': 0.0, 'age_seconds': 0.0, 'started_at': None,
    'elapsed_seconds': None, 'memory': None, 'disk': None, 'bandwidth_mib_s': None,
    'dirty_mib_s': None, 'throttle_percent': None, 'pass_number': None, 'settings': None,
    'held': (), 'expected_blackout_ms': None, 'converges': None, 'eta_seconds': None,
    'deadline_at': None, 'deadline_in_seconds': None, 'makes_deadline': None,
    'last_decision': None, 'waits_for': None, 'outcome': None, 'reason': None, 'final': None,
}


def blank_status(**known: Any) -> dict[str, Any]:
    """Return a status in which nothing is known but this."""
    return {**STATUS, 'held': [], **known}
