/** What `inspect engines` shows: each engine on this host, and which one `auto` takes. */

export interface EngineCapability {
  readonly name: string;
  readonly title: string;
  readonly has: boolean;
}

export interface EngineReport {
  readonly name: 'dbt' | 'kvm';
  readonly title: string;
  readonly usable: boolean;
  /** Why not. */
  readonly problem?: string;
  readonly capabilities: readonly EngineCapability[];
  /** By name and unit. */
  readonly speeds: Readonly<Record<string, number>>;
}

export interface EnginesReport {
  readonly engines: readonly EngineReport[];
  readonly choice: 'dbt' | 'kvm';
  readonly reason: string;
}
