/** Grey (ISA-101, default) and dark; the voltage colours are tinted to each so that a line stands out 3:1 from its ground. */
import { paint } from "../sld/palette";

export type ThemeName = "grey" | "dark";

class Theme {
  name: ThemeName = $state(localStorage.getItem("theme") === "dark" ? "dark" : "grey");

  constructor() {
    this.apply();
  }

  toggle(): void {
    this.name = this.name === "dark" ? "grey" : "dark";
    localStorage.setItem("theme", this.name);
    this.apply();
  }

  private apply(): void {
    document.documentElement.dataset["theme"] = this.name;
    paint(this.name);
  }
}

export const theme = new Theme();
