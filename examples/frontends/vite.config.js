import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import react from "@vitejs/plugin-react";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

const client = fileURLToPath(new URL("../../client-js", import.meta.url));

export default defineConfig({
  plugins: [react(), vue(), svelte()],
  // The client of this clone. After `npm install aiohttp-realtime` neither `resolve` nor `fs` is needed.
  resolve: { alias: { "aiohttp-realtime": client } },
  server: { port: 5173, strictPort: true, fs: { allow: [".", client] } },
  build: { rollupOptions: { input: ["react.html", "vue.html", "svelte.html"] } }
});
