// One suite for every engine: the same small guests, the same expectations. What this host's KVM cannot do is skipped by name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CC, R10, R11, R15, RAX, RBP, RBX, RCX, RDI, RDX, RSI } from './code.mjs';
import { kvm, lacks } from './engines.mjs';
import * as G from './guest.mjs';

const { SEL, SmallGuest, fault } = G;
const ENGINES = ['dbt', 'kvm'];
const TIMEOUT = 60_000;

/** `needs` names capabilities of the probe. */
function conforms(name, needs, body) {
  for (const engine of ENGINES) {
    const skip = lacks(engine, needs);
    test(`${engine}: ${name}`, { skip: skip ?? false, timeout: TIMEOUT }, async () => {
      const guests = [];
      const make = (...rest) => {
        const guest = new SmallGuest(engine, ...rest);
        guests.push(guest);
        return guest;
      };
      try {
        await body(make, engine);
      } finally {
        for (const guest of guests) guest.close();
      }
    });
  }
}

const store = (code, register, n) =>
  code.b(0x48 | ((register >> 3) << 2), 0x89, 0x04 | ((register & 7) << 3), 0x25).number(G.RESULTS + 8 * n, 4);
const HLT = 0xf4;

/** Enters ring 3 at the next instruction. */
function toRing3(code, flags = 2) {
  code.b(0x6a, SEL.dsUser).b(0x68).number(G.USER_STACK, 4).b(0x68).number(flags, 4).b(0x6a, SEL.cs64user);
  code.mov(RAX, 'ring 3').b('50 48cf').label('ring 3');
}

conforms('real mode: segments, far calls, software interrupts', [], (make) => {
  const guest = make('real', (code) => {
    // mov ax, 0x2000; mov ds, ax; mov word [0], 0x1234; mov ss, ax; mov sp, 0x800
    code.b('b80020 8ed8 c70600003412 8ed0 bc0008');
    // es = 0: vector 0x40 -> 0x1000:handler
    code.b('31c0 8ec0 26c7060001').ref('handler', 2, false).b('26c70602010010');
    // int 0x40; mov [2], ax; callf 0x1000:far; mov [4], bx; pushf; pop [6]; hlt
    code.b('cd40 a30200 9a').ref('far', 2, false).b('0010 891e0400 9c 8f060600', HLT);
    code.label('handler').b('b87856 cf');
    code.label('far').b('bbbc9a cb');
  });
  assert.equal(guest.run().kind, 'hlt');
  assert.deepEqual([...new Uint16Array(guest.ram.slice(G.RESULTS, G.RESULTS + 6).buffer)], [0x1234, 0x5678, 0x9abc]);
  assert.equal(guest.view.getUint16(G.RESULTS + 6, true) & 2, 2);
});

conforms('from real mode through protected mode into long mode', [], (make) => {
  const guest = make('real', (code) => {
    // ds = 0; lgdt [0x9000]; mov eax, cr0; or al, 1; mov cr0, eax; jmpf cs32:protected
    code.b('31c0 8ed8 660f01160090 0f20c0 0c01 0f22c0 66ea').ref('protected', 4, false).number(SEL.cs32, 2);
    code.label('end16').b(HLT);
    // mov ax, ds; mov ds, ss, es; mov dword [RESULTS], 0x11223344
    code.label('protected').b('66b81000 8ed8 8ed0 8ec0 c705').number(G.RESULTS, 4).b('44332211');
    // mov eax, PML4; mov cr3, eax; mov eax, 0x620; mov cr4, eax
    code.mov32(RAX, G.TABLES).b('0f22d8').mov32(RAX, 0x620).b('0f22e0');
    // mov ecx, EFER; rdmsr; or eax, 0x100; wrmsr; mov eax, cr0; or eax, 0x80000000; mov cr0, eax
    code.mov32(RCX, 0xc0000080).b('0f32 0d00010000 0f30 0f20c0 0d00000080 0f22c0');
    code.b(0xea).ref('long', 4, false).number(SEL.cs64, 2);
    code.label('long').mov(RBX, 0x1122334455667788n);
    store(code, RBX, 1);
    // mov ecx, EFER; rdmsr
    code.mov32(RCX, 0xc0000080).b('0f32');
    store(code, RAX, 2);
    code.b(HLT);
  });
  // Labels count from 0; the code is at 0x10000, so 32-bit references get the base added.
  const bytes = guest.ram.subarray(G.CODE, G.CODE + 512);
  for (const name of ['protected', 'long']) {
    const low = guest.code.address(name);
    for (let n = 0; n < 300; n++) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + n, 6);
      if (view.getUint32(0, true) === low && [SEL.cs32, SEL.cs64].includes(view.getUint16(4, true))) {
        view.setUint32(0, low + G.CODE, true);
      }
    }
  }
  guest.view.setUint16(0x9000, 0x57, true);
  guest.view.setUint32(0x9002, G.GDT, true);
  assert.equal(guest.run().kind, 'hlt');
  assert.equal(guest.view.getUint32(G.RESULTS, true), 0x11223344);
  assert.equal(guest.result(1), 0x1122334455667788n);
  assert.equal(guest.result(2) & 0x500n, 0x500n);
});

