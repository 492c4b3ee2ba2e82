// docs/reference/cpuid.md: features offered and missing, and the table of leaves.
import { CPUID_FEATURES } from '../../dist/spec/x86/cpuid.js';
import {
  CPU_BRAND,
  cpuidEntries,
  isOffered,
  offeredFeatures,
  WITHHELD_FEATURES,
} from '../../dist/x86/system/cpuid-profile.js';
import { hex, page, table } from './markdown.mjs';

function bit({ leaf, subleaf, register, bit: index }) {
  const number = leaf.toString(16).toUpperCase().padStart(2, '0');
  return `CPUID.${number}H${subleaf === 0 ? '' : `.${subleaf}`}:${register.toUpperCase()}[${index}]`;
}

export function cpuidReference() {
  const offered = offeredFeatures();
  const missing = CPUID_FEATURES.filter((feature) => !isOffered(feature));
  return page(
    'The processor a guest sees',
    '`src/spec/x86/cpuid.ts` and `src/x86/system/cpuid-profile.ts`',
    `"${CPU_BRAND}": x86-64-v2 by Intel's rules. \`trapeze inspect cpu\` prints the same. What a program does that uses ` +
      'an instruction without asking CPUID for its feature is told in [Instructions](instructions.md).',
    `## Offered (${offered.length})`,
    table(
      ['Feature', 'What', 'Bit'],
      offered.map((feature) => [`\`${feature.name}\``, feature.title, bit(feature)]),
    ),
    `## Missing (${missing.length})`,
    table(
      ['Feature', 'What', 'Bit', 'Why'],
      missing.map((feature) => [`\`${feature.name}\``, feature.title, bit(feature), WITHHELD_FEATURES[feature.name]]),
    ),
    '## Leaves (one processor, 39 physical address bits)',
    table(
      ['Leaf', 'Subleaf', 'EAX', 'EBX', 'ECX', 'EDX'],
      cpuidEntries().map(({ leaf, subleaf, eax, ebx, ecx, edx }) => [
        hex(leaf),
        subleaf ?? '',
        ...[eax, ebx, ecx, edx].map((value) => hex(value >>> 0, 8)),
      ]),
    ),
  );
}
