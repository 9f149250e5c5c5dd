"""Programs that may not enter every folder, as those of root may."""

import os
import shutil

SETPRIV = shutil.which("setpriv") if os.geteuid() == 0 else None
CAN_BE_SHUT = os.geteuid() != 0 or SETPRIV is not None
"""Whether there are folders that a program of ours may not enter."""
SHUT_OUT = [SETPRIV, "--bounding-set=-dac_override,-dac_read_search", "--"] if SETPRIV else []
"""What goes before its command."""
