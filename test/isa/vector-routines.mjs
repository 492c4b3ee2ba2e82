// JavaScript cannot pass vectors to WebAssembly: wrappers that take and give each as two 64-bit halves.
import wabt from 'wabt';
import { ROUTINES } from '../../dist/x86/routines.js';

const VECTORS = Object.entries(ROUTINES).filter(([, { params, result }]) => [...params, result].includes('v128'));
const FEATURES = { simd: true, multi_value: true };

function wrapper([name, { params, result }]) {
  const outer = params.flatMap((type) => (type === 'v128' ? ['i64', 'i64'] : [type]));
  const [first, second] = result === 'v128' ? ['i64 i64', 'v128'] : [result ?? '', result ?? ''];
  let local = 0;
  const pass = params.map((type) => {
    if (type !== 'v128') return `(local.get ${local++})`;
    return `(i64x2.replace_lane 1 (i64x2.splat (local.get ${local++})) (local.get ${local++}))`;
  });
  const call = `(call $${name} ${pass.join(' ')})`;
  const halves = '(i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v))';
  const body = result === 'v128' ? `(local $v v128) (local.set $v ${call}) ${halves}` : call;
  return [
    `(import "runtime" "${name}" (func $${name} (param ${params.join(' ')}) (result ${second})))`,
    `(func (export "${name}") (param ${outer.join(' ')}) (result ${first}) ${body})`,
  ];
}

const { parseWat } = await wabt();
const parts = VECTORS.map(wrapper);
const text = `(module ${parts.map(([line]) => line).join('\n')} ${parts.map(([, line]) => line).join('\n')})`;
const { buffer } = parseWat('vectors', text.replaceAll('(result )', ''), FEATURES).toBinary({});
const module = new WebAssembly.Module(buffer);

/** Name -> function of BigInt halves, for the routines of a runtime that take or give vectors. */
export function vectorRoutines(runtime) {
  return new WebAssembly.Instance(module, { runtime }).exports;
}
