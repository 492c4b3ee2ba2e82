/** The guest as `trapeze serve` gives it: a description, and the files it names, fetched with progress. */
import { TrapezeError } from '../base/errors.js';
import type { BootModule } from '../machine/boot/boot.js';

/** What of `guest.json` is used. */
interface GuestDescription {
  readonly title: string;
  readonly kernelName: string;
  readonly append: string;
  readonly memoryBytes: number;
  readonly hasDefaultInit: boolean;
  readonly kernel: string;
  readonly modules: readonly { readonly url: string; readonly args: string; readonly name: string }[];
}

export interface Guest
  extends Pick<GuestDescription, 'title' | 'kernelName' | 'append' | 'memoryBytes' | 'hasDefaultInit'> {
  readonly kernel: Uint8Array;
  readonly modules: readonly BootModule[];
}

export interface FetchEvents {
  onDescription(description: Pick<Guest, 'title' | 'memoryBytes'>): void;
  /** `fraction` of one file, 0 to 1; undefined where the server does not tell its length. */
  onProgress(what: string, fraction: number | undefined): void;
}

export async function fetchGuest(events: FetchEvents): Promise<Guest> {
  const description = (await (await request('guest.json')).json()) as GuestDescription;
  events.onDescription(description);
  const { title, kernelName, append, memoryBytes, hasDefaultInit } = description;
  const kernel = await fetchFile(description.kernel, (fraction) => events.onProgress('kernel', fraction));
  const modules: BootModule[] = [];
  for (const [index, { url, args, name }] of description.modules.entries()) {
    const what = description.modules.length === 1 ? 'initrd' : `file ${index + 1} of ${description.modules.length}`;
    modules.push({ data: await fetchFile(url, (fraction) => events.onProgress(what, fraction)), args, name });
  }
  return { title, kernelName, append, memoryBytes, hasDefaultInit, kernel, modules };
}

async function request(url: string): Promise<Response> {
  const response = await fetch(url).catch((cause: unknown) => {
    throw new TrapezeError('host-file', `The server does not answer; is "trapeze serve" still running?`, undefined, {
      cause,
    });
  });
  if (response.ok) return response;
  throw new TrapezeError('host-file', `The server answers ${response.status} for ${url}; start "trapeze serve" again.`);
}

async function fetchFile(url: string, onProgress: (fraction: number | undefined) => void): Promise<Uint8Array> {
  const response = await request(url);
  const total = Number(response.headers.get('content-length') ?? 0);
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  onProgress(total > 0 ? 0 : undefined);
  const reader = response.body?.getReader();
  try {
    for (let piece = await reader?.read(); piece?.value !== undefined; piece = await reader?.read()) {
      pieces.push(piece.value);
      length += piece.value.length;
      onProgress(total > 0 ? Math.min(1, length / total) : undefined);
    }
  } catch (cause) {
    throw new TrapezeError('host-file', `The connection broke while ${url} was fetched; reload the page.`, undefined, {
      cause,
    });
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}
