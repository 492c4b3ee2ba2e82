// What a kernel complains about, in a form that can be compared between two machines.

/** Kinds of line that a healthy kernel on a healthy machine does not print. */
const COMPLAINTS = [
  /warning|\bwarn\b/i,
  /\boops\b|\bbug\b|panic|call trace|\brip:|stack ?trace|cut here|\btaint/i,
  /unstable|lost|spurious|\bstall|lockup|hung|time[sd]? ?out|too (long|slow)|skew|backwards/i,
  /fail|error|unable|cannot|can't|could not|invalid|\bbad\b|broken|mismatch|unsupported|not supported|unknown|unexpected/i,
  /segfault|general protection|trap |traps:|invalid opcode|double fault|page fault|unhandled|unchecked|\bmce\b|hardware error/i,
  /firmware bug|work ?around|ignoring|disabl|conflict|overlap|nobody cared|missing|corrupt/i,
];

/** Lines that only look like complaints, and why they are right on our machine. */
const EXPECTED = [
  // The name of the machine and its firmware.
  /^DMI: /,
  // What Linux does on every PC whose firmware is of 2023 or later; QEMU's calls itself older.
  /^PCI: Ignoring E820 reservations for host bridge windows/,
  // What QEMU's guests say without the reason: its FADT is of a revision that cannot tell of legacy devices.
  /^PnPBIOS: Disabled by ACPI PNP$/,
];

/** Numbers, addresses and times differ between two runs of one machine. */
export function normalise(line) {
  return message(line)
    .replace(/0x[0-9a-f]+|\b[0-9a-f]{8,}\b/gi, 'N')
    .replace(/\d+(\.\d+)?/g, 'N')
    .replace(/\s+/g, ' ')
    .trim();
}

/** A line without its time stamp. */
function message(line) {
  return line.replace(/^<\d+>/, '').replace(/^\[\s*\d+\.\d+\]\s*(\[\s*T\d+\]\s*)?/, '');
}

export function kernelLines(text) {
  return text
    .split(/\r?\n/)
    .map((line) => line.replace(/^.*?(?=\[\s*\d+\.\d{6}\])/, ''))
    .filter((line) => /^\[\s*\d+\.\d{6}\]/.test(line));
}

export function isComplaint(line) {
  return COMPLAINTS.some((pattern) => pattern.test(line)) && !EXPECTED.some((pattern) => pattern.test(message(line)));
}

/** Lines of `ours` whose like is not in `theirs`; `all` includes what is no complaint. */
export function onlyIn(ours, theirs, all = false) {
  const known = new Set(theirs.map(normalise));
  return ours.filter((line) => (all || isComplaint(line)) && !known.has(normalise(line)));
}