conforms('unpaged protected mode: string instructions, 16-bit segments, flags', [], (make) => {
  const guest = make('protected', (code) => {
    // mov esi, CODE; mov edi, RESULTS; mov ecx, 64; cld; rep movsb
    code.mov32(RSI, G.CODE).mov32(RDI, G.RESULTS).mov32(RCX, 64).b('fc f3a4');
    // mov ax, ds16; mov es, ax; mov edi, 0x8000; mov al, 0x5a; mov ecx, 16; rep stosb
    code.b('66b8', SEL.ds16, 0, '8ec0').mov32(RDI, 0x8000).b('b05a').mov32(RCX, 16).b('f3aa');
    // mov eax, 0x7fffffff; add eax, 1; pushf; pop ebx; mov [RESULTS + 64], ebx; hlt
    code
      .mov32(RAX, 0x7fffffff)
      .b('83c001 9c 5b 891d')
      .number(G.RESULTS + 64, 4)
      .b(HLT);
  });
  assert.equal(guest.run().kind, 'hlt');
  assert.deepEqual(guest.ram.slice(G.RESULTS, G.RESULTS + 64), guest.ram.slice(G.CODE, G.CODE + 64));
  assert.ok(guest.ram.subarray(0x8000, 0x8010).every((byte) => byte === 0x5a));
  // OF SF AF PF set, CF ZF clear.
  assert.equal(guest.view.getUint32(G.RESULTS + 64, true) & 0x8d5, 0x894);
});

conforms('long mode: page tables that change, page faults of ring 0', [], (make) => {
  const pte = G.PAGE_TABLE + 8 * (G.FREE >> 12);
  const guest = make('long0', (code) => {
    // mov dword [FREE], 0x1111
    code.b('c70425').number(G.FREE, 4).number(0x1111, 4);
    // The page now shows the next frame: mov qword [pte], ...; invlpg [FREE]; mov dword [FREE], 0x2222
    code
      .b('48c70425')
      .number(pte, 4)
      .number((G.FREE + 0x1000) | 7, 4);
    code.b('0f013c25').number(G.FREE, 4).b('c70425').number(G.FREE, 4).number(0x2222, 4);
    // Not present.
    code.b('48c70425').number(pte, 4).number(0, 4).b('0f013c25').number(G.FREE, 4);
    fault(code, 'read', '8b0425', ...new Uint8Array(Uint32Array.of(G.FREE + 0x123).buffer));
    fault(code, 'write', '890425', ...new Uint8Array(Uint32Array.of(G.FREE + 0x456).buffer));
    // Read-only, CR0.WP set.
    code
      .b('48c70425')
      .number(pte, 4)
      .number(G.FREE | 5, 4)
      .b('0f013c25')
      .number(G.FREE, 4);
    fault(code, 'protected', '880425', ...new Uint8Array(Uint32Array.of(G.FREE + 0x789).buffer));
    code.b('8b0425').number(G.FREE, 4);
    store(code, RAX, 0);
    code.b(HLT);
  });
  assert.equal(guest.run().kind, 'hlt');
  const log = guest.log();
  assert.deepEqual(
    log.map(({ vector, error, cr2, rip, cs }) => [vector, error, cr2, rip, cs]),
    [
      [14, 0, G.FREE + 0x123, guest.code.address('read'), SEL.cs64],
      [14, 2, G.FREE + 0x456, guest.code.address('write'), SEL.cs64],
      [14, 3, G.FREE + 0x789, guest.code.address('protected'), SEL.cs64],
    ],
  );
  assert.equal(guest.result(0), 0x1111n);
  assert.equal(guest.view.getUint32(G.FREE + 0x1000, true), 0x2222);
  // Accessed and dirty.
  assert.equal(guest.view.getUint32(G.PAGE_TABLE + 8 * (G.RESULTS >> 12), true) & 0x60, 0x60);
});

conforms('long mode: exceptions of ring 0 through the IDT', [], (make) => {
  const guest = make('long0', (code) => {
    fault(code, '#BP', 0xcc);
    fault(code, '#UD', '0f0b');
    code.b('31c9 31d2');
    fault(code, '#DE', 'f7f1');
    // A selector beyond the GDT; a non-canonical address; WRMSR of a reserved EFER bit.
    code.b('66b80001');
    fault(code, '#GP selector', '8ed8');
    code.mov(RAX, 0x8000_0000_0000_0000n);
    fault(code, '#GP address', '8b00');
    code.mov32(RCX, 0xc0000080).b('31d2').mov32(RAX, 0x80000000);
    fault(code, '#GP msr', '0f30');
    fault(code, 'int 0x55', 'cd55');
    code.b(HLT);
  });
  assert.equal(guest.run().kind, 'hlt');
  const at = (name) => guest.code.address(name);
  assert.deepEqual(
    guest.log().map(({ vector, error, rip, rsp }) => [vector, error, rip, rsp]),
    [
      [3, 0, at('#BP') + 1, G.KERNEL_STACK],
      [6, 0, at('#UD'), G.KERNEL_STACK],
      [0, 0, at('#DE'), G.KERNEL_STACK],
      [13, 0x100, at('#GP selector'), G.KERNEL_STACK],
      [13, 0, at('#GP address'), G.KERNEL_STACK],
      [13, 0, at('#GP msr'), G.KERNEL_STACK],
      [0x55, 0, at('int 0x55') + 2, G.KERNEL_STACK],
    ],
  );
});

