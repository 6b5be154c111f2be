/** Samples of one pen: history first, live values behind it. A value holds until the next sample; a bad one is a gap. */
import type { HistorySeries } from "../gen/scadapb/v1/scada_pb";
import { clock } from "./format";
import { isBad } from "./quality";
import { toMs } from "./values";

export class Series {
  private time: number[] = [];
  private value: (number | null)[] = [];

  push(ms: number, value: number, quality: number): void {
    const last = this.time.at(-1) ?? -Infinity;
    if (ms < last) return;
    this.time.push(ms);
    this.value.push(isBad(quality) || Number.isNaN(value) ? null : value);
  }

  /** Replace all by a reply of the history; what came in live behind its end stays. */
  load(reply: HistorySeries, fromMs: number, bucketMs: number): void {
    const [time, value] = [this.time, this.value];
    this.time = [];
    this.value = [];
    if (reply.hasBefore) this.push(fromMs, reply.beforeValue, reply.beforeQuality);
    for (let i = 0; i < reply.timeNs.length; i++) {
      const ms = toMs(reply.timeNs[i]!);
      const quality = reply.quality[i] ?? 0;
      if (bucketMs > 0 && reply.minimum.length > 0) {
        this.push(ms, reply.minimum[i]!, quality);
        this.push(ms + bucketMs / 3, reply.maximum[i]!, quality);
        this.push(ms + (2 * bucketMs) / 3, reply.value[i]!, quality);
      } else this.push(ms, reply.value[i]!, quality);
    }
    const end = this.time.at(-1) ?? -Infinity;
    for (let i = 0; i < time.length; i++) if (time[i]! > end) this.push(time[i]!, value[i] ?? NaN, 0);
  }

  /** Forget what is older, but for the value in force then. */
  trim(fromMs: number): void {
    let keep = 0;
    while (keep + 1 < this.time.length && this.time[keep + 1]! <= fromMs) keep++;
    this.time.splice(0, keep);
    this.value.splice(0, keep);
  }

  times(): readonly number[] {
    return this.time;
  }

  /** Values in force at ascending `times`; null = unknown. */
  at(times: readonly number[]): (number | null)[] {
    let next = 0;
    let held: number | null = null;
    return times.map((ms) => {
      while (next < this.time.length && this.time[next]! <= ms) held = this.value[next++]!;
      return held;
    });
  }
}

/** Ticks of a time axis: 14:05, with seconds where they differ. */
export function hours(_: unknown, splits: number[], __?: number, ___?: number, step = 60): string[] {
  return splits.map((seconds) => clock(1000 * seconds, false).slice(0, step < 60 ? 8 : 5));
}

/** Columns for the chart: seconds, then one column a series. */
export function align(series: readonly Series[], fromMs: number, toMs_: number): [number[], ...(number | null)[][]] {
  const all = new Set<number>([fromMs, toMs_]);
  for (const one of series) for (const ms of one.times()) if (ms >= fromMs && ms <= toMs_) all.add(ms);
  const times = [...all].sort((a, b) => a - b);
  return [times.map((ms) => ms / 1000), ...series.map((one) => one.at(times))];
}
