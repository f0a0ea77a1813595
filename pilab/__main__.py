"""`python -m pilab` is `pilab`."""

import sys

from pilab.cli import main

sys.exit(main())
