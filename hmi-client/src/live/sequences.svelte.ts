/** Controls under way, of everyone; what waits for a second person stands first of all for the guardian. */
import { ControlState, type SequenceInfo } from "../gen/scadapb/v1/scada_pb";
import { controlChoices, SETPOINT } from "./control";
import { number } from "./format";
import { server } from "./server.svelte";
import { word } from "../locale/texts.svelte";

const PERIOD_MS = 700;

class Sequences {
  list: SequenceInfo[] = $state.raw([]);
  /** Server time of the last answer, ms; 0 = none came yet. */
  at = $state(0);
  /** When the list that is shown was asked for, by this machine's monotonic clock. */
  asked = $state(-Infinity);

  constructor() {
    void server.keep(async () => {
      const asked = performance.now();
      this.list = (await server.control.listSequences({ ended: true }, { timeoutMs: 3000 })).sequences;
      [this.at, this.asked] = [server.now, asked];
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    });
  }

  /** Selected, and not yet confirmed by a second person. */
  get waiting(): SequenceInfo[] {
    return this.list.filter((one) => one.reply?.needsGuardian && one.reply.state === ControlState.SELECTED);
  }

  find(sequenceId: string): SequenceInfo | undefined {
    return this.list.find((one) => one.reply?.sequenceId === sequenceId);
  }
}

export const sequences = new Sequences();

/** The value of a sequence as an operator reads it. */
export function sequenceValue(one: SequenceInfo): string {
  const control = server.controls.find((candidate) => candidate.mrid === one.control);
  const value = one.reply?.value ?? NaN;
  if (control === undefined) return String(value);
  if (control.kind === SETPOINT) return `${number(value, control.unit)} ${control.unit}`;
  return word("state", controlChoices(control).find((choice) => choice.value === value)?.label ?? value);
}
