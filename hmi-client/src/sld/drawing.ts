/** The text of a drawing made harmless: shapes and texts stay, style sheets, scripts and references do not. */

const KEPT = new Set(["svg", "g", "path", "line", "polyline", "polygon", "rect", "circle", "ellipse", "text", "tspan", "title"]);

export function parseDrawing(text: string): SVGSVGElement {
  const parsed = new DOMParser().parseFromString(text.replace(/<style[\s\S]*?<\/style>/g, ""), "image/svg+xml");
  const root = parsed.documentElement;
  if (root.localName !== "svg") throw new Error("the drawing is not SVG");
  for (const element of [root, ...root.querySelectorAll("*")]) {
    if (!KEPT.has(element.localName)) {
      element.remove();
      continue;
    }
    for (const { name } of [...element.attributes]) {
      if (name.startsWith("on") || name === "style" || name.endsWith("href")) element.removeAttribute(name);
    }
  }
  return document.importNode(root, true) as unknown as SVGSVGElement;
}
