#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program under a seccomp filter in which io_uring_setup(2) fails.

    refuse_io_uring.py EPERM|ENOSYS|EACCES COMMAND...

EPERM is what Docker's default profile answers, ENOSYS an old kernel. The filter is the classic BPF
program below; it needs no privilege, since the process first gives up gaining any.
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K
IO_URING_SETUP = 425  # on every architecture since the numbers were unified
OFFSET_OF_NUMBER = 0  # in struct seccomp_data


def instruction(code, if_true, if_false, value):
    return struct.pack("HBBI", code, if_true, if_false, value)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def refuse(code):
    instructions = [
        instruction(LOAD_WORD, 0, 0, OFFSET_OF_NUMBER),
        instruction(JUMP_EQUAL, 0, 1, IO_URING_SETUP),
        instruction(RETURN, 0, 0, SECCOMP_RET_ERRNO | code),
        instruction(RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    program = Program(len(instructions), b"".join(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            sys.exit(f"seccomp is not available: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    refuse(getattr(errno, sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