conforms('ring 3: privileged instructions, faults and the stack of the TSS', [], (make) => {
  const guest = make('long0', (code) => {
    toRing3(code);
    fault(code, 'hlt', HLT);
    fault(code, 'cli', 0xfa);
    fault(code, 'in', 'ec');
    fault(code, 'mov cr', '0f20c0');
    fault(code, '#UD', '0f0b');
    fault(code, '#BP', 0xcc);
    code.b('31c9 31d2');
    fault(code, '#DE', 'f7f1');
    // A page of the kernel (cleared U/S below): read, then fetch.
    fault(code, 'read', '8b0425', ...new Uint8Array(Uint32Array.of(G.FREE + 8).buffer));
    code.mov(RAX, BigInt(G.FREE));
    fault(code, 'jump', 'ffe0');
    fault(code, 'not mapped', '8b042500001000', 0x90);
    // Back to ring 0: the handler of vector 0x66 is a HLT.
    fault(code, 'end', '0f0b');
    code.label('stop').b('ebfe');
  });
  guest.view.setBigUint64(G.PAGE_TABLE + 8 * (G.FREE >> 12), BigInt(G.FREE | 3), true);
  guest.view.setBigUint64(G.PAGE_TABLE + 8 * 0x100, 0n, true);
  // The eleventh exception ends the run: its log entry is the last of the page.
  const at = (name) => guest.code.address(name);
  const user = [SEL.cs64user, SEL.dsUser, G.USER_STACK];
  const expected = [
    [13, 0, at('hlt'), ...user],
    [13, 0, at('cli'), ...user],
    [13, 0, at('in'), ...user],
    [13, 0, at('mov cr'), ...user],
    [6, 0, at('#UD'), ...user],
    [3, 0, at('#BP') + 1, ...user],
    [0, 0, at('#DE'), ...user],
    [14, 5, at('read'), ...user],
    [14, 5, G.FREE, ...user],
    [14, 4, at('not mapped'), ...user],
    [6, 0, at('end'), ...user],
  ];
  for (let n = 0; n < 2000; n++) {
    const exit = guest.enter({ sliceNs: 1e6 });
    if (exit.kind !== 'preempted') assert.fail(`exit ${exit.kind}`);
    if (guest.log().length >= expected.length) break;
  }
  const log = guest.log();
  assert.deepEqual(
    log.map(({ vector, error, rip, cs, ss, rsp }) => [vector, error, rip, cs, ss, rsp]),
    expected,
  );
  assert.equal(log[7].cr2, G.FREE + 8);
  assert.equal(log[8].cr2, G.FREE);
  assert.equal(log[9].cr2, 0x100000);
});

conforms('ring 3: x87, SSE and their exceptions', [], (make) => {
  const guest = make('long3', (code) => {
    code.mov(RBX, 0x4008000000000000n).b('66480f6ec3'); // xmm0 = 3.0
    code.b('f20f58c0'); // addsd xmm0, xmm0
    code.b('f20f59c0'); // mulsd xmm0, xmm0
    code.b('f20f110425').number(G.RESULTS, 4);
    // fldpi; fld st0; fmulp; fstp qword [RESULTS + 8]
    code.b('d9eb d9c0 dec9 dd1c25').number(G.RESULTS + 8, 4);
    // stmxcsr [RESULTS + 16]; fnstcw [RESULTS + 20]
    code
      .b('0fae1c25')
      .number(G.RESULTS + 16, 4)
      .b('d93c25')
      .number(G.RESULTS + 20, 4);
    // Unmasked division by zero: #XM.
    code
      .b('c70425')
      .number(G.RESULTS + 24, 4)
      .number(0x1d80, 4)
      .b('0fae1425')
      .number(G.RESULTS + 24, 4);
    code.b('66480f6ecb 660fefd2');
    fault(code, '#XM', 'f20f5eca');
    code.label('stop').b('ebfe');
  });
  for (let n = 0; n < 1000 && guest.log().length === 0; n++) assert.equal(guest.enter().kind, 'preempted');
  assert.deepEqual(
    guest.log().map(({ vector, rip }) => [vector, rip]),
    [[19, guest.code.address('#XM')]],
  );
  assert.equal(guest.view.getFloat64(G.RESULTS, true), 36);
  assert.equal(guest.view.getFloat64(G.RESULTS + 8, true), Math.PI * Math.PI);
  assert.equal(guest.view.getUint32(G.RESULTS + 16, true), 0x1f80);
  assert.equal(guest.view.getUint16(G.RESULTS + 20, true), 0x37f);
});

