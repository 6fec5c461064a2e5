"""Run a command; write its seconds and the peak memory of its largest process, in bytes, as JSON.

A process of its own, and a small one: what is started from a large process would be charged with that one's memory.
"""

import json
import os
import subprocess
import sys
import time

start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "peak": used.ru_maxrss * 1024, "code": os.waitstatus_to_exitcode(status)}))
