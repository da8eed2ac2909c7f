"""Runs a command under a seccomp filter that refuses io_uring_setup, as container engines do.

    deny_io_uring.py ERRNO COMMAND [ARGUMENT...]

ERRNO is what the system call fails with: EPERM (a container's profile, the sysctl) or ENOSYS (a
kernel built without it). The filter holds for the command only, so nothing else on the host sees
it and no sysctl has to be put back.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000
LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
# The same number on every architecture that has the unified table.
IO_URING_SETUP = 425


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def instruction(code, if_true, if_false, value):
    return struct.pack("HBBI", code, if_true, if_false, value)


def main():
    refusal = getattr(errno, sys.argv[1])
    # The first word of seccomp's data is the number of the system call.
    instructions = b"".join(
        [
            instruction(LOAD_WORD, 0, 0, 0),
            instruction(JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
            instruction(RETURN, 0, 0, SECCOMP_RET_ERRNO | refusal),
            instruction(RETURN, 0, 0, SECCOMP_RET_ALLOW),
        ]
    )
    memory = ctypes.create_string_buffer(instructions, len(instructions))
    program = Program(len(instructions) // 8, ctypes.cast(memory, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit(f"no_new_privs on {platform.machine()}: {os.strerror(ctypes.get_errno())}")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        sys.exit(f"seccomp on {platform.machine()}: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[2], sys.argv[2:])


main()
