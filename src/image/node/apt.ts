/**
 * Debian packages through the host's own package sources, without root and without touching the host's package state:
 * apt runs with a configuration of ours on top, whose lists, cache and status lie in a directory of ours. What sources
 * there are, how they are reached and which keys sign them stays the host's business; apt checks signatures and checksums.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageSourceError } from '../../base/errors.js';
import { MissingProgramError, runProgram } from './process.js';

export interface PackageInfo {
  readonly package: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256: string;
  readonly depends: readonly string[];
}

/** 0 to 1. */
export type Progress = (fraction: number) => void;

/** A chain of metapackages is one or two long; more is a loop. */
const MAX_METAPACKAGES = 4;
const UPDATE_TIMEOUT_MS = 5 * 60_000;

export class AptSource {
  private readonly directory: string;
  private readonly architecture: string;
  private updateFailure: ImageSourceError | undefined;

  private constructor(directory: string, architecture: string) {
    this.directory = directory;
    this.architecture = architecture;
  }

  /** `directory` is empty and stays the caller's to remove. */
  static async open(directory: string, architecture: string): Promise<AptSource> {
    const source = new AptSource(directory, architecture);
    for (const part of ['state/lists/partial', 'cache/archives/partial', 'download']) {
      await mkdir(join(directory, part), { recursive: true });
    }
    await writeFile(join(directory, 'status'), '');
    await writeFile(join(directory, 'apt.conf'), source.configuration());
    return source;
  }

  /**
   * Fetches the lists of what the sources offer. One source of several may fail (some have only the host's architecture)
   * without harm; if the package is not found afterwards, this failure is the reason given.
   */
  async update(progress: Progress): Promise<void> {
    try {
      await this.apt('apt-get', ['update'], progress, UPDATE_TIMEOUT_MS);
    } catch (error) {
      if (error instanceof MissingProgramError || !(error instanceof ImageSourceError)) throw error;
      this.updateFailure = error;
    }
  }

  /** The newest version of a package; a metapackage leads to the real kernel package it depends on. */
  async resolve(name: string): Promise<PackageInfo> {
    let wanted = name;
    for (let step = 0; step < MAX_METAPACKAGES; step++) {
      const info = await this.show(wanted);
      const next = info.depends.find((dependency) => /^linux-image-\d/.test(dependency));
      if (next === undefined) return info;
      wanted = next;
    }
    throw new ImageSourceError(`the package ${name} leads from one metapackage to the next; use --kernel FILE`);
  }

  /** Downloads the package file; its path. */
  async download(info: PackageInfo, progress: Progress): Promise<string> {
    const directory = join(this.directory, 'download');
    const target = `${info.package}:${info.architecture}=${info.version}`;
    await this.apt('apt-get', ['download', target], progress, undefined, directory);
    const files = (await readdir(directory)).filter((file) => file.startsWith(`${info.package}_`));
    if (files.length !== 1) throw new ImageSourceError(`apt-get did not leave the package ${info.package}; try again`);
    return join(directory, files[0]);
  }

  private async show(name: string): Promise<PackageInfo> {
    let text: string;
    try {
      text = await this.apt('apt-cache', ['show', '--no-all-versions', `${name}:${this.architecture}`]);
    } catch (error) {
      if (error instanceof MissingProgramError) throw error;
      text = '';
    }
    const info = parsePackage(text);
    if (info !== undefined) return info;
    const why = this.updateFailure === undefined ? '' : ` (${this.updateFailure.message})`;
    throw new ImageSourceError(
      `this host's package sources do not offer ${name} for ${this.architecture}${why}; add Debian's, check the network, or use --kernel FILE --initrd FILE`,
      { cause: this.updateFailure },
    );
  }

  private async apt(
    program: 'apt-get' | 'apt-cache',
    args: readonly string[],
    progress?: Progress,
    timeoutMs?: number,
    cwd = this.directory,
  ): Promise<string> {
    try {
      return await runProgram(program, ['-c', join(this.directory, 'apt.conf'), ...args], {
        cwd,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        onStatusLine: (line) => {
          const percent = /^dlstatus:[^:]*:([\d.]+):/.exec(line)?.[1];
          if (percent !== undefined) progress?.(Math.min(Number(percent) / 100, 1));
        },
      });
    } catch (error) {
      if (!(error instanceof MissingProgramError)) throw error;
      throw new MissingProgramError(
        `guest images come from Debian's package sources and this host has no ${program}; use --kernel FILE --initrd FILE with files of your own`,
        { cause: error },
      );
    }
  }

  /** Read after the host's configuration, so that its hooks (which may clean the host's caches) can be taken out. */
  private configuration(): string {
    const path = (part: string): string => JSON.stringify(join(this.directory, part));
    return [
      '#clear APT::Architectures;',
      '#clear APT::Update::Pre-Invoke;',
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
      `APT::Architecture "${this.architecture}";`,
      `APT::Architectures { "${this.architecture}"; };`,
      `Dir::State ${path('state')};`,
      'Dir::State::lists "lists/";',
      `Dir::State::status ${path('status')};`,
      `Dir::Cache ${path('cache')};`,
      'Dir::Cache::archives "archives/";',
      'Dir::Cache::pkgcache "";',
      'Dir::Cache::srcpkgcache "";',
      'Acquire::Languages { "none"; };',
      'Acquire::IndexTargets::deb-src::Sources::DefaultEnabled "false";',
      'Acquire::Retries "2";',
      'Acquire::http::Timeout "30";',
      'Acquire::https::Timeout "30";',
      // The unprivileged download user cannot write into our directory, and nothing here needs privilege.
      'APT::Sandbox::User "root";',
      'APT::Status-Fd "3";',
      'quiet "1";',
      '',
    ].join('\n');
  }
}

/** One stanza of `apt-cache show`; undefined when a needed field is missing. Debian Policy, "Binary package control files". */
export function parsePackage(text: string): PackageInfo | undefined {
  const stanza = text.split(/\n\s*\n/)[0];
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}: *(.*(?:\\n[ \\t].*)*)$`, 'm').exec(stanza)?.[1];
  const name = field('Package');
  const version = field('Version');
  const architecture = field('Architecture');
  const sha256 = field('SHA256');
  if (name === undefined || version === undefined || architecture === undefined || sha256 === undefined)
    return undefined;
  const depends = (field('Depends') ?? '').split(/[,|]/).map((item) => item.trim().split(/[\s:(]/)[0]);
  return { package: name, version, architecture, sha256: sha256.trim(), depends };
}
