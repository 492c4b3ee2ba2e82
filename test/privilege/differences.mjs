// Where QEMU 7.2 does something else than the manual says: by name, with what the manual says instead. The manual wins.
const isOf = (c, ...families) => families.some((family) => c.family.includes(family));
const has = (text, ...parts) => parts.every((part) => text.includes(part));

/** name, why, and whether a case and what QEMU did of it are that difference. */
export const DIFFERENCES = [
  {
    name: 'accessed bit of code segments',
    why: 'a far transfer sets the accessed bit of the code segment it loads; QEMU leaves it',
    section: 'SDM Vol. 3A, "Code- and Data-Segment Descriptor Types"',
    applies: (c, { observed }) => isOf(c, 'to a segment') && has(observed, 'done', 'probe0'),
  },
  {
    name: 'stack segment of a return not present',
    why: '#SS tells that the stack of an outer ring is not present; QEMU raises #NP',
    section: 'SDM Vol. 2B, "RET—Return From Procedure", Operation',
    applies: (c, { expected, observed }) => isOf(c, 'RET') && expected === '#SS(68)' && observed === '#NP(68)',
  },
  {
    name: 'stack segment of an inner ring not present',
    why: '#SS tells that the stack of an inner ring is not present; QEMU raises #TS',
    section: 'SDM Vol. 2A, "INT n/INTO/INT3/INT1—Call to Interrupt Procedure", Operation',
    applies: (c, { expected, observed }) =>
      has(c.name, 'stack not present') && expected === '#SS(70)' && observed === '#TS(70)',
  },
  {
    name: 'conforming code through a call gate',
    why: 'conforming code runs at the CPL it is called from, on the same stack; QEMU switches to the ring of its DPL',
    section: 'SDM Vol. 2A, "CALL—Call Procedure", Operation',
    applies: (c, { observed }) =>
      isOf(c, 'through a call gate') && has(c.name, 'type e present') && observed.startsWith('done'),
  },
  {
    name: 'JMP through a call gate to code that is not present',
    why: 'privilege was fine, so #NP; QEMU raises #GP',
    section: 'SDM Vol. 2A, "JMP—Jump", Operation',
    applies: (c, { expected, observed }) => isOf(c, 'JMP through') && expected === '#NP(68)' && observed === '#GP(68)',
  },
  {
    name: 'limit of the code segment at a transfer',
    why: 'EIP beyond the limit is #GP(0) of the transfer itself; QEMU does not check, or faults at the target',
    section: 'SDM Vol. 2A, "CALL—Call Procedure", "JMP—Jump", Operation',
    applies: (c) => has(c.name, 'EIP beyond the limit'),
  },
  {
    name: 'INT1',
    why: 'opcode F1 is INT1, which raises #DB; this QEMU raises #UD',
    section: 'SDM Vol. 2A, "INT n/INTO/INT3/INT1—Call to Interrupt Procedure"',
    applies: (c, { observed }) => has(c.name, 'INT1') && observed.startsWith('#UD'),
  },
  {
    name: 'last byte of a stack pointer in the task state',
    why: 'ESP0 and the sixteen bits of SS0 must lie within the limit; QEMU wants the reserved bits above SS0 too',
    section: 'SDM Vol. 2A, "INT n/INTO/INT3/INT1—Call to Interrupt Procedure", Operation',
    applies: (c) => has(c.name, 'task state with limit 9'),
  },
];
