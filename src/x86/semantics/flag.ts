/** Single flags. Intel SDM Vol. 2, "CLC", "STC", "CMC", "CLD", "STD", "CLI", "STI". */
import { type Definition, type Definitions, define, defineEnd, FLAG, type Lift } from '../lift.js';
import * as S from '../state.js';

const RFLAGS_IF = 0x200;
const RFLAGS_DF = 0x400;

/** CF as a function of the status flags. */
function carry(change: 'clear' | 'set' | 'complement'): Definition {
  return define((b) => {
    const flags = b.flagsWord();
    if (change === 'clear') b.setFlags(b.and(flags, b.i32(~FLAG.CF)));
    else b.setFlags(change === 'set' ? b.or(flags, b.i32(FLAG.CF)) : b.xor(flags, b.i32(FLAG.CF)));
  });
}

function setSystemFlag(b: Lift, mask: number, isSet: boolean): void {
  const flags = b.state(S.RFLAGS, 4);
  b.setState(S.RFLAGS, 4, isSet ? b.or(flags, b.i32(mask)) : b.and(flags, b.i32(~mask)));
}

/**
 * Interrupts that become pending are looked for where blocks end: nothing to do here. Where CPL exceeds IOPL the routine raises
 * #GP(0) or, under CR4.VME and CR4.PVI, clears VIF.
 */
const cli = define((b) => {
  const iopl = b.and(b.shru(b.state(S.RFLAGS, 4), b.i32(12)), b.i32(3));
  const isDenied = b.now(b.gtu(b.state(S.CPL, 4), iopl));
  b.ifThen(isDenied, () => b.routine('cli'));
  const kept = b.or(b.i32(~RFLAGS_IF), b.shl(isDenied, b.i32(9)));
  b.setState(S.RFLAGS, 4, b.and(b.now(b.state(S.RFLAGS, 4)), kept));
});

/** Interrupts stay off for one more instruction if they were off: the routine sees to it. */
const sti = defineEnd((b) => b.routineEnds('sti'));

export const definitions: Definitions = {
  clc: carry('clear'),
  stc: carry('set'),
  cmc: carry('complement'),
  cld: define((b) => setSystemFlag(b, RFLAGS_DF, false)),
  std: define((b) => setSystemFlag(b, RFLAGS_DF, true)),
  cli,
  sti,
};
