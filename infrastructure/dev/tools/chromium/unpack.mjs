// The package has its program compressed, for a service that unpacks it at every start. Here it is unpacked once; with
// it come the libraries and the font that it needs, so that nothing of the machine decides what a page looks like.
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { brotliDecompressSync } from "node:zlib";
import { extract } from "tar-fs";

const packed = "node_modules/@sparticuz/chromium/bin";
const unpacked = "chromium";
const read = (name) => brotliDecompressSync(readFileSync(`${packed}/${name}.br`));

mkdirSync(unpacked);
writeFileSync(`${unpacked}/headless_shell`, read("chromium"), { mode: 0o755 });
for (const name of ["al2023.tar", "fonts.tar"]) {
  await pipeline(Readable.from([read(name)]), extract(unpacked));
}
// Its own names folders of that service.
writeFileSync(
  `${unpacked}/fonts.conf`,
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
`,
);
rmSync(packed, { recursive: true });

const program = "node_modules/.bin/chromium-headless-shell";
mkdirSync("node_modules/.bin", { recursive: true });
writeFileSync(
  program,
  `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/../../${unpacked}
export LD_LIBRARY_PATH="$here/lib" FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/headless_shell" "$@"
`,
);
chmodSync(program, 0o755);
