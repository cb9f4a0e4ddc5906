"""Becomes a jail for one untrusted Python program, runs it there, and ends with it.

Run as ``python -I -S -B jail.py`` with the standard library only. The first line of standard input is a JSON object
(`pipeline.core.sandbox.Limits`, and where to work and to report), the rest is the program. It sees no network, no other
process, and every file read-only but for an empty ``/tmp``; Linux ends all that it started when it ends
(pid_namespaces(7)). It has no rights, not even root's.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 0x40000
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, SYS_MOUNT_SETATTR = -100, 0x8000, 1, 442
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

TEMPORARY = "/tmp"  # noqa: S108  a mount of the jail's own
LIBRARY, HOME = f"{TEMPORARY}/library", f"{TEMPORARY}/home"

REFUSED = 77
"""Exit status where the machine allows no jail."""


def checked(result: int, what: str) -> None:
    """Raise what the last system call said, where it failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def separate() -> None:
    """Leave the machine's namespaces, as root of a user namespace where not root."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    checked(LIBC.unshare(flags | (CLONE_NEWUSER if user else 0)), "unshare")
    if user:
        for path, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{path}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(line)


def mount(kind: str, target: str, options: str) -> None:
    """Mount a file system of the kernel's own."""
    flags = MS_NOSUID | MS_NODEV
    checked(LIBC.mount(kind.encode(), target.encode(), kind.encode(), flags, options.encode()), f"mount {target}")


def close_files(megabytes: int) -> None:
    """Make every file read-only, and `HOME` an empty place to write to.

    The standard library is shown again beside it: where it really lies the program may not be allowed to look.
    """
    checked(LIBC.mount(b"none", b"/", b"none", MS_REC | MS_PRIVATE, None), "mount /")
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    changed = LIBC.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, attributes, ctypes.sizeof(attributes))
    checked(changed, "mount_setattr /")
    source = os.path.dirname(os.__file__)  # noqa: PTH120
    library = os.open(source, os.O_PATH | os.O_DIRECTORY)
    mount("tmpfs", TEMPORARY, f"size={megabytes}m,mode=755")
    for path, mode in ((LIBRARY, 0o755), (HOME, 0o1777)):
        os.mkdir(path)  # noqa: PTH102
        os.chmod(path, mode)  # noqa: PTH101
    found = LIBC.mount(f"/proc/self/fd/{library}".encode(), LIBRARY.encode(), b"none", MS_BIND, None)
    checked(found, "mount the standard library")
    os.close(library)
    sys.path[:] = [LIBRARY, f"{LIBRARY}/lib-dynload"]
    for module in list(sys.modules.values()):  # packages that this file has loaded look for their parts there, too
        if hasattr(module, "__path__"):
            module.__path__ = [LIBRARY + place.removeprefix(source) for place in module.__path__]


def limit(limits: dict[str, int]) -> None:
    """Set what this process and those that it starts may take."""
    for name, value in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (value, value))


def give_up_rights(user: int) -> None:
    """Become a user that owns nothing, where this is root of the machine, and gain no rights again."""
    if os.getresuid()[0] == 0 and user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def run_program(program: str, limits: dict[str, int], nonce: bytes) -> None:
    """Run ``program`` in this process, and write ``nonce`` to the descriptor ``report`` once it has come to its end."""
    mount("proc", "/proc", "hidepid=2")
    os.chdir(HOME)
    give_up_rights(limits["user"])
    limit(limits)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    code = compile(program, "<program>", "exec", dont_inherit=True)
    exec(code, {"__name__": "__main__"})  # noqa: S102  what a jail is for
    os.write(limits["report"], nonce)


def main() -> int:
    """Run the program of standard input; return its exit status, `REFUSED` where there can be no jail."""
    limits = json.loads(sys.stdin.readline())
    program = sys.stdin.read()
    nonce = limits.pop("nonce").encode()
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        separate()
        close_files(max(1, limits["file_bytes"] >> 20))
    except OSError as error:
        os.write(2, str(error).encode())
        return REFUSED
    child = os.fork()
    if child == 0:
        status = 1
        try:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            run_program(program, limits, nonce)
            status = 0
        finally:
            os._exit(status)
    os.close(limits["report"])
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
