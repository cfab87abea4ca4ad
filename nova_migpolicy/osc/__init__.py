# SPDX-License-Identifier: Apache-2.0
"""The `openstack` commands: see, retune, cancel and start live migrations from anywhere.

They speak HTTP to Nova's API and run where neither Nova nor libvirt is installed. They share with
the hosts only the table of policy keys and the vocabulary.
"""
