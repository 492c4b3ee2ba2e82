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
    applies: (c, { expected, observed }) =>
      isOf(c, 'RET') && /^#SS\((68|f0)\)/.test(expected) && observed.startsWith('#NP'),
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
      (isOf(c, 'through a call gate') || isOf(c, 'CALL in IA-32e')) &&
      / type e .*present/.test(c.name) &&
      observed.startsWith('done'),
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
  {
    name: 'LOCK before an instruction that takes none',
    why: 'LOCK is #UD there; QEMU ignores it before system instructions',
    section: 'SDM Vol. 2A, "LOCK—Assert LOCK# Signal Prefix"',
    applies: (c) => c.name.startsWith('LOCK ') && isOf(c, 'privileged'),
  },
  {
    name: 'control registers that are none, outside of ring 0',
    why: '#UD is a fault of decoding, which comes before the check of the ring; QEMU raises #GP(0)',
    section: 'SDM Vol. 3A, "Priority Among Concurrent Events"',
    applies: (c, { expected, observed }) => /CR[1567]/.test(c.name) && expected === '#UD' && observed === '#GP(0)',
  },
  {
    name: 'values of control registers that are not allowed',
    why: 'PG without PE, NW without CD, reserved upper bits, and leaving paging or PAE in 64-bit code are #GP(0), reserved lower bits of CR0 stay clear; QEMU takes them, and may not go on',
    section: 'SDM Vol. 2B, "MOV—Move to/from Control Registers"',
    applies: (c) => /^(CR0: |CR3: |CR8: |DR[67]: |CR4: (PAE off|upper half))/.test(c.name),
  },
  {
    name: 'reserved bits of CR4',
    why: 'reserved bits are #GP(0); QEMU takes some of them, and may not go on',
    section: 'SDM Vol. 2B, "MOV—Move to/from Control Registers"',
    applies: (c) => c.name.startsWith('CR4: reserved'),
  },
  {
    name: 'virtual interrupt flag',
    why: 'CR4.VME and CR4.PVI give CPL 3 a virtual interrupt flag; QEMU has none',
    section: 'SDM Vol. 3A, "Protected-Mode Virtual Interrupts", "Virtual-8086 Mode"',
    applies: (c) => /under (PVI|VME)/.test(c.name),
  },
  {
    name: 'alignment checks',
    why: 'misaligned operands are #AC(0) at CPL 3 where AM and AC are set; QEMU checks none',
    section: 'SDM Vol. 3A, "Interrupt 17—Alignment Check Exception (#AC)"',
    applies: (_, { expected }) => expected === '#AC(0)',
  },
  {
    name: 'page faults of reserved bits',
    why: 'a reserved bit is only looked at where P is set, so the error code has both; QEMU leaves P away',
    section: 'SDM Vol. 3A, "Page-Fault Exceptions"',
    applies: (c, { expected, observed }) =>
      isOf(c, 'pages') &&
      Number.parseInt(expected.slice(4), 16) === (Number.parseInt(observed.slice(4), 16) | 1) &&
      has(expected, '#PF'),
  },
  {
    name: 'limits and types of segments at an access',
    why: 'limit, direction and write protection of a segment are checked at every access; QEMU checks none of them',
    section: 'SDM Vol. 3A, "Limit Checking", "Type Checking"',
    applies: (c, { expected }) =>
      (isOf(c, 'limits', 'types of segments') || / limit,/.test(c.name)) && /^#(GP|SS)/.test(expected),
  },
  {
    name: 'faults while a new task is loaded',
    why: 'selectors of the new task are checked in it, and faults come on its stack; QEMU delivers them half-way, where nothing can tell them',
    section: 'SDM Vol. 3A, "Task Switching", Table "Exception Conditions Checked During a Task Switch"',
    applies: (c, { expected, observed }) =>
      isOf(c, 'task switches') && has(expected, ' tr=') && observed.startsWith('#DE'),
  },
  {
    name: 'from virtual-8086 mode to another ring than 0',
    why: 'the handler must be nonconforming code of ring 0, or #GP of its selector; QEMU goes to ring 1 or 2',
    section: 'SDM Vol. 3A, "Class 1—Hardware Interrupt and Exception Handling in Virtual-8086 Mode"',
    applies: (c) => isOf(c, 'virtual-8086') && /through a gate to type a DPL [12]/.test(c.name),
  },
  {
    name: 'model-specific registers that are none, and reserved bits',
    why: 'unknown registers and reserved bits or types are #GP(0); QEMU takes them',
    section: 'SDM Vol. 2B, "WRMSR—Write to Model Specific Register", "RDMSR—Read From Model Specific Register"',
    applies: (c) => /^(RDMSR of none|WRMSR of |EFER: |PAT: |IA32_APIC_BASE: )/.test(c.name),
  },
  {
    name: 'LTR of a null selector',
    why: 'it is #GP(0); QEMU loads it',
    section: 'SDM Vol. 2A, "LTR—Load Task Register"',
    applies: (c) => c.name.startsWith('LTR of none'),
  },
  {
    name: 'error code of a gate of IA-32e mode',
    why: 'the index is the vector, eight a vector as ever; QEMU counts sixteen',
    section: 'SDM Vol. 3A, "Error Code"',
    applies: (c, { observed }) => isOf(c, 'INT n in IA-32e') && has(observed, '(302)'),
  },
  {
    name: 'code segments with both L and D',
    why: 'L and D together are reserved: #GP; QEMU loads them on returns',
    section: 'SDM Vol. 2A, "IRET/IRETD/IRETQ—Interrupt Return", Operation',
    applies: (c, { observed }) => has(c.name, 'size 6000') && observed.startsWith('done'),
  },
  {
    name: 'null stack segments in IA-32e mode',
    why: 'a null SS is for 64-bit code of the rings 0 to 2, with the RPL of the ring; QEMU takes others',
    section: 'SDM Vol. 2A, "IRET/IRETD/IRETQ—Interrupt Return", Vol. 2B, "MOV—Move", Operation',
    applies: (c, { observed }) => /stack null|MOV SS of null/.test(c.name) && observed.startsWith('done'),
  },
  {
    name: 'canonical addresses',
    why: 'an address of the stack that is not canonical is #SS(0), others are #GP(0) of the instruction; QEMU raises #GP for all, or at the target',
    section: 'SDM Vol. 3A, "Interrupt 12—Stack Fault Exception (#SS)"; Vol. 1, "Canonical Addressing"',
    applies: (c, { expected }) => isOf(c, 'canonical') && /^#(SS|GP)\(0\)/.test(expected),
  },
  {
    name: 'SYSCALL in compatibility mode',
    why: 'it is #UD on an Intel processor; this QEMU carries it out as AMD does',
    section: 'SDM Vol. 2B, "SYSCALL—Fast System Call"',
    applies: (c) => has(c.name, 'SYSCALL in compatibility mode'),
  },
  {
    name: 'LTR of 16-bit task states in IA-32e mode',
    why: 'they do not exist there: #GP; QEMU loads them',
    section: 'SDM Vol. 2A, "LTR—Load Task Register"',
    applies: (c) => /^LTR of type [13]/.test(c.name),
  },
];
