// The corpus of commands: its files, the script that runs it inside a root file system, and what that script prints.
//
// commands/KIND.txt: "== NAME" starts a command; what follows is a script for bash, run in an empty directory of its own,
// whose output (standard error too) and status must be the same inside the guest and on the host. Nothing may print what
// depends on time, addresses, process numbers or the kernel's version. What is before the first command is a comment.
//   "== NAME compiles": gcc and g++ run inside the guest too; else the guest finds what they made on the host.
//   A name that starts with "i386-": the script, its shell too, runs in the 32-bit root file system.
//   A command may run another one: `. /corpus/NAME`.
//
// Left out, because host and guest may rightly differ:
//   MOVUPS and its like, aligned to 8 bytes but not to 16, under alignment checks: #AC or not is the processor's choice
//     (Intel SDM Vol. 2B, "MOVUPS"); AMD's raises it, ours does not.
//   The address that CR2 tells for an FXSAVE into a page that it may not write: AMD's tells that of the last byte.
//   INT1 (opcode F1) where the host is itself a guest: its hypervisor repeats the trap without end.
//   16-bit segments made by modify_ldt: the guest's kernel does not offer them (CONFIG_X86_16BIT).
import { readdirSync, readFileSync } from 'node:fs';
import { I386 } from './root-file-system.mjs';

/** [{kind, name, script, compiles}] of the files in commands/. */
export function readCommands(directory = new URL('commands/', import.meta.url)) {
  const commands = [];
  for (const file of readdirSync(directory).sort()) {
    const kind = file.replace(/\.txt$/, '');
    const [, ...texts] = readFileSync(new URL(file, directory), 'utf8').split(/^== /m);
    for (const text of texts) {
      const end = text.indexOf('\n');
      const [name, word] = text.slice(0, end).split(' ');
      if (commands.some((command) => command.name === name)) throw new Error(`two commands are called ${name}`);
      if (word !== undefined && word !== 'compiles') throw new Error(`${name}: what does ${word} mean?`);
      commands.push({ kind, name, script: text.slice(end + 1), compiles: word === 'compiles' });
    }
  }
  return commands;
}

/** Where the files below lie in the root file system. */
export const CORPUS = 'corpus';

/**
 * Features of host processors that the guest's does not have, or that change results in the C library's choice of routine.
 * glibc manual, "Hardware Capability Tunables".
 */
const MASKED =
  'AVX,AVX2,AVX512F,AVX512VL,AVX512BW,AVX512DQ,AVX512CD,AVX512ER,AVX512PF,BMI1,BMI2,FMA,FMA4,LZCNT,MOVBE,ERMS,FSRM,RTM,XSAVE,XSAVEC';

export const ENVIRONMENT = {
  PATH: '/corpus/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C.UTF-8',
  TZ: 'UTC',
  TERM: 'linux',
  PYTHONHASHSEED: '0',
  PERL_HASH_SEED: '0',
  GLIBC_TUNABLES: `glibc.cpu.hwcaps=${MASKED.split(',')
    .map((name) => `-${name}`)
    .join(',')}`,
};

/** Runs every command of /corpus/list; output and status of each go to standard output between marks. */
const RUN = `#!/bin/bash
/bin/busybox ifconfig lo 127.0.0.1 up
/bin/busybox hostname corpus
mkdir -p /dev/pts /${I386}/${CORPUS} && mount -t devpts -o ptmxmode=0666 devpts /dev/pts
mount --bind /${CORPUS} /${I386}/${CORPUS} && mount --bind /tmp /${I386}/tmp && mount --bind /dev /${I386}/dev
mount -t proc proc /${I386}/proc
all=$PATH
while read -r name compiler; do
  rm -rf /tmp/work; mkdir -p /tmp/work; cd /tmp/work
  echo "@@start $name"
  PATH=$all
  [ "$compiler" = real ] && PATH=\${all#/${CORPUS}/bin:}
  case $name in
    i386-*) shell=(chroot /${I386} bash -c 'cd /tmp/work; exec bash "$0"') ;;
    *) shell=(bash) ;;
  esac
  timeout -k 5 "$1" "\${shell[@]}" "/${CORPUS}/$name" < /dev/null > /tmp/output 2>&1
  status=$?
  echo "@@begin $name"; sed -E 's/(line [0-9]+): +[0-9]+ /\\1: PID /' /tmp/output | base64; echo "@@end $name $status"
done < /${CORPUS}/list
echo "@@begin kernel"; dmesg 2>/dev/null | base64; echo "@@end kernel 0"
`;

/** PID 1 of the guest: only what the host's chroot has as well. */
const INIT = (seconds) => `#!/bin/bash
${Object.entries(ENVIRONMENT)
  .map(([name, value]) => `export ${name}=${value}`)
  .join('\n')}
mount -t proc proc /proc
mount -t tmpfs tmpfs /tmp
stty -F /dev/console -onlcr 2>/dev/null
bash /${CORPUS}/run ${seconds}
/bin/busybox poweroff -f
`;

/**
 * In place of gcc and g++ where only what they make is to be judged: the host's side keeps every output under a name made
 * from the arguments and sources, the guest finds it there. What writes no file with -o is compiled as usual.
 */
const COMPILER_CACHE = `#!/bin/bash
real=/usr/bin/\${0##*/}
for ((n = 1; n < $#; n++)); do [ "\${!n}" = -o ] && { n=$((n + 1)); out=\${!n}; break; }; done
[[ -z $out || " $* " = *" - "* ]] && exec "$real" "$@"
key=/${CORPUS}/compiled/$(cat <(echo "$HOSTTYPE $0 $@") *.c *.cc *.s *.h 2>/dev/null | md5sum | cut -c1-32)
[ -f "$key" ] && cp -p "$key" "$out" && exit 0
messages=$("$real" -w "$@" 2>&1) || { status=$?; echo "$messages"; exit $status; }
mkdir -p /${CORPUS}/compiled && cp -p "$out" "$key"
`;

/** Files by path for a run of `commands`, each at most `seconds`; `all` are those that a command may refer to. */
export function corpusFiles(commands, seconds, all = commands) {
  const line = ({ name, compiles }) => `${name}${compiles ? ' real' : ''}\n`;
  return {
    [`${CORPUS}/bin/gcc`]: COMPILER_CACHE,
    [`${CORPUS}/bin/g++`]: COMPILER_CACHE,
    [`${CORPUS}/list`]: commands.map(line).join(''),
    [`${CORPUS}/run`]: RUN,
    init: INIT(seconds),
    ...Object.fromEntries(all.map(({ name, script }) => [`${CORPUS}/${name}`, script])),
  };
}

/** Feeds on what RUN prints; calls `onResult(name, output, status)` for each command. */
export class ResultReader {
  #text = '';
  #onResult;
  /** The command that has started and not ended. */
  current;

  constructor(onResult) {
    this.#onResult = onResult;
  }

  push(text) {
    this.#text += text.replaceAll('\r', '');
    for (;;) {
      const started = /@@start (\S+)\n/.exec(this.#text);
      if (started !== null) this.current = started[1];
      const match = /@@begin (\S+)\n(.*?)@@end \1 (\d+)\n/s.exec(this.#text);
      if (match === null) return;
      this.#text = this.#text.slice(match.index + match[0].length);
      this.current = undefined;
      this.#onResult(match[1], Buffer.from(match[2], 'base64').toString('utf8'), Number(match[3]));
    }
  }
}
