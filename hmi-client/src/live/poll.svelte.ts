/** A reply that is asked for again and again while a page shows it. */
import { fault, server } from "./server.svelte";

export class Poll<T> {
  value: T | undefined = $state.raw();
  fault = $state("");
  /** Server time of the last answer, ms; 0 = none came yet. */
  at = $state(0);

  /** Call inside a component: polls until it goes. */
  constructor(
    private readonly ask: () => Promise<T>,
    periodMs: number,
  ) {
    $effect(() => {
      void this.refresh();
      const timer = setInterval(() => void this.refresh(), periodMs);
      return () => clearInterval(timer);
    });
  }

  async refresh(): Promise<void> {
    if (server.link !== "up") return;
    try {
      this.value = await this.ask();
      this.at = server.now;
      this.fault = "";
    } catch (error) {
      this.fault = fault(error);
    }
  }
}
