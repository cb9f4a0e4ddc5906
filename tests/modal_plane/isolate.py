"""Becomes a container: its own mounts, its own processes, and nothing left of it when it or its parent ends.

Run as ``python -I -S isolate.py SPEC.json PARENT_PID`` with the standard library only. SPEC names the folder that
becomes ``/``, the folders bound into it, the variables, the working directory and the command. Three processes: this
one outside, an init inside that passes signals on and reaps, and the command. Linux ends everything inside when the
init ends (pid_namespaces(7)), and the init when this process does (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 0x40000
PASSED_ON = {signal.SIGTERM, signal.SIGINT}


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int) -> None:
    checked(LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, None), f"mount {source} on {target}")


def bind(source: str, target: str, read_only: bool) -> None:
    mount(source, target, "none", MS_BIND | MS_REC)
    if read_only:
        mount(source, target, "none", MS_BIND | MS_REMOUNT | MS_RDONLY)


def die_with_parent() -> None:
    checked(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")


def separate() -> None:
    """Leave the mount and process namespaces of the machine, as root of a user namespace where not root."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWPID
    checked(LIBC.unshare(flags | (CLONE_NEWUSER if user else 0)), "unshare")
    if user:
        for path, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{path}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(line)


def enter(spec: dict[str, object]) -> None:
    """Make the spec's root folder the root of this process, with its binds."""
    root = str(spec["root"])
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    for source, target, read_only in spec["binds"]:  # type: ignore[attr-defined]
        bind(source, root + target, read_only)
    mount("proc", root + "/proc", "proc", 0)
    os.chroot(root)
    os.chdir(str(spec["cwd"]))


def supervise(child: int) -> int:
    """Pass signals on and reap until ``child`` ends; return its exit status, 128 + the signal when killed."""
    while True:
        number = signal.sigwait(PASSED_ON | {signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def init(spec: dict[str, object]) -> int:
    enter(spec)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        argv = [str(part) for part in spec["argv"]]  # type: ignore[attr-defined]
        os.execve(argv[0], argv, dict(spec["env"]))  # type: ignore[call-overload]
    return supervise(child)


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        spec = json.load(file)
    die_with_parent()
    if os.getppid() != int(sys.argv[2]):
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON | {signal.SIGCHLD})
    separate()
    child = os.fork()
    if child == 0:
        die_with_parent()
        try:
            os._exit(init(spec))
        except BaseException as error:  # noqa: BLE001
            sys.stderr.write(f"container did not start: {error!r}\n")
            sys.stderr.flush()
            os._exit(125)
    return supervise(child)


if __name__ == "__main__":
    os._exit(main())
