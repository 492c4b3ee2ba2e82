import assert from 'node:assert/strict';
import test from 'node:test';
import { UsageError } from '../base/errors.js';
import {
  parseAddress,
  parseCpus,
  parseDebugcon,
  parseEngine,
  parseInitrd,
  parseIrqchip,
  parseMemory,
  parseSerial,
  parseTcpPort,
  parseTimeout,
} from './options.js';

const MIB = 2 ** 20;

function refuses<T>(parse: (text: string) => T, ...texts: readonly string[]): void {
  for (const text of texts) {
    assert.throws(
      () => parse(text),
      (error) => error instanceof UsageError && error.exitCode === 2 && /^[^\n]{20,250}$/.test(error.message),
      text,
    );
  }
}

test('memory sizes have a unit and lie between 4M and 3G', () => {
  assert.equal(parseMemory('512M'), 512 * MIB);
  assert.equal(parseMemory('1G'), 1024 * MIB);
  assert.equal(parseMemory('1.5g'), 1536 * MIB);
  assert.equal(parseMemory('65536K'), 64 * MIB);
  assert.equal(parseMemory('256MiB'), 256 * MIB);
  assert.equal(parseMemory('3G'), 3072 * MIB);
  refuses(
    parseMemory,
    '',
    '512',
    '-1M',
    '0M',
    '3M',
    '3073M',
    '4G',
    '999999999999G',
    '1e9M',
    '0x10M',
    'NaN',
    '1.3M',
    '5 0M',
    '9'.repeat(400),
  );
});

test('one processor is all there is', () => {
  assert.equal(parseCpus('1'), 1);
  refuses(parseCpus, '2', '0', '-1', 'many', '1.5', '9'.repeat(50));
  assert.throws(() => parseCpus('8'), /one processor; use --cpus 1/);
});

test('engines, timeouts, ports and addresses', () => {
  assert.equal(parseEngine('dbt'), 'dbt');
  refuses(parseEngine, 'xen', '', 'DBT');
  assert.equal(parseTimeout('1.5'), 1500);
  refuses(parseTimeout, '0', '-1', 'soon', '1e3', 'Infinity', '99999999999');
  assert.equal(parseTcpPort('0'), 0);
  refuses(parseTcpPort, '65536', '-1', '80a', '');
  assert.equal(parseAddress('0xffffffff81000000'), 0xffffffff81000000n);
  assert.equal(parseAddress('1000_0200'), 0x10000200n);
  refuses(parseAddress, '', 'xyz', '0x1ffffffff81000000', '-1');
});

test('serial and debug console targets', () => {
  assert.deepEqual(parseSerial('none'), { kind: 'none' });
  assert.deepEqual(parseSerial('file:a=b,c'), { kind: 'file', path: 'a=b,c' });
  refuses(parseSerial, '', 'file:', 'tcp:1', 'STDIO');
  assert.deepEqual(parseDebugcon('0xe9=stdio'), { port: 0xe9, target: { kind: 'stdio' } });
  assert.deepEqual(parseDebugcon('1016=file:x=y'), { port: 1016, target: { kind: 'file', path: 'x=y' } });
  refuses(parseDebugcon, '', '5', 'stdio', '0x10000=stdio', '65536=stdio', '-1=stdio', '0xe9=none', '0xe9=');
});

test('initrd lists', () => {
  assert.deepEqual(parseInitrd('a'), [{ path: 'a', args: '' }]);
  assert.deepEqual(parseInitrd('a one two,b,c  three '), [
    { path: 'a', args: 'one two' },
    { path: 'b', args: '' },
    { path: 'c', args: 'three' },
  ]);
  assert.deepEqual(parseInitrd('x,,y opt=1,,2,z'), [
    { path: 'x,y', args: 'opt=1,2' },
    { path: 'z', args: '' },
  ]);
  refuses(parseInitrd, '', ' args', 'a, b');
});

test("interrupt controllers are the machine's, split or the kernel's", () => {
  assert.equal(parseIrqchip('machine'), 'machine');
  assert.equal(parseIrqchip('split'), 'split');
  assert.equal(parseIrqchip('kernel'), 'kernel');
  refuses(parseIrqchip, '', 'Kernel', 'SPLIT');
});
