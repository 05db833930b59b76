"""Namespaces: a network with nothing but loopback, and a root file system of its own."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_NO_NEW_PRIVS = 38
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
REAL_ROOT = "F0_IMAGE_REAL_ROOT"


def enter(arguments):
    """Starts this program again in namespaces of its own. Never skips: without them it fails."""
    kinds = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    is_root = os.geteuid() == 0
    if not is_root:
        kinds = ["--user", "--map-root-user", *kinds]
    probe = subprocess.run(["unshare", *kinds, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        sys.exit(
            f"cannot create namespaces: {probe.stderr.strip()}; run this as root, or allow user "
            "namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0, or "
            "kernel.unprivileged_userns_clone=1)"
        )
    os.environ[REAL_ROOT] = "1" if is_root else ""
    os.execvp("unshare", ["unshare", *kinds, sys.executable, *arguments])


def checked(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source, target, flags):
    checked(libc.mount(source, target, None, flags, None), f"mount {target}")


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))


# The devices that every container has (OCI runtime specification, "Default Devices"), as far as a
# program that talks to no terminal may use them. A static binary reads /dev/urandom.
DEVICES = ["null", "zero", "full", "random", "urandom"]


def read_only(root):
    """Makes `root` a read-only mount of itself, with devices."""
    path = str(root).encode()
    (root / "dev").mkdir()
    for name in DEVICES:
        (root / "dev" / name).touch()
    mount(path, path, MS_BIND)
    mount(None, path, MS_REMOUNT | MS_BIND | MS_RDONLY)
    for name in DEVICES:
        mount(f"/dev/{name}".encode(), str(root / "dev" / name).encode(), MS_BIND)


class Process:
    """A program that runs in a root file system, as a user that is not root."""

    def __init__(self, root, user, group, command, environment, log):
        ready, write_ready = os.pipe()
        mapped, write_mapped = os.pipe()
        self.log = log
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.become(root, user, group, log, write_ready, mapped)
                os.execve(command[0], command, environment)
            except BaseException as error:
                os.write(2, f"cannot start {command[0]}: {error}\n".encode())
                os._exit(125)
        os.close(write_ready)
        os.close(mapped)
        if os.read(ready, 1) and not os.environ[REAL_ROOT]:
            for name, text in [
                ("setgroups", "deny"),
                ("gid_map", f"{group} 0 1"),
                ("uid_map", f"{user} 0 1"),
            ]:
                with open(f"/proc/{self.pid}/{name}", "w") as file:
                    file.write(text)
        os.write(write_mapped, b"1")
        os.close(write_mapped)
        os.close(ready)

    @staticmethod
    def become(root, user, group, log, ready, mapped):
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        checked(libc.unshare(CLONE_NEWNS), "unshare")
        mount(None, b"/", MS_REC | MS_PRIVATE)
        os.chdir(root)
        checked(libc.syscall(PIVOT_ROOT, b".", b"."), "pivot_root")
        checked(libc.umount2(b".", MNT_DETACH), "umount")
        os.chdir("/")
        if os.environ[REAL_ROOT]:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
        else:
            # Only one user is mapped, so becoming another takes a name space in which it has that id.
            checked(libc.unshare(CLONE_NEWUSER), "unshare")
        checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        os.write(ready, b"1")
        os.read(mapped, 1)
        for descriptor in range(3, 64):
            try:
                os.close(descriptor)
            except OSError:
                pass

    def poll(self):
        """The exit status, if it has ended."""
        done, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if done else None

    def wait(self):
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)
