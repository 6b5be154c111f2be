/** The page's connection: station and server state, session, server clock, generated clients, the model, the live stream. */
import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  Channels,
  Control,
  Dispatch,
  Engineering,
  Events,
  History,
  Model,
  OperatorData,
  Programmes,
  Realtime,
  Regulation,
  type ControlInfo,
  type ModelInfo,
  type PointInfo,
  type SystemStatus,
} from "../gen/scadapb/v1/scada_pb";
import { loadEventTexts, locale } from "../locale/texts.svelte";
import { Tunnel, tunnelTransport, type StationState } from "../tunnel/transport";
import { toMs, values } from "./values";

/** A view without a frame for so long is hatched, and its controls are locked. */
const STALE_MS = 3000;

/** Frames that may be under way. */
const CREDIT = 4;

const PERIOD_MS = 200;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

class Server {
  /** "station": the operator station itself does not answer. */
  link: "station" | StationState["state"] = $state("station");
  reason = $state("");
  address = $state("");
  operator = $state("");
  site = $state("");
  rights: string[] = $state.raw([]);
  /** Why the session only looks: another login, or no order for too long. */
  lock: StationState["lock"] = $state("");
  stale = $state(true);
  /** ms since the last frame, refreshed four times a second. */
  frameAge = $state(Infinity);
  seq = $state(0n);
  conflated = $state(0);
  roundTrip = $state(NaN);
  /** Server clock, ms since 1970; advances between frames by this machine's monotonic clock. */
  now = $state(0);
  model: ModelInfo | undefined = $state.raw();
  points: PointInfo[] = $state.raw([]);
  controls: ControlInfo[] = $state.raw([]);
  status: SystemStatus | undefined = $state.raw();
  byPid = $derived(new Map(this.points.map((point) => [point.pid, point])));

  private waiting = new Map<number, (() => void)[]>();
  private frameAt = -Infinity;
  private frameTime = 0;
  private tunnel = new Tunnel(
    (state) => this.take(state),
    () => (this.link = "station"),
  );
  private transport = tunnelTransport(this.tunnel);
  readonly modelClient = createClient(Model, this.transport);
  readonly realtime = createClient(Realtime, this.transport);
  readonly events = createClient(Events, this.transport);
  readonly control = createClient(Control, this.transport);
  readonly regulation = createClient(Regulation, this.transport);
  readonly dispatch = createClient(Dispatch, this.transport);
  readonly history = createClient(History, this.transport);
  readonly operatorData = createClient(OperatorData, this.transport);
  readonly programmes = createClient(Programmes, this.transport);
  readonly channels = createClient(Channels, this.transport);
  readonly engineering = createClient(Engineering, this.transport);

  constructor() {
    setInterval(() => this.tick(), 250);
    void this.keep(() => this.follow());
    void this.keep(() => this.poll());
    void loadEventTexts();
  }

  /** Controls may not be operated: the picture is old, the server is away, or the operator has not the right. */
  get locked(): boolean {
    return this.link !== "up" || this.stale;
  }

  /** Seconds until a moment of the server's clock; NaN while what we see is old: nobody knows whether it still counts. */
  left(ns: bigint): number {
    return this.locked ? NaN : Math.max(0, (toMs(ns) - this.now) / 1000);
  }

  may(right: string): boolean {
    return this.rights.includes(right);
  }

  /** Log in anew, because the operator asked to. */
  unlock(): Promise<void> {
    return this.tunnel.unlock();
  }

  private take(state: StationState): void {
    this.link = state.state;
    this.reason = state.reason;
    this.address = state.server;
    this.operator = state.operator;
    this.site = state.site;
    // While the server does not answer, nobody says that a right is gone; everything is locked then.
    if (state.state !== "connecting") this.rights = state.rights;
    this.lock = state.lock;
    locale.suggest(state.language);
  }

  private tick(): void {
    const since = performance.now() - this.frameAt;
    this.frameAge = since;
    this.stale = !(since < STALE_MS);
    if (this.frameTime > 0 && !this.stale) this.now = this.frameTime + since;
  }

  /** Run `work` again and again while the server is up; a fault of one run is waited out. */
  async keep(work: () => Promise<void>): Promise<never> {
    for (;;) {
      if (this.link === "up") {
        try {
          await work();
        } catch {
          // The footer shows the state of the connection; a fault here is its echo.
        }
      }
      await sleep(300);
    }
  }

  /** Told of the kinds of events that came in. */
  happened(kinds: Iterable<number>): void {
    for (const kind of kinds) {
      const due = this.waiting.get(kind) ?? [];
      this.waiting.delete(kind);
      for (const resolve of due) resolve();
    }
  }

  /** Until an event of this kind comes in, or the connection to the server is lost. */
  async changed(kind: number): Promise<void> {
    const event = new Promise<void>((resolve) => this.waiting.set(kind, [...(this.waiting.get(kind) ?? []), resolve]));
    const lost = (async () => {
      while (this.link === "up") await sleep(1000);
    })();
    await Promise.race([event, lost]);
  }

  private async follow(): Promise<void> {
    await this.loadModel();
    let wake = () => {};
    let credit = 0;
    async function* requests() {
      yield { pids: [], credit: CREDIT, periodMs: PERIOD_MS };
      for (;;) {
        await new Promise<void>((resolve) => (credit > 0 ? resolve() : (wake = resolve)));
        const grant = credit;
        credit = 0;
        yield { credit: grant };
      }
    }
    const stop = new AbortController();
    let first = true;
    try {
      for await (const frame of this.realtime.subscribe(requests(), { signal: stop.signal })) {
        // From here on a change of the model ends the stream; one that came between the lists and this frame is found now.
        if (first && (await this.modelClient.getModel({})).version !== this.model?.version) throw new Error("the model was changed");
        first = false;
        values.apply(frame);
        this.frameAt = performance.now();
        this.frameTime = toMs(frame.timeNs);
        this.now = this.frameTime;
        this.seq = frame.seq;
        this.conflated += frame.conflated;
        if (this.stale) this.tick();
        credit += 1;
        wake();
      }
    } finally {
      stop.abort();
    }
  }

  private async loadModel(): Promise<void> {
    const model = await this.modelClient.getModel({});
    if (model.version === this.model?.version) return;
    const [points, controls] = await Promise.all([this.modelClient.listPoints({}), this.modelClient.listControls({})]);
    this.points = points.points;
    this.controls = controls.controls;
    this.model = model;
  }

  private async poll(): Promise<void> {
    const begin = performance.now();
    this.status = await this.realtime.getStatus({}, { timeoutMs: 3000 });
    this.roundTrip = performance.now() - begin;
    await sleep(700);
  }
}

export const server = new Server();

/** The body of a message of consequence; the station adds header, signature and code. */
export function unsigned<T extends DescMessage>(schema: T, body: MessageInitShape<T>): { body: Uint8Array } {
  return { body: toBinary(schema, create(schema, body)) };
}

/** Why the session only looks, as a text of the page. */
export const lockText = (lock: StationState["lock"]): "lock.superseded" | "lock.idle" => (lock === "superseded" ? "lock.superseded" : "lock.idle");

const UNANSWERED = [Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.DataLoss, Code.Internal, Code.Unknown];

/** Whether the order of a failed call may have acted all the same: no answer came that could be believed. */
export function unanswered(error: unknown): boolean {
  return !(error instanceof ConnectError) || UNANSWERED.includes(error.code);
}

/** One sentence of a failed call. */
export function fault(error: unknown): string {
  if (error instanceof Error) return "rawMessage" in error ? String(error.rawMessage) : error.message;
  return String(error);
}
