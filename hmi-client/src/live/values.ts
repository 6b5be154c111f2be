/**
 * The image of the points in the page. A frame overwrites what a former one left pending (latest wins); watchers are called once per
 * animation frame, so that a slow screen shows the newest values later instead of all values ever later.
 */
import { createSubscriber } from "svelte/reactivity";
import type { PointFrame } from "../gen/scadapb/v1/scada_pb";
import { Quality } from "./quality";

type Watcher = () => void;

export const toMs = (ns: bigint): number => Number(ns / 1000n) / 1000;

export class Values {
  private value = new Float64Array();
  private quality = new Uint32Array();
  private source = new Float64Array();
  private received = new Float64Array();
  private watchers = new Map<number, Set<Watcher>>();
  private dirty = new Set<number>();
  private scheduled = false;

  private grow(size: number): void {
    if (size <= this.value.length) return;
    const capacity = Math.max(size, 2 * this.value.length, 1024);
    const value = new Float64Array(capacity).fill(NaN);
    const quality = new Uint32Array(capacity).fill(Quality.NeverReceived);
    const source = new Float64Array(capacity);
    const received = new Float64Array(capacity);
    value.set(this.value);
    quality.set(this.quality);
    source.set(this.source);
    received.set(this.received);
    [this.value, this.quality, this.source, this.received] = [value, quality, source, received];
  }

  /** Take a frame. A full frame replaces the image: what it does not hold is not known any more. */
  apply(frame: PointFrame): void {
    if (frame.full) {
      this.quality.fill(Quality.NeverReceived);
      this.value.fill(NaN);
      for (const pid of this.watchers.keys()) this.dirty.add(pid);
    }
    for (let i = 0; i < frame.pid.length; i++) {
      const pid = frame.pid[i]!;
      this.grow(pid + 1);
      this.value[pid] = frame.value[i]!;
      this.quality[pid] = frame.quality[i]!;
      this.source[pid] = toMs(frame.sourceTimeNs[i]!);
      this.received[pid] = toMs(frame.receivedNs[i]!);
      if (this.watchers.has(pid)) this.dirty.add(pid);
    }
    if (this.dirty.size > 0 && !this.scheduled) {
      this.scheduled = true;
      requestAnimationFrame(() => this.flush());
    }
  }

  private flush(): void {
    this.scheduled = false;
    const due = new Set<Watcher>();
    for (const pid of this.dirty) for (const watcher of this.watchers.get(pid) ?? []) due.add(watcher);
    this.dirty.clear();
    for (const watcher of due) watcher();
  }

  /** Call `watcher` in the animation frame after a change of `pid`; returns the function that ends it. */
  watch(pid: number, watcher: Watcher): () => void {
    let set = this.watchers.get(pid);
    if (set === undefined) this.watchers.set(pid, (set = new Set()));
    set.add(watcher);
    return () => {
      set.delete(watcher);
      if (set.size === 0 && this.watchers.get(pid) === set) this.watchers.delete(pid);
    };
  }

  /** Value; NaN while none is known. */
  of(pid: number): number {
    return this.value[pid] ?? NaN;
  }

  qualityOf(pid: number): number {
    return this.quality[pid] ?? Quality.NeverReceived;
  }

  /** Source time in ms since 1970, 0 = none. */
  sourceMs(pid: number): number {
    return this.source[pid] ?? 0;
  }

  receivedMs(pid: number): number {
    return this.received[pid] ?? 0;
  }
}

export const values = new Values();

/** A point for templates: reading it inside one makes the template follow it. */
export class Cell {
  private readonly follow: () => void;

  constructor(readonly pid: number) {
    this.follow = createSubscriber((update) => values.watch(pid, update));
  }

  get value(): number {
    this.follow();
    return values.of(this.pid);
  }

  get quality(): number {
    this.follow();
    return values.qualityOf(this.pid);
  }

  get receivedMs(): number {
    this.follow();
    return values.receivedMs(this.pid);
  }

  get sourceMs(): number {
    this.follow();
    return values.sourceMs(this.pid);
  }
}

const cells = new Map<number, Cell>();

/** The one cell of a point. */
export function cell(pid: number): Cell {
  let found = cells.get(pid);
  if (found === undefined) cells.set(pid, (found = new Cell(pid)));
  return found;
}
