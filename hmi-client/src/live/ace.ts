/** What the page saw of ACE: one sample an AGC cycle, a quarter of an hour long. */
import type { AlignedData } from "uplot";
import type { AgcStatus } from "../gen/scadapb/v1/scada_pb";
import { toMs } from "./values";

const SPAN_S = 900;

const known = (value: number): number | null => (Number.isFinite(value) ? value : null);

class AceTrend {
  private rows: [number, number | null, number | null, number | null][] = [];

  push(agc: AgcStatus): void {
    const seconds = toMs(agc.cycleNs) / 1000;
    const last = this.rows.at(-1)?.[0] ?? 0;
    if (!(seconds > last)) return;
    this.rows.push([seconds, known(agc.aceMw), known(agc.filteredAceMw), known(agc.regulationMw)]);
    while (this.rows[0]![0] < seconds - SPAN_S) this.rows.shift();
  }

  columns(): AlignedData {
    return [0, 1, 2, 3].map((column) => this.rows.map((row) => row[column]!)) as unknown as AlignedData;
  }
}

export const aceTrend = new AceTrend();
