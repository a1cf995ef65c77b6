// The rules for keras_dae/page/*.js: plain scripts that share one page.
import js from "@eslint/js";

const names = (text) =>
  Object.fromEntries(text.split(" ").map((name) => [name, "readonly"]));
const anywhere =
  "atob Blob DecompressionStream Response performance URL module require";
const browser =
  "document window navigator self Worker OffscreenCanvas Option createImageBitmap setTimeout" +
  " GPUBufferUsage GPUMapMode";
const ours = "Weights Layers Kernels Digits Noise Tiles Gpu Pool View Pad Latent Photo";

export default [
  js.configs.recommended,
  {
    languageOptions: {
      sourceType: "script",
      ecmaVersion: 2023,
      globals: names(`${anywhere} ${browser} ${ours}`),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-redeclare": ["error", { builtinGlobals: false }],
      "no-unused-vars": [
        "error",
        { varsIgnorePattern: `^(${ours.replaceAll(" ", "|")})$` },
      ],
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-implicit-globals": "off",
      "no-shadow": "error",
      strict: ["error", "global"],
      "max-len": ["error", { code: 88 }],
    },
  },
];
