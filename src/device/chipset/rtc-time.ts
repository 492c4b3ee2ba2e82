/** Calendar time in MC146818A cells: BCD or binary, 12 or 24 hours. The cells may hold anything a guest wrote. */
import * as spec from '../../spec/mc146818.js';

/** The cells that the update changes. */
export const TIME_CELLS: readonly number[] = [
  spec.RTC_SECONDS,
  spec.RTC_MINUTES,
  spec.RTC_HOURS,
  spec.RTC_DAY_OF_WEEK,
  spec.RTC_DAY,
  spec.RTC_MONTH,
  spec.RTC_YEAR,
  spec.CMOS_CENTURY,
];

/** `mode` is register B. */
export function encodeTime(cells: Uint8Array, epochSeconds: number, mode: number): void {
  const date = new Date(epochSeconds * 1000);
  const number = (value: number): number => ((mode & spec.B_BINARY) !== 0 ? value : toBcd(value));
  const year = date.getUTCFullYear();
  cells[spec.RTC_SECONDS] = number(date.getUTCSeconds());
  cells[spec.RTC_MINUTES] = number(date.getUTCMinutes());
  cells[spec.RTC_HOURS] = encodeHours(date.getUTCHours(), mode, number);
  cells[spec.RTC_DAY_OF_WEEK] = number(date.getUTCDay() + 1);
  cells[spec.RTC_DAY] = number(date.getUTCDate());
  cells[spec.RTC_MONTH] = number(date.getUTCMonth() + 1);
  cells[spec.RTC_YEAR] = number(year % 100);
  cells[spec.CMOS_CENTURY] = number(Math.floor(year / 100) % 100);
}

/** Seconds since 1970; values out of range carry over, as Date.UTC does. */
export function decodeTime(cells: Uint8Array, mode: number): number {
  const number = (value: number): number => ((mode & spec.B_BINARY) !== 0 ? value : fromBcd(value));
  const rawHours = cells[spec.RTC_HOURS];
  let hours = number(rawHours);
  if ((mode & spec.B_24_HOUR) === 0) {
    hours = (number(rawHours & ~spec.HOUR_PM) % 12) + ((rawHours & spec.HOUR_PM) !== 0 ? 12 : 0);
  }
  const date = new Date(0);
  date.setUTCFullYear(
    number(cells[spec.CMOS_CENTURY]) * 100 + number(cells[spec.RTC_YEAR]),
    number(cells[spec.RTC_MONTH]) - 1,
    number(cells[spec.RTC_DAY]),
  );
  date.setUTCHours(hours, number(cells[spec.RTC_MINUTES]), number(cells[spec.RTC_SECONDS]));
  return Math.floor(date.getTime() / 1000);
}

function encodeHours(hours: number, mode: number, number: (value: number) => number): number {
  if ((mode & spec.B_24_HOUR) !== 0) return number(hours);
  return number(hours % 12 || 12) | (hours >= 12 ? spec.HOUR_PM : 0);
}

function toBcd(value: number): number {
  return (Math.floor(value / 10) << 4) | (value % 10);
}

function fromBcd(value: number): number {
  return (value >> 4) * 10 + (value & 15);
}
