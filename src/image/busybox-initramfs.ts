/**
 * The default guest's userland: one static busybox, a link for each of its applets, and /init. Nothing of it needs a
 * program of the host, so a page can build the same archive.
 */
import { BadImageError } from '../base/errors.js';
import { type CpioEntry, writeCpio } from './cpio.js';

/** Kernel command line parameters that /init reads; the kernel ignores what it does not know with a dot in it. */
export const INIT_PARAMETERS = {
  ROWS: 'trapeze.rows',
  COLUMNS: 'trapeze.cols',
  TERM: 'trapeze.term',
} as const;

/**
 * PID 1. The control line (second UART) carries "ROWS COLUMNS" lines when the user resizes the terminal; `stty` on the
 * console then signals the foreground program. A shell on the console gets job control from setsid and cttyhack.
 */
const INIT = `#!/bin/sh
export PATH=/bin HOME=/root TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
hostname trapeze
ip link set lo up 2>/dev/null

rows= cols=
read -r cmdline < /proc/cmdline
for word in $cmdline; do
  case $word in
    ${INIT_PARAMETERS.ROWS}=*) rows=\${word#*=} ;;
    ${INIT_PARAMETERS.COLUMNS}=*) cols=\${word#*=} ;;
    ${INIT_PARAMETERS.TERM}=*) TERM=\${word#*=} ;;
  esac
done
[ -n "$rows" ] && [ -n "$cols" ] && stty rows "$rows" cols "$cols" 2>/dev/null

if [ -c /dev/ttyS1 ]; then
  while read -r rows cols; do
    stty -F /dev/console rows "$rows" cols "$cols"
  done < /dev/ttyS1 > /dev/null 2>&1 &
fi

read -r release < /proc/sys/kernel/osrelease
printf '\\nLinux %s, busybox userland. "exit" or "poweroff" ends the guest.\\n\\n' "$release"
cd /root
# What poweroff, halt and reboot send to PID 1. A shell runs traps only while it waits for a child in the background; but
# such a child, and all it starts, ignores SIGINT. So the console's shell is a daemon, and another child is waited for.
trap 'poweroff -f' USR2
trap 'halt -f' USR1
trap 'reboot -f' TERM
start-stop-daemon -S -b -x /bin/setsid -- sh -c 'setsid cttyhack sh -l < /dev/console > /dev/console 2>&1; poweroff -f'
while :; do
  sleep 2147483647 &
  wait $!
done
`;

const PROFILE = `export PS1='\\h:\\w\\$ '
alias ll='ls -l'
`;

const FILES: readonly CpioEntry[] = [
  {
    kind: 'file',
    path: 'etc/passwd',
    data: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  },
  { kind: 'file', path: 'etc/group', data: 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' },
  { kind: 'file', path: 'etc/hosts', data: '127.0.0.1 localhost trapeze\n::1 localhost\n' },
  { kind: 'file', path: 'etc/hostname', data: 'trapeze\n' },
  { kind: 'file', path: 'etc/profile', data: PROFILE },
  { kind: 'file', path: 'init', data: INIT, mode: 0o755 },
];

const DIRECTORIES = ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'sys', 'tmp', 'var', 'usr'];

/** `busybox` is the static program; `extra` adds or overrides files. Paths have no leading slash. `allocate` as in writeCpio. */
export function buildBusyboxInitramfs(
  busybox: Uint8Array,
  extra: readonly CpioEntry[] = [],
  allocate?: (size: number) => Uint8Array,
): Uint8Array {
  const applets = busyboxApplets(busybox);
  const replaced = new Set(extra.map((entry) => entry.path));
  const entries: CpioEntry[] = [
    ...DIRECTORIES.map((path): CpioEntry => ({ kind: 'directory', path, mode: path === 'tmp' ? 0o1777 : 0o755 })),
    // PID 1's standard streams come from here, before /init can mount devtmpfs.
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'character-device', path: 'dev/null', major: 1, minor: 3, mode: 0o666 },
    { kind: 'file', path: 'bin/busybox', data: busybox, mode: 0o755 },
    ...applets.map((applet): CpioEntry => ({ kind: 'symlink', path: `bin/${applet}`, target: 'busybox' })),
    { kind: 'symlink', path: 'sbin', target: 'bin' },
    { kind: 'symlink', path: 'usr/bin', target: '../bin' },
    { kind: 'symlink', path: 'usr/sbin', target: '../bin' },
    ...FILES,
  ];
  return writeCpio([...entries.filter((entry) => !replaced.has(entry.path)), ...extra], allocate);
}

/** "[" and "[[", zero-terminated. */
const FIRST_APPLETS = [0x5b, 0, 0x5b, 0x5b, 0] as const;
const MAX_NAME = 32;
const APPLET_NAME = /^(\[\[?|[a-z0-9][a-z0-9._-]{0,31})$/;

/**
 * busybox holds its applets' names in one sorted run of zero-terminated strings that starts with "[" and "[[". Reading it
 * there works for a busybox the host cannot run.
 */
export function busyboxApplets(busybox: Uint8Array): string[] {
  let best: string[] = [];
  for (let at = busybox.indexOf(FIRST_APPLETS[0]); at >= 0; ) {
    const names = FIRST_APPLETS.every((byte, n) => busybox[at + n] === byte) ? namesFrom(busybox, at) : [];
    if (names.length > best.length) best = names;
    // A run that starts within this one is a part of it.
    at = busybox.indexOf(FIRST_APPLETS[0], at + Math.max(1, names.join(' ').length));
  }
  if (
    !['sh', 'mount', 'stty', 'setsid', 'cttyhack', 'start-stop-daemon', 'poweroff'].every((name) => best.includes(name))
  ) {
    throw new BadImageError('this is not a busybox with a shell; use the busybox-static package');
  }
  return best.filter((name) => name !== 'busybox');
}

/** Zero-terminated names from `at` on. */
function namesFrom(busybox: Uint8Array, at: number): string[] {
  const names: string[] = [];
  for (let from = at; ; ) {
    const end = busybox.indexOf(0, from);
    const name = end < 0 || end - from > MAX_NAME ? '' : String.fromCharCode(...busybox.subarray(from, end));
    if (!APPLET_NAME.test(name)) return names;
    names.push(name);
    from = end + 1;
  }
}
