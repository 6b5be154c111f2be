/**
 * Colours of voltage levels: IEC TS 61970-556, table B.1. The table was made for a black ground, and even there some levels are too
 * dark to see; each theme moves a colour towards black or white just until it stands out by the 3:1 that WCAG 2.1 (1.4.11) asks of
 * graphics. The level is written at every bus, too: colour never stands alone.
 */
import type { ThemeName } from "../live/theme.svelte";

type Rgb = readonly [number, number, number];

const TABLE: readonly (readonly [number, Rgb])[] = [
  [800, [0, 0, 255]],
  [660, [250, 128, 10]],
  [400, [255, 0, 0]],
  [330, [30, 144, 255]],
  [220, [128, 0, 128]],
  [110, [240, 65, 85]],
  [66, [255, 204, 0]],
  [35, [255, 255, 0]],
  [20, [226, 172, 6]],
  [15, [0, 128, 0]],
  [13, [0, 210, 0]],
  [10, [185, 72, 66]],
  [6, [0, 0, 139]],
  [0, [128, 128, 128]],
];

const GROUND: Record<ThemeName, Rgb> = { grey: [223, 226, 229], dark: [11, 14, 17] };

const CONTRAST = 3.2;

function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map((part) => (part <= 10.31 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4)) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: Rgb, b: Rgb): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/** The colour nearest to `colour` on its way to black or white that can be told from `ground`. */
export function tint(colour: Rgb, ground: Rgb): Rgb {
  const goal = luminance(ground) > 0.18 ? 0 : 255;
  for (let share = 0; share < 1; share += 0.02) {
    const mixed = colour.map((part) => Math.round(part + (goal - part) * share)) as unknown as Rgb;
    if (contrast(mixed, ground) >= CONTRAST) return mixed;
  }
  return [goal, goal, goal];
}

/** Row of the table a nominal voltage belongs to: the highest one not above it by more than a tenth. */
export function level(kv: number): number {
  return TABLE.find(([nominal]) => kv >= 0.9 * nominal)?.[0] ?? 0;
}

/** Set the style sheet's `--kv-*` colours. */
export function paint(theme: ThemeName): void {
  for (const [nominal, colour] of TABLE) {
    document.documentElement.style.setProperty(`--kv-${nominal}`, `rgb(${tint(colour, GROUND[theme]).join(" ")})`);
  }
}
