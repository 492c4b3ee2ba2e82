/** Counters as an aligned table: a heading per group, names left, numbers right. */
import type { Statistics } from '../machine/machine.js';

export function formatStatistics(statistics: Statistics): string {
  const groups = Object.entries(statistics).filter(([, counters]) => Object.keys(counters).length > 0);
  const names = groups.flatMap(([, counters]) => Object.keys(counters));
  const width = Math.max(24, ...names.map((name) => name.length));
  return groups
    .map(([group, counters]) => {
      const rows = Object.entries(counters).map(
        ([name, value]) => `  ${name.padEnd(width)} ${formatNumber(value).padStart(20)}`,
      );
      return [group, ...rows].join('\n');
    })
    .join('\n');
}

/** Whole numbers with thin groups of three, others with three decimals. */
function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const [whole, fraction] = Math.abs(value)
    .toFixed(Number.isInteger(value) ? 0 : 3)
    .split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ' ');
  return `${value < 0 ? '-' : ''}${grouped}${fraction === undefined ? '' : `.${fraction}`}`;
}
