// The corpus of commands: its file, the script that runs it inside a root file system, and what that script prints.
import { readFileSync } from 'node:fs';

/** [{name, script}] of commands.txt. */
export function readCommands(file = new URL('commands.txt', import.meta.url)) {
  const commands = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const name = /^== (\S+)$/.exec(line)?.[1];
    if (name !== undefined) commands.push({ name, script: '' });
    else if (commands.length > 0) commands.at(-1).script += `${line}\n`;
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
  GLIBC_TUNABLES: `glibc.cpu.hwcaps=${MASKED.split(',')
    .map((name) => `-${name}`)
    .join(',')}`,
};

/** Runs every command of /corpus/list; output and status of each go to standard output between marks. */
const RUN = `#!/bin/bash
while read -r name; do
  rm -rf /tmp/work; mkdir -p /tmp/work; cd /tmp/work
  echo "@@start $name"
  timeout -k 5 "$1" bash "/${CORPUS}/$name" < /dev/null > /tmp/output 2>&1
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
ip link set lo up 2>/dev/null
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
[ -z "$out" ] && exec "$real" "$@"
key=/${CORPUS}/compiled/$(cat <(echo "$0 $@") *.c *.cc *.s 2>/dev/null | md5sum | cut -c1-32)
[ -f "$key" ] && cp -p "$key" "$out" && exit 0
"$real" "$@" || exit
mkdir -p /${CORPUS}/compiled && cp -p "$out" "$key"
`;

/** Files by path for a run of `commands`, each at most `seconds`. */
export function corpusFiles(commands, seconds, cachesCompiler) {
  return {
    ...(cachesCompiler ? { [`${CORPUS}/bin/gcc`]: COMPILER_CACHE, [`${CORPUS}/bin/g++`]: COMPILER_CACHE } : {}),
    [`${CORPUS}/list`]: commands.map(({ name }) => `${name}\n`).join(''),
    [`${CORPUS}/run`]: RUN,
    init: INIT(seconds),
    ...Object.fromEntries(commands.map(({ name, script }) => [`${CORPUS}/${name}`, script])),
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
