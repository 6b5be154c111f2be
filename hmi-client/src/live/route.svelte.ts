/** State of the view in the URL's hash, so that any view opens in a second window: `#/station/CDX?select=mrid`. */
export const PAGES = ["overview", "network", "station", "alarms", "events", "trends", "agc", "avc", "performance", "rerun", "dispatch", "programmes", "guardian", "links", "model"] as const;
export type Page = (typeof PAGES)[number];

class Route {
  page: Page = $state("overview");
  argument = $state("");
  query: URLSearchParams = $state.raw(new URLSearchParams());

  constructor() {
    addEventListener("hashchange", () => this.read());
    this.read();
  }

  private read(): void {
    const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [page = "", argument = ""] = path.split("/");
    this.page = (PAGES as readonly string[]).includes(page) ? (page as Page) : "overview";
    this.argument = decodeURIComponent(argument);
    this.query = new URLSearchParams(query);
  }

  /** The hash of a view. */
  link(page: Page, argument = "", query: Record<string, string> = {}): string {
    const text = new URLSearchParams(query).toString();
    return `#/${page}${argument ? `/${encodeURIComponent(argument)}` : ""}${text ? `?${text}` : ""}`;
  }

  go(page: Page, argument = "", query: Record<string, string> = {}): void {
    location.hash = this.link(page, argument, query);
  }

  /** Change one entry of the query without a new entry in the history. */
  set(name: string, value: string): void {
    const query = new URLSearchParams(this.query);
    if (value === "") query.delete(name);
    else query.set(name, value);
    history.replaceState(null, "", this.link(this.page, this.argument, Object.fromEntries(query)));
    this.query = query;
  }
}

export const route = new Route();

/** What the right drawer shows, and which dialogue is open. */
class Focus {
  /** mRID of the selected equipment; it stands in the URL. */
  get equipment(): string {
    return route.query.get("select") ?? "";
  }

  select(mrid: string): void {
    route.set("select", mrid);
  }

  /** mRID of the control whose dialogue is open. */
  control = $state("");
}

export const focus = new Focus();