conforms('ring 0: instructions that some hosts refuse', [], (make) => {
  const guest = make('long0', (code) => {
    code.mov(RBX, 0xff00ff00ff00ff01n).b('f3480fb8c3'); // popcnt rax, rbx
    store(code, RAX, 0);
    code.b('66480f6ec3 660fd4c0 66480f7ec0'); // movq xmm0, rbx; paddq xmm0, xmm0; movq rax, xmm0
    store(code, RAX, 1);
    // cmpxchg16b [FREE]: equal, so RCX:RBX is stored
    code.b('31c0 31d2').mov(RBX, 0x1111n).mov(RCX, 0x2222n).b('f0480fc70c25').number(G.FREE, 4);
    // fld1; fadd st0, st0; fistp qword [RESULTS + 16]
    code.b('d9e8 dcc0 df3c25').number(G.RESULTS + 16, 4);
    // verw ax of a data segment; setz bl
    code.b('66b81000 0f00e8 0f94c3 0fb6db');
    store(code, RBX, 3);
    // From a device: movups xmm0, [DEVICE]; movups [FREE + 16], xmm0
    code
      .mov(RSI, BigInt(G.DEVICE))
      .b('0f1006 0f110425')
      .number(G.FREE + 16, 4)
      .b(HLT);
  });
  let reads = 0;
  const exit = guest.run(({ kind, gpa, size }) => {
    assert.equal(kind, 'mmio-read');
    assert.equal(size, 8);
    reads++;
    return BigInt(gpa - G.DEVICE + 0x77);
  });
  assert.equal(exit.kind, 'hlt');
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => guest.result(n)),
    [33n, 0xfe01fe01fe01fe02n, 2n, 1n],
  );
  assert.equal(guest.view.getBigUint64(G.FREE, true), 0x1111n);
  assert.equal(guest.view.getBigUint64(G.FREE + 8, true), 0x2222n);
  assert.equal(reads, 2);
  assert.equal(guest.view.getBigUint64(G.FREE + 16, true), 0x77n);
  assert.equal(guest.view.getBigUint64(G.FREE + 24, true), 0x7fn);
});

// The entry is on a page of the kernel, as any kernel's; the page fault handler is used as well.
conforms('SYSCALL and SYSRET', [], (make) => {
  const guest = make(
    'long0',
    (code) => {
      toRing3(code, 0x202);
      fault(code, 'faults', '8b042500000070'); // mov eax, [0x70000000]
      code.b('0f05').label('returned');
      // mov eax, cs
      code.b('8cc8');
      store(code, RAX, 3);
      code.b('0f05').label('stop').b('ebfe');
      while ((code.here & 0xfff) !== 0) code.b(0x90);
      code.label('entry');
      code.b('8cc8');
      store(code, RAX, 0);
      store(code, RCX, 1);
      store(code, R11, 2);
      code
        .b('48833c25')
        .number(G.RESULTS + 24, 4)
        .b(0)
        .jcc(CC.nz, 'end')
        .b('480f07');
      code.label('end').b(HLT);
    },
    (state, { code, view }) => {
      const entry = code.address('entry');
      view.setBigUint64(G.PAGE_TABLE + 8 * (entry >> 12), BigInt(entry | 3), true);
      state.efer |= 1n;
      state.msrs.set(0xc0000081, (BigInt(SEL.cs64) << 32n) | (BigInt(SEL.cs32user) << 48n));
      state.msrs.set(0xc0000082, BigInt(code.address('entry')));
      state.msrs.set(0xc0000084, 0x200n);
    },
  );
  assert.equal(guest.run().kind, 'hlt');
  assert.equal(guest.result(0), BigInt(SEL.cs64));
  // Where SYSCALL does not enter ring 0 by itself, ring 3 sees the host's selector.
  const isTrue = guest.name === 'dbt' || kvm.capabilities.syscall;
  assert.equal(guest.result(3) & (isTrue ? 0xffffn : 3n), isTrue ? BigInt(SEL.cs64user) : 3n);
  assert.equal(guest.result(2) & 0x200n, 0x200n);
  assert.equal(guest.result(1), BigInt(guest.code.address('stop')));
  assert.deepEqual(
    guest.log().map(({ vector, rip }) => [vector, rip]),
    [[14, guest.code.address('faults')]],
  );
});

conforms('INT n from ring 3', ['softwareInterrupts'], (make) => {
  const guest = make('long3', (code) => {
    fault(code, 'int', 'cd80');
    code.label('stop').b('ebfe');
  });
  for (let n = 0; n < 1000 && guest.log().length === 0; n++) assert.equal(guest.enter().kind, 'preempted');
  assert.deepEqual(
    guest.log().map(({ vector, rip }) => [vector, rip]),
    [[0x80, guest.code.address('int') + 2]],
  );
});

/** The engine may have a breakpoint of its own where it finishes SYSCALL. */
function usesSyscall(state, { code }) {
  state.efer |= 1n;
  state.msrs.set(0xc0000082, BigInt(code.address('done')));
}

conforms('breakpoints in debug registers: ring 0', [], (make) => {
  const guest = make(
    'long0',
    (code) => code.mov(R15, 'done').b('90').label('at').b('9090').label('done').b(HLT),
    (state, guest) => {
      usesSyscall(state, guest);
      state.dr[0] = BigInt(guest.code.address('at'));
      state.dr[7] = 0x401n;
    },
  );
  assert.equal(guest.run().kind, 'hlt');
  assert.deepEqual(
    guest.log().map(({ vector, rip }) => [vector, rip]),
    [[1, guest.code.address('at')]],
  );
});

