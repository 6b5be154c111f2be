/** The alarms that are on the screen now: what "acknowledge page" means, and nothing else. */
import { type AlarmInfo } from "../gen/scadapb/v1/scada_pb";
import { t } from "../locale/texts.svelte";
import { alarms } from "./alarms.svelte";
import { fault } from "./server.svelte";

class Shown {
  /** Rows of the alarm page in view; empty while another page shows the strip only. */
  page: AlarmInfo[] = $state.raw([]);
  /** Outcome of the last acknowledgement. */
  message = $state("");

  /** The rows in view, else the strip. */
  get alarms(): AlarmInfo[] {
    return this.page.length > 0 ? this.page : this.strip;
  }

  get strip(): AlarmInfo[] {
    return alarms.unacknowledged.slice(0, 3);
  }

  async acknowledge(ids: bigint[]): Promise<void> {
    if (ids.length === 0) return;
    this.message = "";
    try {
      const unknown = await alarms.acknowledge(ids);
      this.message =
        unknown.length === 0
          ? t("alarm.acknowledged", { count: ids.length })
          : t("alarm.unknown", { count: ids.length - unknown.length, ids: unknown.join(", ") });
    } catch (error) {
      this.message = t("alarm.ack.failed", { reason: fault(error) });
    }
  }
}

export const shown = new Shown();
