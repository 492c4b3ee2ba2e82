// A node:test reporter for tools/test.mjs: one line of JSON per test that is no suite. Passing tests are only named.
// biome-ignore lint/style/noDefaultExport: node:test takes a reporter's default export
export default async function* report(source) {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    const { skip, todo } = data;
    const error = type === 'test:fail' ? describe(data.details?.error) : undefined;
    yield `${JSON.stringify({ name: data.name, failed: type === 'test:fail', skip, todo, error })}\n`;
  }
}

function describe(error) {
  const cause = error?.cause ?? error;
  return typeof cause === 'object' && cause !== null ? (cause.stack ?? cause.message ?? String(cause)) : String(cause);
}