conforms('breakpoints in debug registers: ring 3', ['debugRegisters'], (make) => {
  const guest = make(
    'long3',
    (code) => code.mov(R15, 'done').b('90').label('at').b('9090').label('done').b('ebfe'),
    (state, guest) => {
      usesSyscall(state, guest);
      state.dr[3] = BigInt(guest.code.address('at'));
      state.dr[7] = 0x440n;
    },
  );
  for (let n = 0; n < 1000 && guest.log().length === 0; n++) assert.equal(guest.enter().kind, 'preempted');
  assert.deepEqual(
    guest.log().map(({ vector, rip }) => [vector, rip]),
    [[1, guest.code.address('at')]],
  );
});

conforms('32-bit paging', ['paging32'], (make) => {
  const [directory, table] = [0x50000, 0x51000];
  const guest = make('protected', (code) => {
    code.mov32(RAX, directory).b('0f22d8 0f20c0 0d00000080 0f22c0');
    // Page 0x52000 shows frame 0x28000.
    code.b('c705').number(0x52000, 4).number(0x5a5a, 4).b(HLT);
  });
  guest.view.setUint32(directory, table | 3, true);
  for (let n = 0; n < 512; n++) guest.view.setUint32(table + 4 * n, (n << 12) | 3, true);
  guest.view.setUint32(table + 4 * 0x52, G.FREE | 3, true);
  assert.equal(guest.run().kind, 'hlt');
  assert.equal(guest.view.getUint32(G.FREE, true), 0x5a5a);
});

conforms('port I/O of every size, and string I/O', [], (make) => {
  const guest = make('long0', (code) => {
    code.mov32(RDX, 0x1230).mov32(RAX, 0x89abcdef).b('ee 66ef ef e680');
    code.b('ec').mov32(RBX, 0);
    store(code, RAX, 0);
    code.b('66ed');
    store(code, RAX, 1);
    code.b('ed');
    store(code, RAX, 2);
    // rep outsb of 5 bytes at CODE; rep insw of 3 words to FREE
    code.mov(RSI, BigInt(G.CODE)).mov32(RCX, 5).b('fc f36e');
    code.mov(RDI, BigInt(G.FREE)).mov32(RCX, 3).b('f3666d');
    store(code, RCX, 3);
    store(code, RDI, 4);
    code.b(HLT);
  });
  const seen = [];
  let next = 0x11111111;
  const exit = guest.run(({ kind, port, size, value }) => {
    seen.push(
      `${kind === 'pio-in' ? 'in' : 'out'} ${port.toString(16)} ${size}${kind === 'pio-in' ? '' : ` ${value.toString(16)}`}`,
    );
    next += 0x11111111;
    return BigInt(next >>> 0);
  });
  assert.equal(exit.kind, 'hlt');
  const text = [...guest.ram.subarray(G.CODE, G.CODE + 5)].map((byte) => `out 1230 1 ${byte.toString(16)}`);
  assert.deepEqual(seen, [
    ...['out 1230 1 ef', 'out 1230 2 cdef', 'out 1230 4 89abcdef', 'out 80 1 ef'],
    ...['in 1230 1', 'in 1230 2', 'in 1230 4'],
    ...text,
    ...Array(3).fill('in 1230 2'),
  ]);
  assert.equal(guest.result(0), 0x89abcd66n);
  assert.equal(guest.result(1), 0x89ab7777n);
  assert.equal(guest.result(2), 0x88888888n);
  assert.equal(guest.result(3), 0n);
  assert.equal(guest.result(4), BigInt(G.FREE + 6));
  assert.deepEqual(
    [0, 2, 4].map((n) => guest.view.getUint16(G.FREE + n, true)),
    [0xeeee, 0xffff, 0x1110],
  );
});

conforms('INVLPG drops all of a large page', [], (make, engine) => {
  // 2 MiB at 0x200000 and 1 GiB at 0x40000000, both showing the first frames of RAM. Each is read at one place, goes, and is
  // invalidated at another; the reads that follow must fault.
  const places = [[G.TABLES + 0x2008, 0x200000, 0x1000]];
  // Not every processor that KVM offers has pages of 1 GiB.
  if (engine === 'dbt') places.push([G.TABLES + 0x1008, 0x40000000, 0x3000000]);
  const guest = make('long0', (code) => {
    for (const [n, [entry, base, other]] of places.entries()) {
      code.mov(RAX, 0x87n).b('48890425').number(entry, 4); // mov [entry], rax
      code.mov(RBX, BigInt(base + G.FREE)).b('488b03'); // mov rax, [rbx]
      store(code, RAX, n);
      code.b('4831c0 48890425').number(entry, 4); // xor rax, rax; mov [entry], rax
      code.mov(RCX, BigInt(base + other)).b('0f0139'); // invlpg [rcx]
      fault(code, `read ${n}`, '488b03');
    }
    code.b(HLT);
  });
  guest.view.setBigUint64(G.FREE, 0x1234567n, true);
  assert.equal(guest.run().kind, 'hlt');
  for (const n of places.keys()) assert.equal(guest.result(n), 0x1234567n);
  assert.deepEqual(
    guest.log().map(({ vector, cr2 }) => [vector, cr2]),
    places.map(([, base]) => [14, base + G.FREE]),
  );
});

