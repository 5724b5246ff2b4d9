"""A driver: starts programs of its own on this node, and steps on all nodes, by subprocess."""
import os
import subprocess
import sys

probe = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.py")
commands = [[sys.executable, probe, "child"], ["python3", probe, "by-name"], ["sh", "-c", f"python3 {probe} of-a-shell"]]
if "local" not in sys.argv:
    commands.append(["srun", "-N4", "-n4", "python3", probe, "step"])
for command in commands:
    subprocess.run(command, check=True)
print("driver", "of", os.environ["PBCAST_ROOT"])
