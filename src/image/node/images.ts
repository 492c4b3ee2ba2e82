/** Listing, removing and opening guest images of the cache, and pulling them, which is loaded where it is wanted. */
import { buildBusyboxInitramfs } from '../busybox-initramfs.js';
import { imageSpec } from '../catalogue.js';
import { BUSYBOX_FILE, ImageCache, type ImageRecord, MAIN_FILE } from './cache.js';
import type { OnPullProgress } from './pull.js';
import { allocateShared } from './shared-file.js';

/** Fetches the newest version of an image; nothing is downloaded but lists when the cache has it already. */
export async function pullImage(
  name: string,
  onProgress?: OnPullProgress,
  cache = new ImageCache(),
): Promise<ImageRecord> {
  const { pull } = await import('./pull.js');
  return await pull(name, onProgress, cache);
}

/** The cached image, or undefined. */
export async function findImage(name: string, cache = new ImageCache()): Promise<ImageRecord | undefined> {
  return await cache.record(imageSpec(name).name);
}

export async function listImages(cache = new ImageCache()): Promise<ImageRecord[]> {
  return await cache.records();
}

/** False when it was not there. */
export async function removeImage(name: string, cache = new ImageCache()): Promise<boolean> {
  return await cache.remove(imageSpec(name).name);
}

/** The kernel, initramfs or ROM of a cached image. An initramfs is built anew, so that it always fits this version. */
export async function openImage(record: ImageRecord, cache = new ImageCache()): Promise<Uint8Array> {
  const { kind } = imageSpec(record.name);
  if (kind !== 'busybox') return await cache.read(record, MAIN_FILE[kind]);
  return buildBusyboxInitramfs(await cache.read(record, BUSYBOX_FILE), [], allocateShared);
}