conforms('long mode: a table read in loops, whose mapping changes between them', [], (make) => {
  const ROUNDS = 300;
  const ENTRIES = 8;
  const guest = make('long0', (code) => {
    code.mov(RBX, BigInt(G.PAGE_TABLE + 8 * (G.FREE >> 12)));
    code.mov(RSI, BigInt(G.FREE)).mov(RBP, BigInt(ROUNDS)).b('4531c0'); // xor r8d, r8d
    code.label('round').mov(RCX, BigInt(ENTRIES));
    // movzx edx, cl; mov rax, [rsi + rdx * 8]; add r8, rax; dec ecx; jnz
    code.label('entry').b('0fb6d1 488b04d6 4901c0 ffc9').jcc(CC.nz, 'entry');
    // xor dword [rbx], 0x1000; invlpg [rsi]; dec ebp; jnz
    code.b('813300100000 0f013e ffcd').jcc(CC.nz, 'round');
    code.mov(RBX, BigInt(G.RESULTS)).b('4c8903').b(HLT); // mov [rbx], r8
  });
  let sum = 0n;
  for (let n = 1; n <= ENTRIES; n++) {
    const values = [0x1234567n * BigInt(n), 0x7654321n + BigInt(n)];
    for (const [page, value] of values.entries()) {
      guest.view.setBigUint64((G.FREE ^ (page * 0x1000)) + 8 * n, value, true);
      sum += (value * BigInt(ROUNDS)) / 2n;
    }
  }
  for (let n = 0; n < 1000; n++) if (guest.run().kind === 'hlt') break;
  assert.deepEqual(guest.log(), []);
  assert.equal(guest.result(0), sum);
});

conforms('port I/O of ring 3 by the permission map', [], (make) => {
  const guest = make('long0', (code) => {
    toRing3(code);
    code.mov32(RDX, 0x3f8).b('b041 ee ffc2');
    fault(code, 'forbidden', 'ee');
    code.label('stop').b('ebfe');
  });
  guest.ram[G.IO_MAP + (0x3f8 >> 3)] = 0xfe;
  const exit = guest.run((e) => (e.kind === 'pio-out' ? undefined : 0n));
  assert.deepEqual([exit.kind, exit.port, exit.value], ['pio-out', 0x3f8, 0x41]);
  for (let n = 0; n < 1000 && guest.log().length === 0; n++) assert.equal(guest.enter().kind, 'preempted');
  assert.deepEqual(
    guest.log().map(({ vector, error, rip }) => [vector, error, rip]),
    [[13, 0, guest.code.address('forbidden')]],
  );
});

conforms('memory-mapped I/O of every size', [], (make) => {
  const guest = make('long0', (code) => {
    code.mov(RBX, BigInt(G.DEVICE)).mov(RAX, 0x1122334455667788n);
    code.b('8803 66894302 894304 48894308'); // mov [rbx], al; [rbx + 2], ax; [rbx + 4], eax; [rbx + 8], rax
    code.b('31c0 8a4310');
    store(code, RAX, 0);
    code.b('0fb74312');
    store(code, RAX, 1);
    code.b('8b4314');
    store(code, RAX, 2);
    code.b('488b4318');
    store(code, RAX, 3);
    code.b('834320 05'); // add dword [rbx + 0x20], 5
    // rep movsb of 3 bytes from the device
    code.b('488d7330').mov(RDI, BigInt(G.FREE)).mov32(RCX, 3).b('fc f3a4', HLT);
  });
  const seen = [];
  const exit = guest.run(({ kind, gpa, size, value }) => {
    const offset = gpa - G.DEVICE;
    seen.push(kind === 'mmio-read' ? `read ${offset} ${size}` : `write ${offset} ${size} ${value.toString(16)}`);
    return BigInt.asUintN(8 * size, 0x0101010101010101n * BigInt(offset));
  });
  assert.equal(exit.kind, 'hlt');
  assert.deepEqual(seen, [
    ...['write 0 1 88', 'write 2 2 7788', 'write 4 4 55667788', 'write 8 8 1122334455667788'],
    ...['read 16 1', 'read 18 2', 'read 20 4', 'read 24 8', 'read 32 4', 'write 32 4 20202025'],
    ...['read 48 1', 'read 49 1', 'read 50 1'],
  ]);
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => guest.result(n)),
    [0x10n, 0x1212n, 0x14141414n, 0x1818181818181818n],
  );
  assert.deepEqual([...guest.ram.subarray(G.FREE, G.FREE + 3)], [48, 49, 50]);
});

conforms('HLT, injected interrupts, windows and shadows', [], (make, engine) => {
  const guest = make('long0', (code) => {
    code.label('idle').b('fb', HLT);
    store(code, RBX, 0);
    // cli; then a stretch without interrupts, an OUT as a mark, STI, two instructions
    code.b('fa e680 fb').label('shadowed').b('90').label('open').b('90 ebfe');
    code.label('service').b('48ffc3 48cf'); // inc rbx; iretq
  });
  guest.gate(0x40, guest.code.address('service'));
  assert.equal(guest.vcpu.interruptible, false);
  assert.equal(guest.run().kind, 'hlt');
  assert.equal(guest.vcpu.interruptible, true);
  // The interrupt ends HLT; the guest comes to its OUT with interrupts off.
  let exit = guest.enter({ vector: 0x40 });
  while (exit.kind === 'preempted') exit = guest.enter();
  assert.equal(exit.kind, 'pio-out');
  assert.equal(guest.result(0), 1n);
  exit = guest.enter({ requestInterruptWindow: true });
  while (exit.kind === 'preempted') exit = guest.enter({ requestInterruptWindow: true });
  assert.equal(exit.kind, 'interrupt-window');
  assert.equal(guest.vcpu.interruptible, true);
  const { rip } = guest.vcpu.save();
  const open = guest.code.address('open');
  // An emulating host may look only after some more instructions, but never in the shadow.
  if (engine === 'dbt' || kvm.capabilities.ring0Native) assert.equal(Number(rip), open, 'one instruction after STI');
  else assert.ok(Number(rip) >= open);
  exit = guest.enter({ vector: 0x40 });
  assert.equal(exit.kind, 'preempted');
  for (let n = 0; n < 1000 && guest.vcpu.save().gpr[3] !== 2n; n++) guest.enter();
  assert.equal(guest.vcpu.save().gpr[3], 2n);
});

