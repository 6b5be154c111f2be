/** Texts of the page in two languages, and of events from the server's catalogues. */
import en from "./en.json";
import zh from "./zh.json";

export type Language = "zh" | "en";
export type TextKey = keyof typeof en;

const catalogues: Record<Language, Record<string, string>> = { en, zh };
const eventTexts: Record<Language, Record<string, string>> = $state({ en: {}, zh: {} });

function stored(): Language | undefined {
  const value = localStorage.getItem("language");
  return value === "zh" || value === "en" ? value : undefined;
}

class Locale {
  language: Language = $state(stored() ?? (navigator.language.startsWith("zh") ? "zh" : "en"));

  /** Take the station's `--lang` unless the operator chose before. */
  suggest(language: string): void {
    if (stored() === undefined && (language === "zh" || language === "en")) this.use(language, false);
  }

  use(language: Language, remember = true): void {
    this.language = language;
    document.documentElement.lang = language;
    if (remember) localStorage.setItem("language", language);
  }
}

export const locale = new Locale();

/** `{name}` is a parameter, `{a|b}` the first one given, `[...]` is left out if a parameter in it is missing. */
function fill(text: string, parameters: Record<string, string | number>): string {
  const given = (names: string) => names.split("|").map((name) => String(parameters[name] ?? "")).find((value) => value !== "") ?? "";
  const put = (part: string) => part.replace(/\{([a-z_|]+)\}/g, (_, names: string) => given(names));
  return put(
    text.replace(/\[([^[\]]*)\]/g, (_, part: string) => ([...part.matchAll(/\{([a-z_|]+)\}/g)].every((match) => given(match[1]!) !== "") ? put(part) : "")),
  );
}

/** A text of the page. */
export function t(key: TextKey, parameters: Record<string, string | number> = {}): string {
  return fill(catalogues[locale.language][key] ?? key, parameters);
}

/** A text of the page whose key is made at run time; the raw word where the catalogue has none. */
export function word(group: string, value: string | number): string {
  return catalogues[locale.language][`${group}.${value}`] ?? String(value);
}

/** Why the server did what it did: in the operator's language where the code has a text there, then its own sentence and the code. */
export function because(reason: string, code: string): string {
  const text = reason === "" || locale.language !== "en" ? word("code", code) : "";
  return [text === code ? "" : text, text === reason ? "" : reason, code && `[${code}]`].filter(Boolean).join(" ");
}

/** Parameters that are words of the contract, in the operator's language. */
function translated(key: string, parameters: Record<string, string>): Record<string, string> {
  const { state, tag_type, value, reason, code } = parameters;
  return {
    ...(state === undefined ? {} : { state: word("state", state) }),
    ...(value === undefined || !key.startsWith("control.") ? {} : { value: word("state", value) }),
    ...(reason === undefined || code === undefined ? {} : { reason: because(reason, code).replace(` [${code}]`, "") }),
    ...(tag_type === undefined ? {} : { tag_type: eventTexts[locale.language][`tag_type.${tag_type}`] ?? tag_type }),
  };
}

/** The text of an event or alarm; its key and parameters where the catalogue has none: never nothing. */
export function eventText(key: string, parameters: Record<string, string>): string {
  const text = eventTexts[locale.language][key];
  if (text !== undefined) return fill(text, { ...parameters, ...translated(key, parameters) });
  const rest = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
  return [key, ...rest].join(" ");
}

/** Load the server's catalogues of event texts. */
export async function loadEventTexts(): Promise<void> {
  for (const language of ["en", "zh"] as const) {
    const reply = await fetch(`/texts/${language}.json`);
    if (reply.ok) eventTexts[language] = (await reply.json()) as Record<string, string>;
  }
}
