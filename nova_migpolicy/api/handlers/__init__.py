# SPDX-License-Identifier: Apache-2.0
"""The handlers of the paths: a module for each action of an operator or a user, named after it."""