conforms('a non-maskable interrupt waits for the end of the one before', [], (make) => {
  const guest = make('long0', (code) => {
    code.b('e680').label('wait').b('4883fb02').jcc(CC.nz, 'wait').b(HLT); // out; cmp rbx, 2
    code.label('service').b('48ffc3 e681 48cf'); // inc rbx; out; iretq
  });
  guest.gate(2, guest.code.address('service'));
  assert.equal(guest.run(() => undefined).port, 0x80);
  assert.equal(guest.enter({ settle: true }).kind, 'preempted');
  assert.equal(guest.vcpu.save().nmiBlocked, false);
  const stacks = [];
  let wanted = 2;
  for (let n = 0; n < 2000; n++) {
    const nmi = wanted > 0 && guest.vcpu.nmiInterruptible;
    if (nmi) wanted--;
    const exit = guest.enter({ nmi, requestNmiWindow: wanted > 0 });
    if (exit.kind === 'hlt') break;
    if (exit.kind !== 'pio-out') continue;
    assert.equal(exit.port, 0x81);
    assert.equal(guest.enter({ settle: true }).kind, 'preempted');
    const { gpr, nmiBlocked } = guest.vcpu.save();
    assert.equal(nmiBlocked, true);
    stacks.push(gpr[4]);
  }
  // The second one did not interrupt the handler of the first.
  assert.equal(stacks.length, 2);
  assert.equal(stacks[0], stacks[1]);
  assert.equal(guest.vcpu.save().nmiBlocked, false);
});

conforms('task priority: CR8 and the machine see the same', [], (make) => {
  const guest = make('long0', (code) => {
    code.mov32(RAX, 5).b('440f22c0 e680 440f20c0'); // mov cr8, rax; out; mov rax, cr8
    store(code, RAX, 0);
    code.b(HLT);
  });
  const exit = guest.run((e) => (e.kind === 'pio-out' ? undefined : 0n));
  assert.equal(exit.kind, 'pio-out');
  assert.equal(guest.vcpu.tpr, 0x50);
  guest.vcpu.tpr = 0x90;
  assert.equal(guest.run().kind, 'hlt');
  assert.equal(guest.result(0), 9n);
});

conforms('MSRs of the machine: answered, written, refused', [], (make) => {
  const guest = make('long0', (code) => {
    code.mov32(RCX, 0x1b).b('0f32 48c1e220 4809d0'); // rdmsr; rax |= rdx << 32
    store(code, RAX, 0);
    code.mov32(RCX, 0x1b).mov32(RAX, 0xfee00800).b('31d2 0f30');
    code.mov32(RCX, 0x6e0);
    fault(code, 'refused', '0f30');
    code.mov32(RCX, 0x12345678);
    fault(code, 'unknown', '0f32');
    code.b(HLT);
  });
  const seen = [];
  const exit = guest.run(({ kind, msr, value }) => {
    seen.push([kind, msr, value]);
    if (kind === 'rdmsr' && msr === 0x1b) return 0x1fee00900n;
    return msr === 0x1b ? 0n : 'refused';
  });
  assert.equal(exit.kind, 'hlt');
  assert.equal(guest.result(0), 0x1fee00900n);
  assert.deepEqual(seen.slice(0, 3), [
    ['rdmsr', 0x1b, undefined],
    ['wrmsr', 0x1b, 0xfee00800n],
    ['wrmsr', 0x6e0, 0xfee00800n],
  ]);
  assert.deepEqual(
    guest.log().map(({ vector, error, rip }) => [vector, error, rip]),
    [
      [13, 0, guest.code.address('refused')],
      [13, 0, guest.code.address('unknown')],
    ],
  );
});

conforms('a triple fault ends the guest', [], (make) => {
  const guest = make(
    'long0',
    (code) => code.b('0f0b', HLT),
    (state) => {
      state.idtr.limit = 0;
    },
  );
  assert.equal(guest.run().kind, 'shutdown');
});

conforms('a loop that never ends is preempted, and asked to settle it does', [], (make) => {
  const guest = make('long0', (code) => code.b('e680 ebfe'));
  assert.equal(guest.run(() => undefined).kind, 'pio-out');
  const exit = guest.enter({ settle: true });
  assert.equal(exit.kind, 'preempted');
  assert.equal(Number(guest.vcpu.save().rip), G.CODE + 2);
  const started = performance.now();
  for (let n = 0; n < 5; n++) assert.equal(guest.enter({ sliceNs: 1e6 }).kind, 'preempted');
  assert.ok(performance.now() - started < 5000);
});

