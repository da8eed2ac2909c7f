"""Runs a program on a terminal of its own and types into it.

usage: type_password.py PROGRAM [ARGUMENT…]

Each line of standard input is typed when the terminal shows the next ": "; in it `\\r` and the like
stand for what they do in Python. Standard output gets all that the terminal showed. The exit status
is the program's, or 99 if it left the terminal in another state than it found it in.
"""

import os
import pty
import select
import subprocess
import sys
import termios

typings = [line.encode().decode("unicode_escape").encode("latin-1") for line in sys.stdin]
typings = [typing.removesuffix(b"\n") for typing in typings]
leader, follower = pty.openpty()
found = termios.tcgetattr(follower)
program = subprocess.Popen(sys.argv[1:], stdin=follower, stdout=follower, stderr=follower)
shown = b""
typed = 0
while True:
    readable, _, _ = select.select([leader], [], [], 0.05)
    if readable:
        shown += os.read(leader, 4096)
    elif program.poll() is not None:
        break
    if typed < len(typings) and shown.count(b": ") > typed:
        os.write(leader, typings[typed])
        typed += 1
sys.stdout.buffer.write(shown)
sys.exit(program.returncode if termios.tcgetattr(follower) == found else 99)
