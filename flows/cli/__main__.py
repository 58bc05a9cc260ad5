# SPDX-License-Identifier: Apache-2.0
"""Runs the program: ``python -m andpop.flows.cli``."""

from . import main

main()
