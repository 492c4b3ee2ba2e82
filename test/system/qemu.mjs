// A second judge for system instructions: Debian's QEMU with its software processor, driven through its GDB stub. RAM is
// a shared file; hidden state comes from the descriptor tables, as the processor itself would load it.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, readSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as S from '../../dist/x86/state.js';
import { RAM_SIZE, STATE_SIZE } from './cases.mjs';

const BYTES = 16 * 1024 * 1024;
const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDT', 'TR'];
/** Numbers of the stub's registers: CS SS DS ES FS GS after RIP and EFLAGS. */
const GDB_SEGMENT = [21, 18, 19, 20, 22, 23];
const CONTROL = { cr0: 27, cr2: 28, cr3: 29, cr4: 30, efer: 32 };
const GDB_RIP = 16;
const GDB_EFLAGS = 17;
const SETUP = 0xf000;
const HLT = 0xf4;
const MAX_STEPS = 8;
const TIMEOUT_MS = 3000;

function hexLe(value, bytes) {
  let v = BigInt.asUintN(bytes * 8, BigInt(value));
  let text = '';
  for (let n = 0; n < bytes; n++, v >>= 8n)
    text += Number(v & 255n)
      .toString(16)
      .padStart(2, '0');
  return text;
}

export class Qemu {
  async start() {
    this.stop();
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'trapeze-qemu-'));
    const path = join(folder, 'ram');
    this.file = openSync(path, 'w+');
    ftruncateSync(this.file, BYTES);
    const socket = join(folder, 'gdb');
    this.child = spawn(
      'qemu-system-x86_64',
      [
        '-accel',
        'tcg',
        '-cpu',
        'max,vendor=GenuineIntel,la57=off',
        '-m',
        '16',
        '-display',
        'none',
        '-nodefaults',
        '-S',
        '-no-reboot',
      ].concat(
        ['-object', `memory-backend-file,id=m,size=16M,mem-path=${path},share=on`, '-machine', 'pc,memory-backend=m'],
        ['-chardev', `socket,id=g,path=${socket},server=on,wait=off`, '-gdb', 'chardev:g'],
      ),
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.child.stderr.on('data', (d) => process.env.VERBOSE && process.stderr.write(d));
    for (let n = 0; n < 100 && !existsSync(socket); n++) await new Promise((done) => setTimeout(done, 30));
    this.buffer = '';
    this.alive = true;
    this.hung = false;
    const connection = connect(socket);
    this.socket = connection;
    this.socket.setNoDelay(true);
    this.socket.on('data', (d) => {
      this.buffer += d.toString('latin1');
      this.deliver();
    });
    const end = () => {
      if (this.socket !== connection) return;
      this.alive = false;
      this.waiting?.(undefined);
    };
    this.socket.on('close', end);
    this.socket.on('error', end);
    await new Promise((done) => this.socket.once('connect', done));
    await this.ask('QStartNoAckMode');
    // The stub takes single registers only from those who have read its description.
    await this.ask('qXfer:features:read:target.xml:0,800');
    this.mode = undefined;
  }

  stop() {
    const { socket, child } = this;
    this.socket = undefined;
    socket?.destroy();
    child?.kill();
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }

  deliver() {
    while (this.waiting !== undefined) {
      const start = this.buffer.indexOf('$');
      const end = this.buffer.indexOf('#', start);
      if (start < 0 || end < 0 || this.buffer.length < end + 3) return;
      const data = this.buffer.slice(start + 1, end);
      this.buffer = this.buffer.slice(end + 3);
      const done = this.waiting;
      this.waiting = undefined;
      done(data);
    }
  }

  async ask(text) {
    if (!this.alive) return undefined;
    let sum = 0;
    for (const c of text) sum = (sum + c.charCodeAt(0)) & 255;
    const answer = new Promise((done) => {
      this.waiting = done;
    });
    if (process.env.TRACE) console.log(text.slice(0, 60));
    this.socket.write(`$${text}#${sum.toString(16).padStart(2, '0')}`);
    // An emulator that never comes back from a step is started afresh.
    const timer = setTimeout(() => this.abandon(), TIMEOUT_MS);
    const result = await answer;
    clearTimeout(timer);
    return result;
  }

  abandon() {
    this.alive = false;
    this.hung = true;
    this.waiting?.(undefined);
  }

  async setRegister(n, value, bytes = 8) {
    const answer = await this.ask(`P${n.toString(16)}=${hexLe(value, bytes)}`);
    if (answer !== 'OK') throw new Error(`register ${n}: ${answer}`);
  }

  async poke(at, bytes) {
    await this.ask(`M${at.toString(16)},${bytes.length.toString(16)}:${Buffer.from(bytes).toString('hex')}`);
  }

  /** HMP command: output lines come as O packets before OK. */
  async monitor(command) {
    let text = '';
    let part = await this.ask(`qRcmd,${Buffer.from(command).toString('hex')}`);
    while (part?.startsWith('O') && part !== 'OK') {
      text += Buffer.from(part.slice(1), 'hex').toString('latin1');
      part = await new Promise((done) => {
        this.waiting = done;
        this.deliver();
      });
    }
    return text;
  }

  /** Loads GDTR, IDTR, LDTR and TR by running the instructions in 64-bit or 32-bit code. */
  async tables(c) {
    const r = CONTROL;
    const word = (at) => c.state.readUInt32LE(at);
    await this.setRegister(r.cr0, 0x11n);
    await this.setRegister(r.efer, 0n);
    const at = SETUP;
    const pseudo = Buffer.alloc(64);
    pseudo.writeUInt16LE(word(S.GDTR_LIMIT), 0);
    pseudo.writeUInt32LE(word(S.GDTR_BASE), 2);
    pseudo.writeUInt16LE(word(S.IDTR_LIMIT), 16);
    pseudo.writeUInt32LE(word(S.IDTR_BASE), 18);
    // LGDT [f100], LIDT [f110], with DS base 0 and 16-bit code at reset state.
    const code = [0x66, 0x2e, 0x0f, 0x01, 0x16, 0x00, 0xf1, 0x66, 0x2e, 0x0f, 0x01, 0x1e, 0x10, 0xf1];
    await this.setRegister(r.cr0, 0x10n);
    await this.poke(at, code);
    await this.poke(at + 0x100, pseudo);
    for (const seg of [1, 2, 3, 0]) await this.setSegment(seg, 0x10, true);
    await this.setSegment(1, 0, true);
    await this.setRegister(GDB_EFLAGS, 2, 4);
    await this.setRegister(GDB_RIP, at);
    await this.ask('s');
    await this.ask('s');
    if (c.mode.name === 'real') return;
    // A protected code segment to load the system segments from, by the case's own tables with TR still available.
    const gdt = word(S.GDTR_BASE);
    await this.poke(gdt + 0x50, [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0]);
    await this.poke(
      gdt + 0x10,
      c.mode.long ? [0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0] : [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0],
    );
    await this.poke(gdt + 0x40, [0xff, 0, 0x00, 0x70, 0, 0x89, 0, 0]);
    const load = [0x66, 0xb8, 0x40, 0, 0x0f, 0x00, 0xd8, 0x66, 0xb8, 0x48, 0, 0x0f, 0x00, 0xd0];
    await this.enterMode(c);
    await this.poke(at + 0x20, load);
    await this.setRegister(GDB_RIP, at + 0x20);
    await this.setSegment(1, 0x10, false);
    for (let n = 0; n < 2; n++) {
      if (n === 1) await this.poke(gdt + 0x48, [0xff, 0, 0x00, 0x58, 0, 0x82, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
      else await this.poke(gdt + 0x48, [0, 0, 0, 0, 0, 0, 0, 0]);
      await this.ask('s');
      await this.ask('s');
    }
  }

  async enterMode(c) {
    const r = CONTROL;
    await this.setRegister(r.efer, c.mode.long ? 0x901n : 0n);
    await this.setRegister(r.cr4, c.state.readBigUInt64LE(S.CR4));
    await this.setRegister(r.cr3, c.state.readBigUInt64LE(S.CR3));
    await this.setRegister(r.cr0, c.state.readBigUInt64LE(S.CR0));
    await this.setRegister(r.efer, c.state.readBigUInt64LE(S.EFER));
  }

  async setSegment(seg, selector, other) {
    // The stub loads the hidden part only when the selector changes.
    await this.setRegister(GDB_SEGMENT[seg], other ? 0x1000 : 0, 4);
    await this.setRegister(GDB_SEGMENT[seg], selector, 4);
  }

  /** Runs a case: { reason, state, ram } like the engine's side, or undefined where the emulator ended. */
  async run(c) {
    if (!this.alive || this.child === undefined) await this.start();
    writeSync(this.file, c.ram, 0, RAM_SIZE, 0);
    await this.setRegister(GDB_EFLAGS, 2, 4);
    if (this.mode !== c.mode.name || ['lldt', 'ltr'].includes(this.name)) {
      await this.tables(c);
      writeSync(this.file, c.ram, 0, RAM_SIZE, 0);
    }
    this.mode = c.mode.name;
    this.name = c.name;
    await this.enterMode(c);
    await this.setRegister(CONTROL.cr2, 0n);
    const rflags = c.state.readUInt32LE(S.RFLAGS);
    if (c.mode.name === 'virtual8086') await this.setRegister(GDB_EFLAGS, rflags, 4);
    for (let seg = 0; seg < 6; seg++) {
      await this.setSegment(seg, c.state.readUInt32LE(S.SEGMENT + seg * 24 + 16), c.mode.bits === 16);
    }
    for (let n = 0; n < 16; n++) {
      const gdb = [0, 2, 3, 1, 7, 6, 4, 5][n] ?? n;
      await this.setRegister(gdb, c.state.readBigUInt64LE(S.GPR + n * 8));
    }
    await this.setRegister(GDB_EFLAGS, rflags, 4);
    const rip = c.state.readUInt32LE(S.RIP);
    await this.setRegister(GDB_RIP, rip);
    const at = c.state.readUInt32LE(S.SEGMENT + 24) + rip;
    await this.poke(at, [...c.code, HLT]);
    for (let step = 0; step < MAX_STEPS; step++) {
      const answer = await this.ask('s');
      if (answer === undefined) return { reason: this.hung ? 'lost' : 'shutdown' };
      const state = this.parse(await this.monitor('info registers'));
      if (!this.alive) return { reason: 'shutdown' };
      const ram = Buffer.alloc(RAM_SIZE);
      readSync(this.file, ram, 0, RAM_SIZE, 0);
      const isVirtual = (state.readUInt32LE(S.RFLAGS) & 0x20000) !== 0;
      const isReal = (state.readUInt32LE(S.CR0) & 1) === 0;
      const level = isVirtual ? 3 : isReal ? 0 : state.readUInt32LE(S.SEGMENT + 24 + 16) & 3;
      const here = state.readBigUInt64LE(S.SEGMENT + 24) + state.readBigUInt64LE(S.RIP);
      if (level === 0 && here < BigInt(RAM_SIZE) && ram[Number(here)] === HLT) {
        const selector = (seg) => state.readUInt32LE(S.SEGMENT + seg * 24 + 16);
        if (selector(S.SEG_TR) !== 0x40 || selector(S.SEG_LDTR) !== 0x48) this.mode = undefined;
        state.writeBigUInt64LE(state.readBigUInt64LE(S.RIP) + 1n, S.RIP);
        return { reason: 'hlt', state, ram };
      }
    }
    this.mode = undefined;
    return { reason: 'lost' };
  }

  parse(text) {
    const state = Buffer.alloc(STATE_SIZE);
    const names = ['AX', 'CX', 'DX', 'BX', 'SP', 'BP', 'SI', 'DI', '8', '9', '10', '11', '12', '13', '14', '15'];
    const find = (pattern) => {
      const match = text.match(pattern);
      return match === null ? undefined : BigInt(`0x${match[1]}`);
    };
    names.forEach((name, n) => {
      const value = find(new RegExp(`\\b[ER]${name} ?=([0-9a-f]+)`)) ?? 0n;
      state.writeBigUInt64LE(value, S.GPR + n * 8);
    });
    state.writeBigUInt64LE(find(/\b[ER]IP=([0-9a-f]+)/) ?? 0n, S.RIP);
    state.writeBigUInt64LE(find(/\b[ER]?FL=([0-9a-f]+)/) ?? 0n, S.RFLAGS);
    for (const [name, at] of [
      ['CR0', S.CR0],
      ['CR2', S.CR2],
      ['CR3', S.CR3],
      ['CR4', S.CR4],
    ]) {
      state.writeBigUInt64LE(find(new RegExp(`${name}=([0-9a-f]+)`)) ?? 0n, at);
    }
    SEGMENT_NAMES.forEach((name, n) => {
      const match = text.match(new RegExp(`\\b${name} *=([0-9a-f]{4}) ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)`));
      if (match === null) return;
      const at = S.SEGMENT + n * 24;
      const attributes = (Number.parseInt(match[4], 16) >>> 8) & 0xf0ff;
      state.writeBigUInt64LE(BigInt(`0x${match[2]}`), at);
      state.writeUInt32LE(Number.parseInt(match[3], 16) >>> 0, at + 8);
      state.writeUInt32LE(attributes & 0x80 ? attributes : attributes | 0x10000, at + 12);
      state.writeUInt32LE(Number.parseInt(match[1], 16), at + 16);
    });
    return state;
  }
}
