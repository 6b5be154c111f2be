/** Quality words as the server writes them (scada.core.quality). */
export const Quality = {
  Overflow: 0x01,
  Blocked: 0x10,
  Substituted: 0x20,
  NotTopical: 0x40,
  Invalid: 0x80,
  Questionable: 1 << 8,
  OutOfRange: 1 << 9,
  BadReference: 1 << 10,
  Oscillatory: 1 << 11,
  Failure: 1 << 12,
  OldData: 1 << 13,
  EstimatorReplaced: 1 << 14,
  OperatorBlocked: 1 << 15,
  Suspect: 1 << 16,
  Test: 1 << 17,
  CommLost: 1 << 20,
  NeverReceived: 1 << 21,
  TimeInvalid: 1 << 22,
  Manual: 1 << 23,
  Calculated: 1 << 24,
} as const;

const BAD =
  Quality.Invalid |
  Quality.NotTopical |
  Quality.Overflow |
  Quality.Failure |
  Quality.BadReference |
  Quality.Oscillatory |
  Quality.OldData |
  Quality.CommLost |
  Quality.NeverReceived;

/** Must not be acted on. */
export const isBad = (quality: number): boolean => (quality & BAD) !== 0;

const MARKS: readonly (readonly [number, string])[] = [
  [Quality.NeverReceived, "-"],
  [Quality.Invalid | Quality.Failure | Quality.BadReference | Quality.Overflow, "?"],
  [Quality.Manual, "M"],
  [Quality.Substituted, "S"],
  [Quality.Blocked | Quality.OperatorBlocked, "B"],
  [Quality.NotTopical | Quality.OldData | Quality.CommLost, "*"],
  [Quality.Questionable | Quality.Suspect | Quality.OutOfRange | Quality.Oscillatory, "~"],
];

/** Short marks beside a value. */
export function marks(quality: number): string {
  let text = "";
  for (const [bits, mark] of MARKS) if (quality & bits) text += mark;
  return text;
}

/** Names of the bits that are set, keys of the catalogue group `quality`. */
export function qualityNames(quality: number): string[] {
  return Object.entries(Quality)
    .filter(([, bit]) => quality & bit)
    .map(([name]) => name);
}
