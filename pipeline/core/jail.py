"""Becomes a jail for one untrusted Python program, runs it there, and ends with it.

Run as ``python -I -S -B jail.py`` with the standard library only. The first line of standard input is a JSON object
(`pipeline.core.sandbox.Limits`, and where to report), the rest is the program. Three processes: this one outside, an
init inside, and the program. The program sees no network and no other process; of files it sees this machine's system
libraries and Python, read-only, and an empty ``/home``. It has no rights, not even root's. Linux ends everything inside
when the init ends (pid_namespaces(7)), and the init when this process does (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import types

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MNT_DETACH = 2
MS_NOSUID, MS_BIND, MS_REC, MS_PRIVATE = 2, 4096, 16384, 0x40000
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x8000, 1
SYS_CAPSET, SYS_MOUNT_SETATTR = 126, 442
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
CAPABILITY_VERSION = 0x20080522
CAPABILITIES = 64

HOME = "/home"
WRITABLE = (HOME, "/dev/shm", "/tmp")  # noqa: S108  of the new root
SPACE = "/space"
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
DEVICES = ("null", "zero", "random", "urandom")
INODES = 4096

REFUSED = 77
"""Exit status, with the reason on standard error, where the machine allows no jail."""


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


def close_queues() -> None:
    """Leave no memory to System V segments and message queues: no limit of a process counts it.

    Only root may say so before Linux 6.9; elsewhere what is left is the machine's own limit.
    """
    for name in ("shmmni", "msgmni"):
        with contextlib.suppress(PermissionError), open(f"/proc/sys/kernel/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("0")


def empty(target: str, options: str) -> None:
    """Mount an empty file system in memory."""
    found = LIBC.mount(b"tmpfs", target.encode(), b"tmpfs", MS_NOSUID, f"nr_inodes={INODES},{options}".encode())
    checked(found, f"mount {target}")


def bind(source: str, target: str) -> None:
    """Show a folder or file at another place."""
    if os.path.isdir(source):  # noqa: PTH112
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    checked(LIBC.mount(source.encode(), target.encode(), b"none", MS_BIND | MS_REC, None), f"mount {target}")


def build_root(megabytes: int) -> None:
    """Make the root folder that the program will see, and move there."""
    checked(LIBC.mount(b"none", b"/", b"none", MS_REC | MS_PRIVATE, None), "mount /")
    python = os.path.realpath(sys.base_prefix)
    root = next(place for place in ("/tmp", "/mnt", "/run") if not python.startswith(f"{place}/"))  # noqa: S108
    empty(root, "size=1m,mode=755")
    for name in SYSTEM:
        if os.path.islink(f"/{name}"):  # noqa: PTH114
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")  # noqa: PTH115, PTH211
        elif os.path.isdir(f"/{name}"):  # noqa: PTH112
            bind(f"/{name}", f"{root}/{name}")
    if not python.startswith("/usr"):
        bind(python, root + python)
    for folder in (SPACE, *WRITABLE):
        os.makedirs(root + folder)  # noqa: PTH103
    for name in DEVICES:
        bind(f"/dev/{name}", f"{root}/dev/{name}")
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    changed = LIBC.syscall(
        SYS_MOUNT_SETATTR, AT_FDCWD, root.encode(), AT_RECURSIVE, attributes, ctypes.sizeof(attributes)
    )
    checked(changed, "mount_setattr")
    space = root + SPACE
    empty(space, f"size={megabytes}m,mode=755")
    for number, folder in enumerate(WRITABLE):  # one file system, so that its size bounds all of them together
        os.mkdir(f"{space}/{number}")  # noqa: PTH102
        os.chmod(f"{space}/{number}", 0o1777)  # noqa: PTH101, S103  as /tmp is
        checked(LIBC.mount(f"{space}/{number}".encode(), (root + folder).encode(), b"none", MS_BIND, None), "mount")
    checked(LIBC.umount2(space.encode(), MNT_DETACH), f"umount {space}")
    os.chroot(root)
    os.chdir(HOME)


def limit(limits: dict[str, int]) -> None:
    """Set what this process and each that it starts may take."""
    for name, value in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(name, (value, value))


def give_up_rights(user: int) -> None:
    """Become a user that owns nothing, where this is root of the machine, and lose every capability for good."""
    for capability in range(CAPABILITIES):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that this kernel does not have
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    checked(LIBC.syscall(SYS_CAPSET, header, none), "capset")
    checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def run_program(program: str, limits: dict[str, int], nonce: bytes) -> None:
    """Run ``program`` in this process, and write ``nonce`` to the descriptor ``report`` once it has come to its end."""
    give_up_rights(limits["user"])
    limit(limits)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    module = types.ModuleType("__main__")  # the program's own: it may look for its classes and tests there
    sys.modules["__main__"] = module
    exec(compile(program, "<program>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102  what a jail is for
    os.write(limits["report"], nonce)


def wait_for(child: int) -> int:
    """Return how a child ended, as an exit status of this process, reaping whatever else ends meanwhile."""
    while True:
        found, ended = os.wait()
        if found == child:
            return os.waitstatus_to_exitcode(ended) & 0xFF


def inside(program: str, limits: dict[str, int], nonce: bytes) -> int:
    """Be the init: start the program, and end with it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run_program(program, limits, nonce)
            status = 0
        finally:
            os._exit(status)
    os.close(limits["report"])
    return wait_for(child)


def main() -> int:
    """Run the program of standard input; return its exit status, `REFUSED` where there can be no jail."""
    limits = json.loads(sys.stdin.readline())
    program = sys.stdin.read()
    nonce = limits.pop("nonce").encode()
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        separate()
        close_queues()
        build_root(max(1, limits["file_bytes"] >> 20))
    except OSError as error:
        os.write(2, str(error).encode())
        return REFUSED
    init = os.fork()
    if init == 0:
        os._exit(inside(program, limits, nonce))
    os.close(limits["report"])
    return wait_for(init)


if __name__ == "__main__":
    sys.exit(main())
