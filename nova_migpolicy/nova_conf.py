# SPDX-License-Identifier: Apache-2.0
"""Reads Nova's own options, so that no value of theirs can stop anything here.

How their values are interpreted is the business of ``policy.nova_values``; the list of them is in
``policy.nova_options``.
"""

from __future__ import annotations

import glob
import os

from oslo_config import cfg

from nova_migpolicy.policy import nova_options
from nova_migpolicy.policy import nova_values


def read(conf: cfg.ConfigOpts) -> nova_values.All:
    """Read each option that this Nova has and whose value matters here."""
    return {option: _read(conf, option) for option in nova_options.READ
            if option.group in conf and option.name in conf[option.group]}


def _read(conf: cfg.ConfigOpts, option: nova_options.Option) -> nova_values.Said:
    try:
        value = conf[option.group][option.name]
        where = conf.get_location(option.name, option.group)
    except (cfg.Error, ValueError) as error:
        # Nova reads each where it needs it, so that it may never come to light there.
        reason = str(error).rpartition(' is not valid: ')[2]
        return nova_values.Said(None, _written(conf, option), True, reason)
    is_set = where is not None and (
        where.location.is_user_controlled or where.location is cfg.Locations.set_override)
    return nova_values.Said(value, '' if value is None else str(value), is_set)


def _written(conf: cfg.ConfigOpts, option: nova_options.Option) -> str:
    """Return an option's value as the files have it, valid or not; a ? if none of them has it."""
    paths = list(conf.config_file or ())
    for folder in conf.config_dir or ():
        paths += sorted(glob.glob(os.path.join(folder, '*.conf')))
    sections: dict[str, dict[str, list[str]]] = {}
    for path in paths:
        try:
            cfg.ConfigParser(path, sections).parse()
        except (cfg.Error, OSError):
            continue
    return sections.get(option.group, {}).get(option.name, ['?'])[-1]
