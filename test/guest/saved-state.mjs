// What the tests and the judge of saved states share: a command in a new process, and a guest of it that is let go on.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { GuestConsole } from './console.mjs';

const DIST = new URL('../../dist/', import.meta.url);
/** What no healthy kernel says on a healthy machine. */
const ALARM =
  /WARNING|BUG:|Oops|Call Trace|Kernel panic|unstable|lost interrupt|segfault|general protection|nobody cared|stall/;

/** Lines of a log may be a little out of order; and a kernel that is used says something now and then, on a busy host too. */
const OUT_OF_ORDER_S = 0.01;
const LONGEST_SILENCE_S = 120;

/** The command in a process of its own, with its console. */
export function startCommand(args, dist = DIST) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('cli/main.js', dist)), ...args]);
  const terminal = new GuestConsole((text) => child.stdin.write(text));
  let errors = '';
  child.stdin.on('error', () => {});
  child.stdout.on('data', (bytes) => terminal.receive(bytes));
  child.stderr.on('data', (bytes) => {
    errors += bytes;
  });
  const ended = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      terminal.end(`the command ended with ${code ?? signal} ${errors}`);
      resolve({ code: code ?? signal, errors });
    });
  });
  return { child, terminal, ended };
}

/**
 * Lets a loaded guest go on to its shell, which answers and powers off. `before`: what its console showed until it was
 * saved. `bootMs`: undefined where it is at its shell already.
 */
export async function goOn({ child, terminal, ended }, before, { bootMs, commandMs, checks = [] }) {
  const problems = [];
  try {
    if (bootMs !== undefined) await terminal.waitForShell(bootMs);
    const questions = [
      ['echo $((6 * 7)) works', /^42 works\n$/],
      ['printf abc | sha256sum', /^ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad {2}-\n$/],
      ['cat /sys/devices/system/clocksource/clocksource0/current_clocksource', /^tsc\n$/],
      // On a busy host the first use of a program takes its time.
      ['a=$(cut -d. -f1 /proc/uptime); sleep 1; b=$(cut -d. -f1 /proc/uptime); echo $((b - a))', /^([1-9]|1\d)\n$/],
      ...checks,
    ];
    for (const [command, expected] of questions) {
      const { output } = await terminal.run(command, commandMs);
      if (!expected.test(output)) problems.push(`${command} printed ${JSON.stringify(output)}`);
    }
    const { output: log } = await terminal.run('dmesg', commandMs);
    const alarm = log.split('\n').find((line) => ALARM.test(line));
    if (alarm !== undefined) problems.push(`the kernel says ${JSON.stringify(alarm)}`);
    problems.push(...gaps(log));
    terminal.type('poweroff -f\n');
    const { code, errors } = await ended;
    if (/defect|error/i.test(errors)) problems.push(errors);
    return { problems, exitCode: code };
  } catch (error) {
    problems.push(`${error.message}; before it was saved the console ended in ${JSON.stringify(before.slice(-200))}`);
    return { problems, exitCode: child.exitCode };
  } finally {
    child.kill();
  }
}

/** Times in a kernel's log that go back, or jump as if time had not stood still with the guest. */
function gaps(log) {
  // A line that the kernel prints meanwhile may stand before the log.
  const whole = log.slice(Math.max(0, log.indexOf('[    0.000000] Linux version')));
  const times = [...whole.matchAll(/^\[ *(\d+\.\d+)\]/gm)].map(([, text]) => Number(text));
  const problems = [];
  for (let n = 1; n < times.length; n++) {
    if (times[n] < times[n - 1] - OUT_OF_ORDER_S) problems.push(`time goes back from ${times[n - 1]} to ${times[n]}`);
    if (times[n] - times[n - 1] > LONGEST_SILENCE_S) problems.push(`time jumps from ${times[n - 1]} to ${times[n]}`);
  }
  return problems;
}