conforms('code that writes itself runs as written', [], (make) => {
  const guest = make('long0', (code) => {
    code.mov32(RCX, 200).mov32(RBX, 0);
    code.label('again').label('patched').b('83c301'); // add ebx, 1
    code.b('fe0425').ref('immediate', 4, false); // inc byte [immediate]
    code.b('ffc9').jcc(CC.nz, 'again');
    store(code, RBX, 0);
    code.b(HLT);
    code.labels.set('immediate', code.address('patched') + 2);
  });
  assert.equal(guest.run().kind, 'hlt');
  let sum = 0;
  // The immediate is a signed byte.
  for (let n = 0; n < 200; n++) sum += ((1 + n) << 24) >> 24;
  assert.equal(guest.result(0), BigInt.asUintN(32, BigInt(sum)));
});

conforms('the dirty log names the pages that were written', [], (make) => {
  const guest = make('long0', (code) => {
    code
      .b('c60425')
      .number(G.FREE, 4)
      .b(1, '8a0425')
      .number(G.FREE + 0x3000, 4)
      .b('e680');
    code
      .b('c60425')
      .number(G.FREE + 0x2000, 4)
      .b(1, HLT);
  });
  const frames = () => {
    const log = guest.engine.takeDirtyLog();
    return [0, 1, 2, 3].filter((n) => {
      const frame = (G.FREE >> 12) + n;
      return (log[frame >> 3] & (1 << (frame & 7))) !== 0;
    });
  };
  guest.engine.startDirtyLog();
  assert.equal(guest.run((e) => (e.kind === 'pio-out' ? undefined : 0n)).kind, 'pio-out');
  assert.deepEqual(frames(), [0]);
  assert.equal(guest.run().kind, 'hlt');
  assert.deepEqual(frames(), [2]);
  assert.deepEqual(frames(), []);
});

conforms('the whole state goes out of one vCPU and into a new one', [], (make) => {
  const build = (code) => {
    code.mov(RBX, 0x123456789abcdef0n).mov(R10, 0xfedcba9876543210n);
    code.b('f9 e680'); // stc; out
    code.b('9c 58'); // pushf; pop rax
    store(code, RAX, 0);
    store(code, RBX, 1);
    store(code, R10, 2);
    code.b('440f20c0');
    store(code, RAX, 3);
    code.mov32(RCX, 0xc0000102).b('0f32');
    store(code, RAX, 4);
    code.b('0f21d8'); // mov rax, dr3
    store(code, RAX, 5);
    code
      .b('0f110425')
      .number(G.RESULTS + 64, 4)
      .b('dd1c25')
      .number(G.RESULTS + 80, 4)
      .b(HLT);
  };
  const first = make('long0', build, (state) => {
    state.cr8 = 3n;
    state.dr[3] = 0x5555n;
    state.msrs.set(0xc0000102, 0x77n);
    const fpu = new DataView(state.fxsave.buffer);
    fpu.setBigUint64(160, 0x1122334455667788n, true);
    // ST0 = 1.5: TOP 7, one register in use.
    fpu.setUint16(2, 7 << 11, true);
    fpu.setUint8(4, 0x80);
    fpu.setBigUint64(32, 0xc000000000000000n, true);
    fpu.setUint16(40, 0x3fff, true);
  });
  assert.equal(first.run((e) => (e.kind === 'pio-out' ? undefined : 0n)).kind, 'pio-out');
  assert.equal(first.enter({ settle: true }).kind, 'preempted');
  const state = first.vcpu.save();
  assert.equal(state.gpr[3], 0x123456789abcdef0n);
  assert.equal(state.segments[1].selector, SEL.cs64);
  const second = make('long0', build);
  second.vcpu.load(state);
  assert.deepEqual(without(second.vcpu.save()), without(state));
  assert.equal(second.run().kind, 'hlt');
  assert.equal(second.result(0) & 1n, 1n);
  assert.equal(second.result(1), 0x123456789abcdef0n);
  assert.equal(second.result(2), 0xfedcba9876543210n);
  assert.deepEqual(
    [3, 4, 5].map((n) => second.result(n)),
    [3n, 0x77n, 0x5555n],
  );
  assert.equal(second.view.getBigUint64(G.RESULTS + 64, true), 0x1122334455667788n);
  assert.equal(second.view.getFloat64(G.RESULTS + 80, true), 1.5);
});

/** A state without what moves by itself. */
function without(state) {
  const msrs = new Map(state.msrs);
  msrs.delete(0x10);
  return { ...state, msrs };
}

conforms('CPUID tells the profile', ['cpuidMasking'], (make) => {
  const guest = make('long0', (code) => {
    code.mov32(RAX, 1).b('31c9 0fa2');
    store(code, RAX, 0);
    store(code, RCX, 1);
    code.b(HLT);
  });
  assert.equal(guest.run().kind, 'hlt');
  assert.equal(guest.result(0), 0x606f1n);
  // No AVX, no monitor.
  assert.equal(guest.result(1) & ((1n << 28n) | 8n), 0n);
});
