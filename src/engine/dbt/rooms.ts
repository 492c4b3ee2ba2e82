/** Linear memory for links and tables that the vCPU thread has given, handed out piece by piece. */
import type { TranslationRequest } from './translation.js';

export class Rooms {
  private epoch = -1;
  private rooms: { at: number; end: number }[] = [];

  /** Rooms of another epoch are gone. */
  take({ epoch, room }: TranslationRequest): void {
    if (epoch !== this.epoch) this.rooms = [];
    this.epoch = epoch;
    if (room !== undefined) this.rooms.push({ at: room.at, end: room.at + room.bytes });
  }
  /** 0 where there is no room. */
  allocate(bytes: number): number {
    const room = this.rooms.find(({ at, end }) => end - at >= bytes);
    if (room === undefined) return 0;
    const { at } = room;
    room.at += bytes;
    return at;
  }
  /** Bytes. */
  get left(): number {
    return this.rooms.reduce((sum, { at, end }) => sum + end - at, 0);
  }
}
