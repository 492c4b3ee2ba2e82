/**
 * Generated modules import the runtime's functions with one parameter more, a vector that means nothing: JavaScript has no vectors.
 *
 * V8 of Node 20 compiles with each module a wrapper for every signature it imports, in case the function will be one of JavaScript.
 * Here it never is, and for a small region the wrappers took longer than the region. For a signature that JavaScript cannot
 * have there is none. The bridges, compiled once, lead from there to the functions as they are.
 */
import { Emitter } from '../../wasm/emitter.js';
import { ModuleBuilder, type Signature } from '../../wasm/module.js';
import { OF_RUNTIME, signatureOf } from './signatures.js';

const UNUSED = 'v128';

export const isForJavaScript = ({ params, results }: Signature): boolean =>
  !params.includes('v128') && !results.includes('v128');

/** As generated code calls it. */
export function bridged(signature: Signature): Signature {
  return isForJavaScript(signature) ? { ...signature, params: [...signature.params, UNUSED] } : signature;
}

export function pushUnused(e: Emitter): void {
  e.i32(0);
  e.op('i8x16.splat');
}

let compiled: WebAssembly.Module | undefined;

/** For those functions of the runtime that need one. */
export function bridges(runtime: WebAssembly.Exports): WebAssembly.Exports {
  compiled ??= new WebAssembly.Module(bridgesModule());
  return new WebAssembly.Instance(compiled, { rt: runtime as WebAssembly.ModuleImports }).exports;
}

function bridgesModule(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const names = OF_RUNTIME.filter((name) => isForJavaScript(signatureOf(name)));
  const targets = names.map((name) => module.importFunction('rt', name, signatureOf(name)));
  for (const [n, name] of names.entries()) {
    const { params } = signatureOf(name);
    const type = module.type(bridged(signatureOf(name)));
    const e = new Emitter([...params, UNUSED]);
    for (const parameter of params.keys()) e.get(parameter);
    e.returnCall(targets[n] as number);
    module.export(name, module.addFunction(e.finish(type)));
  }
  return module.finish();
}
