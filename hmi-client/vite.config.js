import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// File names carry no hash: the bundle is committed, and a rebuild must differ only where the page does.
export default defineConfig({
  plugins: [svelte()],
  base: "/",
  build: {
    outDir: "scada_hmi/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    reportCompressedSize: false,
    license: { fileName: "licenses.md" },
    rolldownOptions: {
      output: {
        entryFileNames: "page.js",
        chunkFileNames: "[name].js",
        assetFileNames: "page[extname]",
        codeSplitting: false,
      },
    },
  },
});
