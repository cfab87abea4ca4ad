# SPDX-License-Identifier: Apache-2.0
"""The command nova-migpolicy: tools for operators that need no cloud.

Unlike the commands of `openstack` they talk to no API, so they run on a laptop: nothing here
imports nova, oslo or libvirt.
"""
