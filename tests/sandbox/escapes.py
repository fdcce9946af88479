"""What jailed code tries to get out with: each attempt prints ESCAPED when it got what it must not have.

`{secret}` is a file outside with a canary, `{outside}` its folder, `{tcp}` a port somebody listens on, `{udp}` likewise,
`{unix}` and `{abstract}` sockets, `{pid}` a process outside, `{fd}` a handle that the caller has open.
"""

from __future__ import annotations

PRELUDE = """
import ctypes, errno, os, socket, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
ARM = os.uname().machine == "aarch64"
def escaped(why=""): print("ESCAPED", why, flush=True)
def call(x86, arm, *args):
    return libc.syscall(arm if ARM else x86, *args)
def must_fail(x86, arm, *args):
    if call(x86, arm, *args) >= 0: escaped()
"""

READS = {
    "read a secret": "print(open('{secret}').read())",
    "read by cat": "subprocess.run(['cat', '{secret}'])",
    "read by a link": "os.symlink('{secret}', 'link'); print(open('link').read())",
    "read by a hard link": "os.link('{secret}', 'hard'); print(open('hard').read())",
    "read by dot dot": "print(open(os.path.relpath('{secret}')).read())",
    "read through the root of another process": "print(open('/proc/{pid}/root{secret}').read())",
    "read through its folder": "print(open('/proc/{pid}/cwd/secret').read())",
    "read its environment": "print(open('/proc/{pid}/environ').read()); escaped()",
    "read everybody's environment": """
for one in os.listdir('/proc'):
    if one.isdigit():
        try: data = open(f'/proc/{{one}}/environ').read()
        except OSError: continue
        print(data)
""",
    "read its memory": "open('/proc/{pid}/mem', 'rb'); escaped()",
    "read the passwords": "print(open('/etc/shadow').read()); escaped()",
    "read the users": "escaped() if 'root:' in open('/etc/passwd').read() else None",
    "list a folder outside": "os.listdir('{outside}'); escaped()",
    "inherited handle": "print(os.read({fd}, 100)); print(os.pread({fd}, 100, 0))",
    "every inherited handle": """
for one in range(3, 256):
    try: print(os.pread(one, 1000, 0))
    except OSError: pass
""",
    "secret of the environment": "print(os.environ); print(open('/proc/1/environ').read())",
    "open by handle": "must_fail(304, 265, -100, b'0' * 64, 0)",
}
WRITES = {
    "write outside": "open('{outside}/new', 'w').write('x')",
    "write by dot dot": "open(os.path.relpath('{outside}/new'), 'w').write('x')",
    "write by a link": "os.symlink('{outside}', 'way'); open('way/new', 'w').write('x')",
    "append to the secret": "open('{secret}', 'a').write('x')",
    "cut the secret": "os.truncate('{secret}', 0)",
    "remove the secret": "os.unlink('{secret}')",
    "rename the folder": "os.rename('{outside}', '{outside}-gone')",
    "rename the secret into here": "os.rename('{secret}', 'mine'); print(open('mine').read())",
    "change its mode": "os.chmod('{secret}', 0o777)",
    "change its times": "os.utime('{secret}', (1, 1))",
    "write to the system": "open('/usr/foundry-was-here', 'w'); escaped()",
    "write to the interpreter": "open(os.path.join(sys.base_prefix, 'foundry-was-here'), 'w'); escaped()",
    "kernel setting": "open('/proc/sys/kernel/hostname', 'w').write('x'); escaped()",
    "make a setuid program": "open('su', 'w'); os.chmod('su', 0o4755); escaped()",
    "create a setuid program": """
os.open('su2', os.O_CREAT | os.O_WRONLY, 0o4755)
if os.stat('su2').st_mode & 0o4000: escaped()
""",
    "make a device": "os.mknod('disk', 0o060600, os.makedev(254, 0)); escaped()",
}
NETWORK = {
    "tcp": "socket.create_connection(('127.0.0.1', {tcp}), 2); escaped()",
    "mptcp": "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); s.connect(('127.0.0.1', {tcp})); escaped()",
    "udp": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'ESCAPED', ('127.0.0.1', {udp}))",
    "tcp 6": "s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM); s.connect(('::ffff:127.0.0.1', {tcp})); escaped()",
    "unix socket": "s = socket.socket(socket.AF_UNIX); s.connect('{unix}'); escaped()",
    "abstract socket": "s = socket.socket(socket.AF_UNIX); s.connect('\\0{abstract}'); escaped()",
    "raw socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); escaped()",
    "packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW); escaped()",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); escaped()",
    "vsock": "socket.socket(40, socket.SOCK_STREAM); escaped()",
    "pair and connect": "a, b = socket.socketpair(); a.connect('{unix}'); escaped()",
    "listen": "s = socket.socket(); s.bind(('0.0.0.0', 0)); escaped()",
}
PROCESSES = {
    "signal a process outside": "os.kill({pid}, 9)",
    "signal everybody": "os.kill(-1, 15) if os.getpid() != 1 else None; time.sleep(0.2)",
    "ptrace": "must_fail(101, 117, 16, {pid}, 0, 0)",
    "ptrace me": "must_fail(101, 117, 0, 0, 0, 0)",
    "read memory of a process": "must_fail(310, 270, {pid}, 0, 0, 0, 0, 0)",
    "take a handle of a process": "fd = libc.syscall(434, {pid}, 0); must_fail(438, 438, fd, 0, 0)",
    "new user namespace": "must_fail(272, 97, 0x10000000)",
    "new mount namespace": "must_fail(272, 97, 0x00020000)",
    "clone into a namespace": """
pid = call(56, 220, 0x10000000 | 17, 0, 0, 0, 0)
if pid == 0: os._exit(0)
if pid > 0: escaped()
""",
    "clone3": "buffer = (ctypes.c_uint64 * 11)(0x10000000); must_fail(435, 435, buffer, 88)",
    "enter a namespace": "fd = os.open('/proc/self/ns/user', os.O_RDONLY); must_fail(308, 268, fd, 0)",
    "mount": "must_fail(165, 40, b'none', b'/tmp', b'tmpfs', 0, None)",
    "unmount": "must_fail(166, 39, b'/proc', 2)",
    "new mount call": "must_fail(430, 430, b'tmpfs', 0)",
    "chroot": "must_fail(161, 51, b'/')",
    "io_uring": "must_fail(425, 425, 8, (ctypes.c_char * 120)())",
    "keys of the kernel": "must_fail(250, 219, 0, -3, 0)",
    "bpf": "must_fail(321, 280, 0, (ctypes.c_char * 128)(), 128)",
    "perf": "must_fail(298, 241, (ctypes.c_char * 128)(), 0, -1, -1, 0)",
    "userfaultfd": "must_fail(323, 282, 1)",
    "shared memory of the host": "must_fail(29, 194, 0x4242, 4096, 0o1666)",
    "type into the terminal": """
must_fail(16, 29, 0, 0x5412, b'x')
must_fail(16, 29, 0, ctypes.c_ulong(0xFFFFFFFF00005412), b'x')
""",
    "become root": "os.setuid(0) if os.getuid() else None; escaped() if os.getuid() == 0 and open('/proc/self/status') else None",
    "another processor's calls": "must_fail(0x40000000 + 101, 117, 0, 0, 0, 0)",
}
BOMBS = {
    "fork bomb": """
made = 0
for _ in range(400):
    try: pid = os.fork()
    except OSError: break
    if not pid: time.sleep(30); os._exit(0)
    made += 1
escaped(made) if made >= 399 else None
""",
    "thread bomb": """
made = 0
try:
    for _ in range(800): threading.Thread(target=time.sleep, args=(30,), daemon=True).start(); made += 1
    escaped(made)
except RuntimeError: pass
os._exit(0)
""",
    "two gigabytes": "data = bytearray(2 << 30); data[::4096] = b'x' * len(data[::4096]); escaped()",
    "two gigabytes that are shared": """
import mmap
data = mmap.mmap(-1, 2 << 30)
for at in range(0, 2 << 30, 4096): data[at] = 1
escaped()
""",
    "eight times 200 megabytes": """
for _ in range(8):
    if not os.fork(): data = b'x' * (200 << 20); time.sleep(8); os._exit(0)
time.sleep(8); escaped()
""",
    "memory without a process": """
handles = [os.memfd_create('x') for _ in range(20)]
for one in handles: os.write(one, b'x' * (60 << 20))
escaped()
""",
    "shared memory folder": "\nfor at in range(40): open(f'/dev/shm/{{at}}', 'wb').write(b'x' * (20 << 20))\nescaped()",
    "one big file": "file = open('big', 'wb')\nfor _ in range(500): file.write(b'x' * (1 << 20))\nescaped()",
    "twenty files": """
for at in range(40):
    with open(f'f{{at}}', 'wb') as file: file.write(b'x' * (15 << 20))
    time.sleep(0.03)
escaped()
""",
    "scratch filled": """
for at in range(40):
    with open(os.environ['TMPDIR'] + '/' + f'f{{at}}', 'wb') as file: file.write(b'x' * (15 << 20))
    time.sleep(0.03)
escaped()
""",
    "endless loop": "\nwhile True: pass",
    "endless sleep": "time.sleep(600); escaped()",
    "endless output": "\nwhile True: os.write(1, b'y' * 65536)",
    "a pattern that never ends": "import re; re.match('(a+)+$', 'a' * 40 + 'b'); escaped()",
    "too many open files": "handles = [open('/dev/null') for _ in range(2000)]; escaped()",
    "signals ignored": """
import signal
for one in range(1, 32):
    try: signal.signal(one, signal.SIG_IGN)
    except (OSError, ValueError): pass
time.sleep(600); escaped()
""",
    "stopped": "os.kill(os.getpid(), 19); escaped()",
}
ALL = {**READS, **WRITES, **NETWORK, **PROCESSES, **BOMBS}
