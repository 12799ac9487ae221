import { defineConfig } from "vite";

/** The server puts a fresh nonce in place of this word each time it sends the page. */
const NONCE = "__NONCE__";

/** The server beside which `npm run dev` is used. It takes changes only from its own origin. */
const SERVER = "http://127.0.0.1:8080";

export default defineConfig({
  html: { cspNonce: NONCE },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    // Data URLs of scripts and styles would need a weaker content security policy.
    assetsInlineLimit: 0,
    // The oldest browsers with popovers and `AbortSignal.any`, both of which the console uses.
    target: ["chrome116", "firefox125", "safari17.4"],
    manifest: true,
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      "/api": { target: SERVER, headers: { origin: SERVER } },
    },
  },
});
