# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
import sys

from framemill_export.cli import main

sys.exit(main())
